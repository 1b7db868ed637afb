"""From a raw mask frame to the truth: one rule, one threshold a method."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from .index import Clip
from .video import Backend, Image, VideoReader, bright

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


def forged_region(image: Image, threshold: int) -> Mask:
    """Reads one mask frame: brightest channel, threshold, close, fill holes, drop specks.

    Args:
        image: A frame of a mask video.
        threshold: Grey level, 0 to 254, that forged pixels exceed.

    Returns:
        (H, W), 1 where the frame was forged, else 0. All 0: nothing was rendered into this frame.
    """
    return filled(bright(image, threshold))


def filled(lit: Mask) -> Mask:
    """The rule of `forged_region` behind its threshold.

    Args:
        lit: (H, W), 1 where the brightest channel exceeds the threshold, else 0.

    Returns:
        (H, W), 1 where the frame was forged, else 0.
    """
    height, width = lit.shape
    forged: Mask = np.zeros_like(lit)
    x, y, across, down = cv2.boundingRect(lit)
    if not across:
        return forged
    size = max(3, height // 48 | 1)  # 11 pixels at 480 lines: closes brows and lids that reach the face's edge
    x0, y0 = max(0, x - size), max(0, y - size)  # what lies further off stays dark
    part = lit[y0 : y + down + size, x0 : x + across + size]
    closed = cv2.morphologyEx(part, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    regions = [outline for outline in outlines if cv2.contourArea(outline) >= SPECK * height * width]
    cv2.drawContours(forged, regions, -1, 1, cv2.FILLED, offset=(x0, y0))
    return forged


def read_masks(
    clip: Clip,
    frames: Sequence[int],
    thresholds: Mapping[str, int] = THRESHOLDS,
    backend: Backend = "pyav",
) -> Generator[Mask]:
    """Yields the truth of frames of one clip, each of the clip's own size.

    The truth of an original is 0 everywhere. It is 255, not known, for a method without masks, a missing mask file, a
    frame behind the mask's end, and a mask that has neither its clip's size nor, for a centred crop, its target's.

    Args:
        clip: A row of the index.
        frames: Indices in rising order.
        thresholds: Grey level for each method with masks.
        backend: See `VideoReader`.
    """
    shape = (clip.height, clip.width)
    if clip.label == 0:
        yield from (np.zeros(shape, np.uint8) for _ in frames)
        return
    left = mask_shift(clip)
    known: Sequence[int] = []
    if left is not None and clip.method in thresholds:
        known = [frame for frame in frames if frame < clip.mask_frames]
        reader = VideoReader(clip.mask_path, backend)
        for lit in reader.read_bright(known, thresholds[clip.method]) if known else ():
            yield filled(lit[:, left : left + clip.width])
    yield from (np.full(shape, UNKNOWN, np.uint8) for _ in frames[len(known) :])


def mask_shift(clip: Clip) -> int | None:
    """Columns between a mask's left side and its clip's: 0, `dx` where only the clip was cut, None without a fit."""
    if clip.mask_height != clip.height:
        return None
    shifts = {clip.width: 0, clip.width + 2 * clip.dx: clip.dx, clip.width + 2 * clip.dx + 1: clip.dx}
    return shifts.get(clip.mask_width)
