"""Draws what a model saw, what was true and what it said, side by side."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Pixels = NDArray[np.uint8]
FORGED, UNKNOWN = (230, 60, 40), (90, 110, 200)
CAPTION_PX = 16


def triptych(
    image: Pixels,
    truth: NDArray[np.integer],
    probability: NDArray[np.floating] | None,
    caption: str,
    threshold: float = 0.5,
) -> Pixels:
    """Frame | truth | prediction under a line of text.

    Args:
        image: (H, W, 3), RGB, 0 to 255.
        truth: (H, W), 0 real, 1 forged (red), 255 not known (blue).
        probability: (H, W), 0 to 1; a deeper red is a higher one. None: the model says nothing of pixels, and the
            picture has two parts.
        caption: Text above.
        threshold: Probability at which the prediction is outlined.

    Returns:
        (16 + H, 3 W + 8, 3) or, without a prediction, (16 + H, 2 W + 4, 3).
    """
    parts = [image, _tinted(_tinted(image, truth == 1, FORGED), truth == 255, UNKNOWN)]
    if probability is not None:
        parts.append(_tinted(image, probability, FORGED, threshold))
    gap = np.full((image.shape[0], 4, 3), 255, np.uint8)
    joined = np.concatenate([panel for part in parts for panel in (part, gap)][:-1], axis=1)
    sheet = Image.new("RGB", (joined.shape[1], joined.shape[0] + CAPTION_PX), "white")
    sheet.paste(Image.fromarray(joined), (0, CAPTION_PX))
    ImageDraw.Draw(sheet).text((3, 2), caption, fill="black")
    return np.asarray(sheet)


def _tinted(
    image: Pixels, strength: NDArray[np.generic], colour: tuple[int, int, int], outlined: float = 0.5
) -> Pixels:
    weight = 0.55 * strength.astype(np.float32)[..., None]
    tinted = (image * (1 - weight) + np.array(colour, np.float32) * weight).astype(np.uint8)
    outlines, _ = cv2.findContours(
        (strength.astype(np.float32) > outlined).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    drawn: Pixels = np.asarray(cv2.drawContours(np.ascontiguousarray(tinted), outlines, -1, colour, 1))
    return drawn
