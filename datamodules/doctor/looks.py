"""Looks at a few frames of all clips of one target: what masks hold, what cannot be decoded, what is no fake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..detection import ORIGINALS, PREFERENCE
from ..faces import FaceTracks
from ..index import ON_DISK, Clip, clips_of
from ..masks import THRESHOLDS, Mask, forged_region, mask_shift
from ..sampling import even_frames
from ..video import Image, VideoReader
from .copies import copy_of
from .findings import name_of
from .people import ALIGNING, Likeness, describe

MARGIN = 1.3
"""Of the crop in which a mask's share is told; the tables' own."""

THUMBNAIL_PX, JPEG_QUALITY = 160, 85


class Errand(NamedTuple):
    """What to look at.

    Attributes:
        target: Id.
        clips: Its original and all its fakes, of all qualities.
        count: Frames to look at, evenly spaced in the target's time.
    """

    target: str
    clips: list[Clip]
    count: int


class MaskLook(NamedTuple):
    """What the mask of one fake holds in the frames looked at.

    Attributes:
        method: One of `THRESHOLDS`.
        frames: How many frames.
        empty: In how many of them nothing is forged.
        shares: Of the others, the share of the crop that is forged, 0 to 1.
        greys: (256,) pixels of each grey level of the brightest channel.
    """

    method: str
    name: str
    frames: int
    empty: int
    shares: tuple[float, ...]
    greys: NDArray[np.int64]


class Look(NamedTuple):
    """What was seen of one target.

    Attributes:
        target: Id.
        masks: One entry a fake with a mask.
        damaged: `video` or `mask`, quality, and name of what cannot be decoded.
        copies: Quality, name and kind (see `Copy`) of fakes that show their original.
        face: What tells the person from others; None where no mask says where the face is.
        thumbnail: JPEG of the face, empty without one.
    """

    target: str
    masks: list[MaskLook]
    damaged: list[tuple[str, str, str]]
    copies: list[tuple[str, str, str]]
    face: Likeness | None
    thumbnail: bytes


def errands(table: pd.DataFrame, count: int) -> list[Errand]:
    """One errand a target of the readable clips of an index, see `index_all`."""
    table = table[table.frames > 0]
    return [Errand(str(target), clips_of(clips), count) for target, clips in table.groupby("target")]


def look(errand: Errand) -> Look:
    """Decodes the frames of one target's clips and says what they hold; of a damaged file, those before the damage."""
    clips = sorted(errand.clips, key=lambda clip: (ORIGINALS.index(clip.compression), ON_DISK.index(clip.method)))
    frames = moments(clips, errand.count)
    masks: dict[str, dict[int, Mask]] = {}
    seen, damaged, copies = [], [], []
    for clip in clips:
        if clip.mask_path in masks or clip.method not in THRESHOLDS or mask_shift(clip) is None:
            continue
        wanted = of_clip(frames, min(clip.frames, clip.mask_frames))
        images, whole = _read(clip.mask_path, wanted)
        if not whole:
            damaged.append(("mask", "", name_of(clip)))
        masks[clip.mask_path] = {frame: _truth(image, clip) for frame, image in images.items()}
        greys = sum(
            (np.bincount(image.max(axis=2).ravel(), minlength=256) for image in images.values()), np.zeros(256, int)
        )
        seen.append((clip, MaskLook(clip.method, name_of(clip), len(images), 0, (), greys)))
    track = _track([(clip, masks[clip.mask_path]) for clip, _ in seen], clips)
    looks = [_with_shares(clip, each, masks[clip.mask_path], track) for clip, each in seen]
    face, thumbnail = None, b""
    originals: Mapping[int, Image] = {}
    for clip in clips:
        images, whole = _read(clip.path, of_clip(frames, clip.frames))
        if not whole:
            damaged.append(("video", clip.compression, name_of(clip)))
        if not clip.label:
            originals = images
            quality = clip.compression
            if face is None:
                aligned = [(one, masks[one.mask_path]) for one, _ in seen]
                face = describe(*_portraits(aligned, images))
                thumbnail = _thumbnail(images, clip, track) if track else b""
            continue
        if not originals or clip.compression != quality:
            continue
        regions = masks.get(clip.mask_path) or _crops(clip, list(images), track)
        cut = {frame: image[:, clip.dx : clip.dx + clip.width] for frame, image in originals.items()}
        alike = copy_of(images, cut, regions, clip.compression)
        if alike:
            copies.append((clip.compression, name_of(clip), alike))
    return Look(errand.target, looks, damaged, copies, face, thumbnail)


def moments(clips: Sequence[Clip], count: int) -> tuple[int, ...]:
    """Frames evenly spaced in a target's time, so that a fake and its original are seen at the same moments."""
    length = next((clip.frames for clip in clips if not clip.label), max(clip.frames for clip in clips))
    return even_frames(length, count)


def of_clip(frames: Sequence[int], length: int) -> tuple[int, ...]:
    """Those of the frames that a clip has; its middle where it has none of them."""
    return tuple(frame for frame in frames if frame < length) or even_frames(length, 1)


def _read(path: str, frames: Sequence[int]) -> tuple[dict[int, Image], bool]:
    images: dict[int, Image] = {}
    try:
        for number, image in enumerate(VideoReader(path).read(frames)):
            images[frames[number]] = image
    except (OSError, ValueError):
        return images, False
    return images, True


def _truth(image: Image, clip: Clip) -> Mask:
    """A mask frame in the columns of its clip."""
    left = mask_shift(clip) or 0
    return forged_region(image, THRESHOLDS[clip.method])[:, left : left + clip.width]


def _track(masks: Sequence[tuple[Clip, Mapping[int, Mask]]], clips: Sequence[Clip]) -> FaceTracks | None:
    """The face's boxes by the rule of training, from the frames looked at: one mask of the target gives all."""
    for clip, truths in sorted(masks, key=lambda each: PREFERENCE.index(each[0].method)):
        rects = {frame: cv2.boundingRect(truth) for frame, truth in sorted(truths.items()) if truth.any()}
        if rects:
            x, y, width, height = np.array(list(rects.values()), np.float32).T
            edges = np.stack([x + clip.dx, y, x + clip.dx + width, y + height], axis=1)
            every = np.arange(max(clip.frames for clip in clips))
            boxes = np.stack([np.interp(every, list(rects), edge) for edge in edges.T], axis=1, dtype=np.float32)
            left, right = max(clip.dx for clip in clips), min(clip.dx + clip.width for clip in clips)
            bounds = left, right, min(clip.height for clip in clips)
            return FaceTracks("masks", "", {clip.target: boxes}, {clip.target: bounds})
    return None


def _crops(clip: Clip, frames: Sequence[int], track: FaceTracks | None) -> dict[int, Mask]:
    """The face's box as a region, for a method without masks; without a box all of the frame."""
    regions = {frame: np.zeros((clip.height, clip.width), np.uint8) for frame in frames}
    boxes = track.crops(clip, frames, 1.0) if track else [(0, 0, clip.width, clip.height)] * len(frames)
    for region, (x0, y0, x1, y1) in zip(regions.values(), boxes, strict=True):
        region[y0:y1, x0:x1] = 1
    return regions


def _with_shares(clip: Clip, mask: MaskLook, truths: Mapping[int, Mask], track: FaceTracks | None) -> MaskLook:
    forged = {frame: truth for frame, truth in truths.items() if truth.any()}
    boxes = track.crops(clip, list(forged), MARGIN) if track and forged else []
    shares = tuple(
        float(truth[y0:y1, x0:x1].mean()) for truth, (x0, y0, x1, y1) in zip(forged.values(), boxes, strict=True)
    )
    return mask._replace(empty=len(truths) - len(forged), shares=shares)


def _portraits(
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


def _thumbnail(images: Mapping[int, Image], clip: Clip, track: FaceTracks) -> bytes:
    if not images:
        return b""
    frame = list(images)[len(images) // 2]
    x0, y0, x1, y1 = track.crops(clip, [frame], 1.7)[0]
    face = cv2.resize(images[frame][y0:y1, x0:x1], (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    return jpeg(face)


def jpeg(image: Image) -> bytes:
    """An image as a JPEG file."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()
