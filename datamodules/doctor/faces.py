"""Where the face of a target is in the frames looked at, and pictures of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import pandas as pd

from ..clips.index import Clip
from ..clips.masks import Mask
from ..faces.detection import PREFERENCE, TRACK_COLUMNS
from ..faces.tracks import FaceTracks, common_frame, fill_gaps
from ..video.decoders import Image

ALIGNING = ("Face2Face", "NeuralTextures", "DeepFakeDetection", "FaceSwap", "Deepfakes")
"""Whose mask shows how a face lies: a rendered model follows it best, a rectangle worst."""

THUMBNAIL_PX, JPEG_QUALITY = 160, 85


def track_of(masks: Sequence[tuple[Clip, Mapping[int, Mask]]], clips: Sequence[Clip]) -> FaceTracks | None:
    """The face's boxes by the rule of training, from the frames looked at: one mask of the target gives all."""
    for clip, truths in sorted(masks, key=lambda each: PREFERENCE.index(each[0].method)):
        rects = [(frame, cv2.boundingRect(truth)) for frame, truth in truths.items() if truth.any()]
        if rects:
            seen = [(frame, x + clip.dx, y, x + clip.dx + across, y + down) for frame, (x, y, across, down) in rects]
            boxes = fill_gaps(pd.DataFrame(seen, columns=TRACK_COLUMNS[1:]), max(clip.frames for clip in clips))
            frame = common_frame(pd.DataFrame(clips))
            return FaceTracks("masks", "", {clip.target: boxes}, {clip.target: frame})
    return None


def crops_of(clip: Clip, frames: Sequence[int], track: FaceTracks | None) -> dict[int, Mask]:
    """The face's box as a region, for a method without masks; without a box all of the frame."""
    regions = {frame: np.zeros((clip.height, clip.width), np.uint8) for frame in frames}
    boxes = track.crops(clip, frames, 1.0) if track else [(0, 0, clip.width, clip.height)] * len(frames)
    for region, (x0, y0, x1, y1) in zip(regions.values(), boxes, strict=True):
        region[y0:y1, x0:x1] = 1
    return regions


def portraits(
    masks: Sequence[tuple[Clip, Mapping[int, Mask]]], images: Mapping[int, Image]
) -> tuple[list[Image], list[Mask]]:
    """Frames of the original, each with the face's outline by the method whose masks follow it best."""
    for clip, truths in sorted(masks, key=lambda each: ALIGNING.index(each[0].method)):
        outlines = {
            frame: np.pad(truth, ((0, 0), (clip.dx, clip.dx))) for frame, truth in truths.items() if truth.any()
        }
        frames = [frame for frame in outlines if frame in images and outlines[frame].shape == images[frame].shape[:2]]
        if frames:
            return [images[frame] for frame in frames], [outlines[frame] for frame in frames]
    return [], []


def thumbnail_of(images: Mapping[int, Image], clip: Clip, track: FaceTracks) -> bytes:
    """The face of a clip's middle frame as a JPEG file; empty without a frame."""
    if not images:
        return b""
    frame = list(images)[len(images) // 2]
    x0, y0, x1, y1 = track.crops(clip, [frame], 1.7)[0]
    face = cv2.resize(images[frame][y0:y1, x0:x1], (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    return jpeg(np.asarray(face, np.uint8))


def jpeg(image: Image) -> bytes:
    """An image as a JPEG file."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()
