"""From a raw mask frame to the truth: one rule, one threshold a method."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from itertools import repeat
from typing import NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from ..video.containers import Box
from ..video.decoders import Backend, Image
from ..video.planes import Spot, mark_bright, tighten
from ..video.reader import VideoReader
from .index import Clip

Mask = NDArray[np.uint8]
"""Truth of one frame: (H, W), 0 real, 1 forged, 255 not known."""

UNKNOWN = 255
"""Value of a mask where the truth is not known; every pixel loss and pixel metric ignores it."""

THRESHOLDS: Mapping[str, int] = {
    "Deepfakes": 127,  # a flat rectangle
    "DeepFakeDetection": 127,  # a soft-edged silhouette
    "Face2Face": 16,  # the others are rendered faces, whose dark pixels belong to the face
    "FaceSwap": 16,
    "NeuralTextures": 16,
}
"""Grey level above which a mask's brightest channel counts as forged; lossy, a mask never is exactly 0 or 255."""

RULE = 1
"""Version of `forged_region`: raise it with every change of what that answers, and tracks are found anew."""

SPECK = 0.0005
"""Share of the frame's area under which a region is a trace of the codec; a mask with no larger one is empty."""


class Truth(NamedTuple):
    """What is forged in one frame, kept as small as it is.

    Attributes:
        part: (h, w), the truth inside a box of the frame.
        x: Left side of the box.
        y: Its upper side.
        rest: The truth of all other pixels: 0, or 255 where nothing of the frame is known.
    """

    part: Mask
    x: int = 0
    y: int = 0
    rest: int = 0

    def __bool__(self) -> bool:
        """Whether anything is forged or not known."""
        return bool(self.rest or (self.part.size and cv2.countNonZero(self.part)))

    def cut_out(self, box: Box) -> Mask:
        """The truth inside a box of the frame, (h, w)."""
        x0, y0, x1, y1 = box
        mask: Mask = np.full((y1 - y0, x1 - x0), self.rest, np.uint8)
        height, width = self.part.shape
        left, top, right, bottom = max(x0, self.x), max(y0, self.y), min(x1, self.x + width), min(y1, self.y + height)
        if left < right and top < bottom:
            inside = self.part[top - self.y : bottom - self.y, left - self.x : right - self.x]
            mask[top - y0 : bottom - y0, left - x0 : right - x0] = inside
        return mask


class Stencil(NamedTuple):
    """The truth inside a box, at one bit a pixel.

    Attributes:
        bits: 1 where forged, eight pixels a byte, row after row.
        shape: (h, w) of the box.
        known: False where nothing of the frame is known.
        anything: Whether anything of the frame is forged or not known, also outside the box.
    """

    bits: NDArray[np.uint8]
    shape: tuple[int, int]
    known: bool
    anything: bool

    def mask(self) -> Mask:
        """The truth, (h, w)."""
        height, width = self.shape
        if not self.known:
            return np.full(self.shape, UNKNOWN, np.uint8)
        return np.unpackbits(self.bits, count=height * width).reshape(self.shape)


def cut_stencil(truth: Truth, box: Box) -> Stencil:
    """Cuts a box out of a truth."""
    mask, known = truth.cut_out(box), truth.rest != UNKNOWN
    return Stencil(np.packbits(mask if known else mask[:0]), mask.shape, known, bool(truth))


NOTHING = Truth(np.zeros((0, 0), np.uint8))
NOT_KNOWN = Truth(np.zeros((0, 0), np.uint8), rest=UNKNOWN)


def forged_region(image: Image, threshold: int) -> Mask:
    """Reads one mask frame: brightest channel, threshold, close, fill holes, drop specks.

    Args:
        image: A frame of a mask video.
        threshold: Grey level, 0 to 254, that forged pixels exceed.

    Returns:
        (H, W), 1 where the frame was forged, else 0. All 0: nothing was rendered into this frame.

    Examples:
        >>> image = np.zeros((32, 32, 3), np.uint8)
        >>> image[8:24, 8:24] = 200
        >>> image[12:14, 12:14] = 0  # a hole, which is filled
        >>> int(forged_region(image, threshold=127).sum())
        256
    """
    height, width = image.shape[:2]
    return forged_pixels(tighten(mark_bright(image, threshold)), width, height).cut_out((0, 0, width, height))


def forged_pixels(spot: Spot, width: int, height: int) -> Truth:
    """The rule of `forged_region` behind its threshold.

    Args:
        spot: Where the brightest channel exceeds the threshold.
        width: Of the frame in pixels; what of the spot lies outside is cut off.
        height: Of the frame in pixels.
    """
    lit = spot.pixels[: max(0, height - spot.y), max(0, -spot.x) : max(0, width - spot.x)]
    if not lit.size:
        return NOTHING
    x, y, (down, across) = max(0, spot.x), spot.y, lit.shape
    size = max(3, height // 48 | 1)  # 11 pixels at 480 lines: closes brows and lids that reach the face's edge
    least = SPECK * height * width
    if min(x, y, width - x - across, height - y - down) >= size:
        if cv2.countNonZero(lit) == lit.size and (across - 1) * (down - 1) >= least:
            return Truth(lit, x, y)  # a rectangle, as those of Deepfakes are, has nothing to close or to fill
        closed = _close(lit, size)
    else:  # as OpenCV does it, what lies outside the frame counts as forged where it alone would keep a gap open
        x, y, left, top = max(0, x - size), max(0, y - size), min(x, size), min(y, size)
        part: Mask = np.zeros((min(height - y, top + down + size), min(width - x, left + across + size)), np.uint8)
        part[top : top + down, left : left + across] = lit
        closed = cast("Mask", cv2.morphologyEx(part, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8)))
    outlines, _ = cv2.findContours(closed, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if len(outlines) != 1 or cv2.contourArea(outlines[0]) < least:
        outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        for outline in outlines:
            cv2.drawContours(closed, [outline], -1, int(cv2.contourArea(outline) >= least), cv2.FILLED)
    return Truth(closed, x, y)


def _close(lit: Mask, size: int) -> Mask:
    """Morphological closing by a square on a dark plane, in three quarters of OpenCV's time.

    Rows lie behind one another with dark pixels between them, so that a step of one pixel in any direction is a shift
    of them all. Pixels at most so many steps apart are joined by `or`, then by `and`, whose shift makes up for the
    first; each doubles how far it reaches until that is the square's side.
    """
    height, width = lit.shape
    room = size - 1
    across = width + room
    row: Mask = np.zeros((height + 2 * room) * across + 2 * room, np.uint8)
    row[room * across + room :][: height * across].reshape(height, across)[:, :width] = lit
    for join in (np.bitwise_or, np.bitwise_and):
        for step in (1, across):
            reach = 1
            while reach < size:
                more = min(reach, size - reach)
                row = join(row[: -more * step], row[more * step :])
                reach += more
    return row[: height * across].reshape(height, across)[:, :width]


def read_truths(
    clip: Clip,
    frames: Sequence[int],
    thresholds: Mapping[str, int] = THRESHOLDS,
    backend: Backend = "pyav",
) -> Generator[Truth]:
    """Yields the truth of frames of one clip.

    The truth of an original is 0 everywhere. It is 255, not known, for a method without masks, a missing mask file, a
    frame behind the mask's end, and a mask that has neither its clip's size nor, for a centred crop, its target's.

    Args:
        clip: A row of the index.
        frames: Indices in rising order.
        thresholds: Grey level for each method with masks, 0 to 254.
        backend: What decodes, see `VideoReader`.

    Raises:
        FileNotFoundError: The mask is gone.
        OSError: A frame of it cannot be read.
    """
    if clip.label == 0:
        yield from repeat(NOTHING, len(frames))
        return
    left = mask_shift(clip)
    known: Sequence[int] = []
    if left is not None and clip.method in thresholds:
        known = [frame for frame in frames if frame < clip.mask_frames]
        reader = VideoReader(clip.mask_path, backend)
        for pixels, x, y in reader.read_bright(known, thresholds[clip.method]) if known else ():
            yield forged_pixels(Spot(pixels, x - left, y), clip.width, clip.height)
    yield from repeat(NOT_KNOWN, len(frames) - len(known))


def read_masks(
    clip: Clip,
    frames: Sequence[int],
    thresholds: Mapping[str, int] = THRESHOLDS,
    backend: Backend = "pyav",
) -> Generator[Mask]:
    """Yields the truth of frames of one clip as masks of the clip's size, (H, W), 0 real, 1 forged, 255 not known.

    That of an original is 0 everywhere. It is 255 everywhere for a method without masks, a missing mask file, a frame
    behind the mask's end, and a mask that has neither its clip's size nor, for a centred crop, its target's.

    Args:
        clip: A row of the index.
        frames: Indices in rising order.
        thresholds: Grey level for each method with masks, 0 to 254.
        backend: What decodes, see `VideoReader`.

    Raises:
        FileNotFoundError: The mask is gone.
        OSError: A frame of it cannot be read.

    Examples:
        >>> from datamodules import clips_of, index
        >>> clip = next(clip for clip in clips_of(index(root)) if clip.method == "Deepfakes")
        >>> [mask.shape == (clip.height, clip.width) for mask in read_masks(clip, [0, 5])]
        [True, True]
    """
    with closing(read_truths(clip, frames, thresholds, backend)) as truths:
        yield from (truth.cut_out((0, 0, clip.width, clip.height)) for truth in truths)


def mask_shift(clip: Clip) -> int | None:
    """Columns between a mask's left side and its clip's: 0, `dx` where only the clip was cut, None without a fit."""
    if clip.mask_height != clip.height:
        return None
    shifts = {clip.width: 0, clip.width + 2 * clip.dx: clip.dx, clip.width + 2 * clip.dx + 1: clip.dx}
    return shifts.get(clip.mask_width)
