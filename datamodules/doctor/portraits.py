"""Faces set upright by the outline of their mask, and what of their light says who they are."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..clips.masks import Mask
from ..video.decoders import Image

Plane = NDArray[np.float32]

PORTRAIT_PX = 72
"""Pixels of a portrait in both directions."""

LEFT, TOP, BOTTOM = -1.45, -1.6, 1.15
"""What a portrait shows, in half-axes of the face's outline: it ends 1.45 to the left and the right of its centre."""


def axes(outline: Mask) -> tuple[NDArray[np.float64], NDArray[np.float64], float, float]:
    """The ellipse of an outline's second moments: centre, direction downwards, half-axes across and down."""
    m = cv2.moments(outline, binaryImage=True)
    centre = np.array([m["m10"], m["m01"]]) / m["m00"]
    spread = np.array([[m["mu20"], m["mu11"]], [m["mu11"], m["mu02"]]]) / m["m00"]
    (least, most), directions = np.linalg.eigh(spread)
    down = directions[:, 1] * np.sign(directions[1, 1])
    if most < 1.2 * least or down[1] < 0.75:  # too round to say, or lying
        return centre, np.array([0.0, 1.0]), 2 * np.sqrt(spread[0, 0] + 1e-3), 2 * np.sqrt(spread[1, 1] + 1e-3)
    return centre, down, 2 * np.sqrt(least + 1e-3), 2 * np.sqrt(most)


def portrait(image: Image, outline: Mask) -> Image:
    """A face set upright, (PORTRAIT_PX, PORTRAIT_PX, 3), all outlines made the same circle."""
    centre, down, across, tall = axes(outline)
    right = np.array([down[1], -down[0]])
    x, y = right * across * -2 * LEFT / PORTRAIT_PX, down * tall * (BOTTOM - TOP) / PORTRAIT_PX
    corner = centre + right * across * LEFT + down * tall * TOP + (x + y) / 2
    step = float(max(np.linalg.norm(x), np.linalg.norm(y)))
    soft = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.4 * step) if step > 1.2 else image)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    turn = np.column_stack([x, y, corner])
    return np.asarray(
        cv2.warpAffine(soft, turn, (PORTRAIT_PX, PORTRAIT_PX), flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def structure_of(light: Plane, radius: float) -> Plane:
    """Brightness against its surroundings, in units of the contrast there."""
    fine = cv2.GaussianBlur(light, (0, 0), 0.8) - blur_within(light, radius, WINDOW)
    return np.asarray(fine / (np.sqrt(blur_within(fine**2, radius, WINDOW)) + 0.02), np.float32)


def blur_within(plane: Plane, radius: float, window: Plane) -> Plane:
    """A Gaussian blur that sees nothing outside a window."""
    weight = cv2.GaussianBlur(window, (0, 0), radius) + 1e-3
    return np.asarray(cv2.GaussianBlur(plane * window, (0, 0), radius) / weight, np.float32)


def small(plane: NDArray[Any], side: int) -> Plane:
    """A plane shrunk to (side, side)."""
    return np.asarray(cv2.resize(plane, (side, side), interpolation=cv2.INTER_AREA), np.float32)


def _windows() -> tuple[Plane, Plane, Plane, Plane]:
    """Weights over a portrait, 0 to 1: the face, the hair above it, the face with its hairline, the hairline."""
    middle = (np.arange(PORTRAIT_PX) + 0.5) / PORTRAIT_PX
    u, v = np.meshgrid(LEFT - 2 * LEFT * middle, TOP + (BOTTOM - TOP) * middle)

    def ramp(inside: NDArray[np.float64], width: float) -> NDArray[np.float64]:
        return np.clip(inside / width, 0, 1)

    face = ramp(1 - np.hypot(u, v), 0.12)
    hair = ramp(1 - np.hypot(u / 1.1, (v + 0.35) / 1.1), 0.12) * (v < -0.8)
    window = np.maximum(face, ramp(0.75 - np.abs(u), 0.12) * ramp(v + 1.1, 0.1) * (v < -0.5))
    hairline = ramp(0.8 - np.abs(u), 0.1) * ramp(v + 1.15, 0.05) * ramp(-0.55 - v, 0.05)
    return face.astype(np.float32), hair.astype(np.float32), window.astype(np.float32), hairline.astype(np.float32)


FACE, HAIR, WINDOW, HAIRLINE = _windows()
HEAD = np.maximum(FACE, HAIR)
