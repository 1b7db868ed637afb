"""Finds fakes that show their original unchanged, whatever they were encoded with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ..clips.index import Compression
from ..clips.masks import Mask
from ..video.decoders import Image

Copy = Literal["bit for bit", "encoded anew"]

TELLING: tuple[Compression, ...] = ("raw", "c23")
"""Qualities at which a forgery stands out from what coding changes; at c40 only a copy bit for bit is told."""

INSIDE, OUTSIDE = 0.98, 0.9
"""Quantiles of change: where something is said to be forged, and elsewhere. Their ratio tells a fake from a copy."""

ALIKE, COARSER, COARSE_CHANGE = 1.45, 2.5, 0.48
"""Ratios below which nothing was forged: of a copy of the same quality, and of a coarser one, which changes more
everywhere (its median change elsewhere exceeds the last figure) and still more in a face.

Measured at c23: on the mini tree (320x240) copies at crf 23 reach 1.4, at crf 40 2.1, 96 fakes 3.3 and more; on a tree
of 160x128 1.1, 1.6, and 1.6 and more."""

FEWEST_FRAMES = 3
"""Frames without which no copy coded anew is told."""

SQUARE_PX, FEWEST_SQUARES = 8, 64
"""Side of the squares in which change is measured, pixels, and how many of them are needed on each side."""


def copy_of(
    fakes: Mapping[int, Image], originals: Mapping[int, Image], regions: Mapping[int, Mask], compression: str
) -> Copy | None:
    """Compares frames of a fake with the same frames of its original.

    A fake is the same as its original outside its mask, and in a frame that the method left untouched. So change inside
    the mask is held against change outside of it, and frames with an empty mask are passed over.

    Args:
        fakes: By number, frames of the fake.
        originals: By number, frames of its original, cut to the fake's columns.
        regions: By number, what is said to be forged, (H, W), 1 where it is.
        compression: Quality of both; an original of a coarser one than its fake makes that look like a copy.

    Returns:
        What the fake is of its original; None where it is a fake, or nothing can be compared.
    """
    frames = [
        frame
        for frame, region in regions.items()
        if frame in fakes
        and frame in originals
        and fakes[frame].shape == originals[frame].shape == (*region.shape, 3)
        and (region == 1).any()
    ]
    if not frames:
        return None
    if all(np.array_equal(fakes[frame], originals[frame]) for frame in frames):
        return "bit for bit"
    if compression not in TELLING or len(frames) < FEWEST_FRAMES:
        return None
    parts = [_changes(fakes[frame], originals[frame], regions[frame]) for frame in frames]
    inside, outside = (np.concatenate(side) for side in zip(*parts, strict=True))
    if min(len(inside), len(outside)) < FEWEST_SQUARES:
        return None
    ratio = np.quantile(inside, INSIDE) / (np.quantile(outside, OUTSIDE) + 0.03)
    return "encoded anew" if ratio < (COARSER if np.median(outside) > COARSE_CHANGE else ALIKE) else None


def _changes(fake: Image, original: Image, region: Mask) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Change against the contrast there, which coding follows: of squares inside a region, and well outside of it."""
    levels = original.astype(np.float32).mean(axis=2)
    apart = fake.astype(np.float32).mean(axis=2) - levels
    mean, square, change = (cv2.boxFilter(plane, -1, (SQUARE_PX, SQUARE_PX)) for plane in (levels, levels**2, apart**2))
    relative = np.sqrt(np.maximum(change, 0) / (4 + np.maximum(square - mean**2, 0)))
    far = cv2.dilate(region, np.ones((2 * SQUARE_PX + 1, 2 * SQUARE_PX + 1), np.uint8)) == 0
    every = slice(None, None, SQUARE_PX // 2)
    relative, inside, far = relative[every, every], region[every, every] == 1, far[every, every]
    return relative[inside], relative[far]
