"""Draws what a model saw, what was true and what it said, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from datamodules.clips.overlay import FORGED_COLOUR, tint, tint_truth

if TYPE_CHECKING:  # reports draw without torch
    from torch import Tensor

PictureBytes = NDArray[np.uint8]
CAPTION_PX = 16


class Overlay(NamedTuple):
    """A frame, what is true of it and what a model says.

    Attributes:
        name: `<method>-<clip>-<frame>`.
        caption: The same in words, with score and threshold.
        image: (H, W, 3), RGB, 0 to 255.
        truth: (H, W), 0 real, 1 forged, 255 not known.
        forged: (H, W), 1 where the model calls a pixel forged, else 0. None: it says nothing of pixels.
        picture: See `triptych`.
    """

    name: str
    caption: str
    image: PictureBytes
    truth: PictureBytes
    forged: PictureBytes | None
    picture: PictureBytes


def overlays(
    batch: Mapping[str, Tensor], predicted: Mapping[str, Tensor], clips: pd.DataFrame, module: Any
) -> list[Overlay]:
    """Draws every frame of a batch.

    Args:
        batch: See `datamodules.Batch`.
        predicted: What `predict_step` of the module says of it.
        clips: The rows of the index that the batch numbers.
        module: Knows how images were normalised, and the operating point.
    """
    masks, point, drawn = predicted.get("mask_logit"), module.point, []
    for number, image in enumerate(_denormalise(batch["image"].float().cpu(), module)):
        method, clip = clips.loc[int(batch["clip"][number]), ["method", "clip"]]
        frame, score = int(batch["frame"][number]), float(predicted["frame_score"][number])
        caption = f"{method} {clip} frame {frame}: score {score:.2f}, fake from {point.frame_threshold:.2f}"
        truth = batch["mask"][number].cpu().numpy().astype(np.uint8)
        logit = None if masks is None else masks[number].float().cpu()
        forged = None if logit is None else (logit >= point.pixel_logit).numpy().astype(np.uint8)
        probability = None if logit is None else logit.sigmoid().numpy()
        picture = triptych(image, truth, probability, caption, forged)
        drawn.append(Overlay(f"{method}-{clip}-{frame:04d}", caption, image, truth, forged, picture))
    return drawn


def _denormalise(images: Tensor, module: Any) -> list[PictureBytes]:
    """Undoes the normalisation: (B, 3, H, W) to images (H, W, 3), 0 to 255."""
    mean, std = (images.new_tensor(values)[:, None, None] for values in (module.mean, module.std))
    pixels = images * std + mean
    return list((pixels.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy())


def triptych(
    image: PictureBytes,
    truth: NDArray[np.integer],
    probability: NDArray[np.floating] | None,
    caption: str,
    forged: NDArray[np.integer] | None = None,
) -> PictureBytes:
    """Frame | truth | prediction under a line of text.

    Args:
        image: (H, W, 3), RGB, 0 to 255.
        truth: (H, W), 0 real, 1 forged (red), 255 not known (blue).
        probability: (H, W), 0 to 1; a deeper red is a higher one. None: the model says nothing of pixels, and the
            picture has two parts.
        caption: Text above.
        forged: (H, W), 1 where the prediction is outlined, else 0; by default where it is over 0.5.

    Returns:
        (16 + H, 3 W + 8, 3) or, without a prediction, (16 + H, 2 W + 4, 3).
    """
    parts = [image, tint_truth(image, truth)]
    if probability is not None:
        parts.append(tint(image, probability, FORGED_COLOUR, forged))
    gap = np.full((image.shape[0], 4, 3), 255, np.uint8)
    joined = np.concatenate([panel for part in parts for panel in (part, gap)][:-1], axis=1)
    sheet = Image.new("RGB", (joined.shape[1], joined.shape[0] + CAPTION_PX), "white")
    sheet.paste(Image.fromarray(joined), (0, CAPTION_PX))
    ImageDraw.Draw(sheet).text((3, 2), caption, fill="black")
    return np.asarray(sheet)
