"""PyAV's pixel side of `video.py`: cuts planes before they are converted to RGB, and reads masks off them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple, cast

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from .containers import Box, Frame

CHROMA = {
    "gbrp": (0, 0),
    "yuv420p": (1, 1),
    "yuvj420p": (1, 1),
    "yuv422p": (1, 0),
    "yuvj422p": (1, 0),
    "yuv444p": (0, 0),
    "yuvj444p": (0, 0),
}
"""Pixel formats whose planes are cut, and how often the width and height of their second and third plane is halved."""

GREY = 3
"""Distance of U and V from 128 up to which a pixel is taken for one without colour where bright ones are sought."""

ROOM_PX = 8
"""Pixels round what is bright by which it may move from frame to frame before it is sought anew."""

COLOURED_FRAMES = 32
"""Frames with colour after which what is bright is sought anew in any case: where it was does not shrink before."""


class Converter:
    """Makes RGB of a part of a frame, equal to the bit to that part of the whole frame's RGB.

    One converter serves one clip: libswscale prepares for a size once (2 to 4 ms), and a window of that size is moved
    over the planes; it grows when a larger part is asked for.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._window: Any = None
        self._window_planes: list[NDArray[np.uint8]] = []

    def convert(self, frame: Frame, box: Box | None = None) -> NDArray[np.uint8]:
        """Returns (h, w, 3), 0 to 255, of the whole frame or a box in it; colour matrix and range as the file says."""
        x0, y0, x1, y1 = box or (0, 0, frame.width, frame.height)
        odd = frame.width % 2 or frame.height % 2  # libswscale interpolates their chroma
        whole = (x1 - x0, y1 - y0) == (frame.width, frame.height)
        if odd or frame.format.name not in CHROMA or (whole and not frame.interlaced_frame):
            return _part(self._rgb(frame), x0, y0, x1, y1)  # a window is progressive, as decord takes all frames to be
        window = self._fit_window(frame, x1 - x0 + x0 % 2, y1 - y0 + y0 % 2)
        x, y = min(x0 - x0 % 2, frame.width - window.width), min(y0 - y0 % 2, frame.height - window.height)
        for source, target, (across, down) in zip(planes(frame), self._window_planes, _halvings(frame), strict=True):
            height, width = window.height >> down, window.width >> across
            target[:height, :width] = source[y >> down :, x >> across :][:height, :width]
        return _part(self._rgb(window), x0 - x, y0 - y, x1 - x, y1 - y)

    def _rgb(self, frame: Frame) -> NDArray[np.uint8]:
        image: Any = self._reformatter.reformat(frame, format="rgb24", threads=1)
        (plane,) = image.planes
        pixels = np.ndarray((image.height, image.width, 3), np.uint8, plane, strides=(plane.line_size, 3, 1))
        return pixels.copy() if image is frame else pixels

    def _fit_window(self, frame: Frame, width: int, height: int) -> Frame:
        window, name = self._window, frame.format.name
        if window is None or window.format.name != name or window.width < width or window.height < height:
            if window is not None:
                width, height = max(width, window.width), max(height, window.height)
            width, height = min(-(-width // 32) * 32, frame.width), min(-(-height // 32) * 32, frame.height)
            self._window = window = av.VideoFrame(width, height, name)
            self._window_planes = planes(window)
        window.colorspace, window.color_range = frame.colorspace, frame.color_range
        return window


def _part(image: NDArray[np.uint8], x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
    """A view, or where it would keep more than a third too much in memory, a copy."""
    part = image[y0:y1, x0:x1]
    return part if 4 * part.size >= 3 * image.size else part.copy()


def planes(frame: Frame) -> list[NDArray[np.uint8]]:
    """The planes of an 8-bit planar frame, (rows, bytes a row): rows may be longer than the frame is wide."""
    return [np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size) for plane in frame.planes]


def _halvings(frame: Frame) -> list[tuple[int, int]]:
    return [(0, 0), CHROMA[frame.format.name], CHROMA[frame.format.name]]


class Spot(NamedTuple):
    """Bright pixels of a frame.

    Attributes:
        pixels: (h, w), 1 bright, 0 not; outside these, all are dark.
        x: Column of the frame in which they begin.
        y: Row of the frame in which they begin.
    """

    pixels: NDArray[np.uint8]
    x: int
    y: int

    @property
    def box(self) -> Box:
        """Where they are."""
        height, width = self.pixels.shape
        return self.x, self.y, self.x + width, self.y + height


DARK = Spot(np.zeros((0, 0), np.uint8), 0, 0)


def tighten(pixels: NDArray[np.uint8], x: int = 0, y: int = 0) -> Spot:
    """What is bright of some pixels of a frame, that begin at column x and row y, without the dark ones around it."""
    left, top, across, down = cv2.boundingRect(pixels)
    return Spot(pixels[top : top + down, left : left + across], x + left, y + top) if across else DARK


def mark_bright(image: NDArray[np.uint8], threshold: int) -> NDArray[np.uint8]:
    """Where any channel of an image exceeds a threshold: (H, W), 0 or 1."""
    dark = cv2.inRange(image, (0, 0, 0), (threshold, threshold, threshold))
    return cast("NDArray[np.uint8]", cv2.threshold(dark, 0, 1, cv2.THRESH_BINARY_INV)[1])


class SpotFinder:
    """Finds where any channel of a clip's frames exceeds a threshold, equal to the bit, converting as little as can be.

    A frame without colour, as most masks are, needs no conversion: its grey follows from Y alone. In others a part is
    converted that holds every pixel that may be bright. With Y' = Y - 16 (full range: Y) and C the larger distance of U
    and V from 128, no channel of any of H.264's matrices exceeds 1.17 Y' + 2.2 C (BT.2020's blue: 1.164 Y' + 2.142 C),
    give or take 2 by rounding.

    Bright pixels are expected where those of the frame before were: that they are nowhere else is seen in a fifth of
    the time that it takes to find them.

    Args:
        threshold: 0 to 254.
    """

    def __init__(self, threshold: int) -> None:
        self.threshold = threshold
        self._dim = int((threshold - 2 - 2.2 * GREY) // 1.17)
        self._converter = Converter()
        self._near: Box | None = None
        self._coloured = 0

    def find(self, frame: Frame) -> Spot:
        """Where a frame is bright; one whose planes are not YUV is converted whole."""
        name, width, height = frame.format.name, frame.width, frame.height
        if name not in CHROMA or name == "gbrp" or self._dim < 0 or width % 2 or height % 2:
            return tighten(mark_bright(self._converter.convert(frame), self.threshold))
        (across, down), (y, u, v) = CHROMA[name], planes(frame)
        y, u, v = y[:, :width], u[:, : width >> across], v[:, : width >> across]
        extremes = (*cv2.minMaxLoc(u)[:2], *cv2.minMaxLoc(v)[:2])
        away = max(abs(int(extreme) - 128) for extreme in extremes)
        if away:
            dim = self._dim + (0 if name.startswith("yuvj") or frame.color_range == 2 else 16)
        else:
            dim = _grey_level(name, int(frame.colorspace), int(frame.color_range), self.threshold)
        coloured = (u, v) if away > GREY else ()
        if self._near is None or not (
            _is_within(y, self._near, 0, dim)
            and all(_is_within(plane, _halve(self._near, across, down), 128 - GREY, 128 + GREY) for plane in coloured)
        ):
            boxes = [_bounds(y, dim)]
            if coloured:
                distance: Any = cv2.max(cv2.absdiff(u, 128.0), cv2.absdiff(v, 128.0))  # type: ignore[call-overload]
                x0, y0, x1, y1 = _bounds(distance, GREY) or (0, 0, 0, 0)
                boxes.append((x0 << across, y0 << down, x1 << across, y1 << down))
            found = [box for box in boxes if box]
            if not found:
                return DARK
            self._near = _grow(found, width, height)
        x0, y0, x1, y1 = self._near
        if away:
            self._coloured += 1
            if self._coloured % COLOURED_FRAMES == 0:
                self._near = None
            return tighten(mark_bright(self._converter.convert(frame, (x0, y0, x1, y1)), self.threshold), x0, y0)
        spot = tighten(_threshold(y[y0:y1, x0:x1], dim), x0, y0)
        if spot.pixels.size:
            self._near = _grow([spot.box], width, height)
        return spot


def _threshold(plane: Any, level: int) -> NDArray[np.uint8]:
    return cast("NDArray[np.uint8]", cv2.threshold(plane, level, 1, cv2.THRESH_BINARY)[1])


@cache
def _grey_level(name: str, colorspace: int, color_range: int, threshold: int) -> int:
    """The largest Y of a pixel without colour whose RGB does not exceed a threshold."""
    ramp = av.VideoFrame(256, 2, name)
    ramp.colorspace, ramp.color_range = colorspace, color_range
    for number, plane in enumerate(planes(ramp)):
        plane[:] = 128
        if number == 0:
            plane[:, :256] = np.arange(256)
    return int((Converter().convert(ramp)[0].max(axis=1) <= threshold).sum()) - 1


def _is_within(plane: NDArray[np.uint8], box: Box, lowest: int, highest: int) -> bool:
    """Whether all values outside a box lie between two."""
    x0, y0, x1, y1 = box
    around = [part for part in (plane[:y0], plane[y1:], plane[y0:y1, :x0], plane[y0:y1, x1:]) if part.size]
    extremes = [cv2.minMaxLoc(part)[:2] for part in around]
    return all(lowest <= low and high <= highest for low, high in extremes)


def _halve(box: Box, across: int, down: int) -> Box:
    x0, y0, x1, y1 = box
    return x0 >> across, y0 >> down, x1 >> across, y1 >> down


def _grow(boxes: Sequence[Box], width: int, height: int) -> Box:
    """A box round boxes, with room and on even coordinates."""
    x0, y0 = (max(0, min(box[side] for box in boxes) - ROOM_PX) // 2 * 2 for side in (0, 1))
    x1, y1 = (max(box[side] for box in boxes) + ROOM_PX + 1 for side in (2, 3))
    return x0, y0, min(width, x1 // 2 * 2), min(height, y1 // 2 * 2)


def _bounds(plane: NDArray[np.uint8], above: int) -> Box | None:
    columns = np.flatnonzero(plane.max(axis=0) > above)  # first, for along rows NumPy takes three times as long
    if not columns.size:
        return None
    x0, x1 = int(columns[0]), int(columns[-1]) + 1
    rows = np.flatnonzero(plane[:, x0:x1].max(axis=1) > above)
    return x0, int(rows[0]), x1, int(rows[-1]) + 1
