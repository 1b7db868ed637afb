"""The face's own coordinates: where it is in a frame, its unrolled chart, its relief under a light."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..video.decoders import Image

Plane = NDArray[np.float32]
"""Numbers over a chart or a frame: (H, W), or (H, W, 3) for colours from 0 to 255."""

CHART_PX = 128
"""Pixels of a chart in both directions."""

REACH = 1.1
"""A chart shows u and v from -1.1 to 1.1; the face fills the unit circle: chin at v = 1, hairline at v = -1."""


class Face(NamedTuple):
    """One face in one frame.

    Attributes:
        x: Centre, pixels from the left.
        y: Centre, pixels from the top.
        width: Half-width, pixels.
        height: Half-height from hairline to chin, pixels.
        roll: Inclination, radians, clockwise.
        mouth: Opening of the mouth, 0 closed to 1.
    """

    x: float
    y: float
    width: float
    height: float
    roll: float
    mouth: float

    def to_frame(self) -> NDArray[np.float64]:
        """Returns the affine map (2, 3) from pixels of the chart to pixels of the frame."""
        cos, sin, unit = np.cos(self.roll), np.sin(self.roll), 2 * REACH / CHART_PX
        turn = np.array([[cos * self.width, -sin * self.height], [sin * self.width, cos * self.height]]) * unit
        return np.column_stack([turn, [self.x, self.y] - turn @ np.full(2, (CHART_PX - 1) / 2)])


class Take(NamedTuple):
    """One original recording.

    Attributes:
        frames: (T, H, W, 3), RGB, 0 to 255.
        faces: T faces, one a frame.
    """

    frames: NDArray[np.uint8]
    faces: list[Face]


def grid(width: int = CHART_PX, height: int = CHART_PX, reach: float = REACH) -> tuple[Plane, Plane]:
    """Returns u and v of every pixel of a chart, each (height, width)."""
    u = (np.arange(width, dtype=np.float32) + 0.5) / width * 2 * reach - reach
    v = (np.arange(height, dtype=np.float32) + 0.5) / height * 2 * reach - reach
    return tuple(np.meshgrid(u, v))  # type: ignore[return-value]


def unroll(frame: Image, face: Face) -> Plane:
    """Cuts the face out of a frame and sets it upright: its chart (CHART_PX, CHART_PX, 3)."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    chart = cv2.warpAffine(frame, face.to_frame(), (CHART_PX, CHART_PX), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(chart, np.float32)


def project(chart: Plane, face: Face, width: int, height: int) -> Plane:
    """Lays a chart back over a black frame of `width` x `height` pixels; the inverse of `unroll`."""
    flags: Any = cv2.INTER_LINEAR
    return np.asarray(cv2.warpAffine(chart, face.to_frame(), (width, height), flags=flags), np.float32)


def paste(frame: Image, chart: Plane, coverage: Plane, face: Face) -> Image:
    """Blends a chart over a frame; where the coverage is 0 the frame stays as it is, to the bit.

    Args:
        frame: The frame to change.
        chart: Colours, (CHART_PX, CHART_PX, 3).
        coverage: Weight of the chart, (CHART_PX, CHART_PX), 0 to 1.
        face: Where to.
    """
    corners = cv2.transform(
        np.array([[[0.0, 0], [CHART_PX, 0], [0, CHART_PX], [CHART_PX, CHART_PX]]]), face.to_frame()
    )[0]
    x0, y0 = np.maximum(np.floor(corners.min(0)).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(corners.max(0)).astype(int) + 1, [frame.shape[1], frame.shape[0]])
    here = face._replace(x=face.x - x0, y=face.y - y0)
    weight = project(coverage, here, x1 - x0, y1 - y0)[..., None]
    colours = project(chart, here, x1 - x0, y1 - y0)
    out = frame.copy()
    below = frame[y0:y1, x0:x1]
    blend = below + weight * (colours - below)
    out[y0:y1, x0:x1] = np.where(weight > 0, np.clip(np.rint(blend), 0, 255), below)
    return out


def hill(u: Plane, v: Plane, at: tuple[float, float], size: tuple[float, float]) -> Plane:
    """Returns a bell of height 1 around `at` with the standard deviations `size`."""
    return np.asarray(np.exp(-0.5 * (((u - at[0]) / size[0]) ** 2 + ((v - at[1]) / size[1]) ** 2)), np.float32)


def shading(u: Plane, v: Plane, light: tuple[float, float, float], ambient: float, nose: float = 1.0) -> Plane:
    """Lights the relief of a face.

    Args:
        u: Coordinates to the right, of any shape (H, W), evenly spaced.
        v: Coordinates downwards.
        light: Direction towards the light: right, down, forward.
        ambient: Light from everywhere, 0 to 1.
        nose: Length of the nose, 1 for a middling one.

    Returns:
        Brightness (H, W), from `ambient` to 1.
    """
    height = 1.1 * np.sqrt(np.clip(1.3 - (0.85 * u) ** 2 - (0.8 * v) ** 2, 0.02, None))
    height += nose * (0.16 * hill(u, v, (0, 0.05), (0.09, 0.2)) + 0.12 * hill(u, v, (0, 0.24), (0.13, 0.09)))
    height += 0.06 * hill(u, v, (0, 0.52), (0.22, 0.09)) + 0.07 * hill(u, v, (0, 0.86), (0.2, 0.1))
    for side in (-1, 1):
        height += 0.07 * hill(u, v, (0.5 * side, 0.2), (0.2, 0.2)) + 0.05 * hill(u, v, (0.4 * side, -0.4), (0.22, 0.06))
        height -= 0.12 * hill(u, v, (0.4 * side, -0.2), (0.17, 0.1))
    down, right = np.gradient(height, float(v[1, 0] - v[0, 0]), float(u[0, 1] - u[0, 0]))
    towards = np.asarray(light) / np.linalg.norm(light)
    facing = (towards[2] - towards[0] * right - towards[1] * down) / np.sqrt(1 + right**2 + down**2)
    return np.asarray(ambient + (1 - ambient) * np.clip(facing, 0, 1), np.float32)
