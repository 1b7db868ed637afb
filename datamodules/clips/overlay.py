"""Lays over a frame what is known of it, in colour."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..video.decoders import Image
from .masks import UNKNOWN

Colour = tuple[int, int, int]
"""RGB, 0 to 255."""

FORGED_COLOUR: Colour = (230, 60, 40)
UNKNOWN_COLOUR: Colour = (90, 110, 200)

OPACITY = 0.55
"""Share of the colour where something is wholly so."""


def tint(
    image: Image, strength: NDArray[np.generic], colour: Colour, outlined: NDArray[np.integer] | None = None
) -> Image:
    """Colours a picture where something is so, and draws an outline round it.

    Args:
        image: (H, W, 3), RGB, 0 to 255.
        strength: (H, W), 0 or False leaves a pixel as it is, 1 or True colours it by `OPACITY`.
        colour: Of both.
        outlined: (H, W), 1 inside the outline, else 0; by default where `strength` is over 0.5.

    Returns:
        Another picture, (H, W, 3).
    """
    weight = OPACITY * strength.astype(np.float32)[..., None]
    tinted = (image * (1 - weight) + np.array(colour, np.float32) * weight).astype(np.uint8)
    inside = strength.astype(np.float32) > 0.5 if outlined is None else outlined
    outlines, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    drawn: Image = np.asarray(cv2.drawContours(np.ascontiguousarray(tinted), outlines, -1, colour, 1))
    return drawn


def tint_truth(image: Image, truth: NDArray[np.integer]) -> Image:
    """Colours what is forged red and what is not known blue.

    Args:
        image: (H, W, 3), RGB, 0 to 255.
        truth: (H, W), 0 real, 1 forged, 255 not known.

    Returns:
        Another picture, (H, W, 3).
    """
    return tint(tint(image, truth == 1, FORGED_COLOUR), truth == UNKNOWN, UNKNOWN_COLOUR)
