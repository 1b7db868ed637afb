"""Looks at a few frames of all clips of one target: what masks hold, what cannot be decoded, what is no fake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..clips.index import ON_DISK, Clip, clips_of, even_frames
from ..clips.mask_check import covers_everything
from ..clips.masks import THRESHOLDS, Mask, forged_region, mask_shift
from ..faces.detection import ORIGINALS
from ..faces.tracks import FaceTracks
from ..video.decoders import Image
from ..video.proof import damaged_ranges
from ..video.reader import VideoReader
from .copies import copy_of
from .faces import crops_of, portraits, thumbnail_of, track_of
from .findings import name_of
from .people import Likeness, describe

MARGIN = 1.3
"""Of the crop in which a mask's share is told; the tables' own."""


class Errand(NamedTuple):
    """What to look at.

    Attributes:
        target: Id.
        clips: Its original and all its fakes, of all qualities.
        frames: Frames to look at, evenly spaced in the target's time.
        whole: Decode every picture of every file, and say which are damaged.
    """

    target: str
    clips: list[Clip]
    frames: int
    whole: bool = False


class MaskLook(NamedTuple):
    """What the mask of one fake holds in the frames looked at.

    Attributes:
        method: One of `THRESHOLDS`.
        name: `<method>/<clip>`.
        frames: How many frames.
        empty: In how many of them nothing is forged.
        shares: Of the others, the share of the crop that is forged, 0 to 1.
        greys: (256,) pixels of each grey level of the brightest channel.
        everything: Whether it marks nearly the whole frame in every frame looked at.
    """

    method: str
    name: str
    frames: int
    empty: int
    shares: tuple[float, ...]
    greys: NDArray[np.int64]
    everything: bool = False


class Look(NamedTuple):
    """What was seen of one target.

    Attributes:
        target: Id.
        masks: One entry a fake with a mask.
        damaged: `video` or `mask`, quality, and name of what cannot be decoded, with the frames where that is known.
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


def errands(table: pd.DataFrame, count: int, whole: bool = False) -> list[Errand]:
    """One errand a target of the readable clips of an index, see `index_all`."""
    table = table[table.frames > 0]
    return [Errand(str(target), clips_of(clips), count, whole) for target, clips in table.groupby("target")]


def look(errand: Errand) -> Look:
    """Decodes the frames of one target's clips and says what they hold; of a damaged file, those before the damage."""
    clips = sorted(errand.clips, key=lambda clip: (ORIGINALS.index(clip.compression), ON_DISK.index(clip.method)))
    frames = moments(clips, errand.frames)
    masks: dict[str, dict[int, Mask]] = {}
    seen: list[tuple[Clip, MaskLook]] = []
    damaged: list[tuple[str, str, str]] = []
    copies: list[tuple[str, str, str]] = []
    for clip in clips:
        if clip.mask_path in masks or clip.method not in THRESHOLDS or mask_shift(clip) is None:
            continue
        wanted = frames_in_clip(frames, min(clip.frames, clip.mask_frames))
        images, whole = _read(clip.mask_path, wanted)
        damage = _damage(clip.mask_path, errand.whole, whole)
        if damage is not None:
            damaged.append(("mask", "", name_of(clip) + damage))
        masks[clip.mask_path] = {frame: _truth(image, clip) for frame, image in images.items()}
        greys = sum(
            (np.bincount(image.max(axis=2).ravel(), minlength=256) for image in images.values()), np.zeros(256, int)
        )
        everything = covers_everything([float(truth.mean()) for truth in masks[clip.mask_path].values()])
        seen.append((clip, MaskLook(clip.method, name_of(clip), len(images), 0, (), greys, everything)))
    track = track_of([(clip, masks[clip.mask_path]) for clip, _ in seen], clips)
    looks = [_add_shares(clip, each, masks[clip.mask_path], track) for clip, each in seen]
    face, thumbnail = None, b""
    originals: Mapping[int, Image] = {}
    for clip in clips:
        images, whole = _read(clip.path, frames_in_clip(frames, clip.frames))
        damage = _damage(clip.path, errand.whole, whole)
        if damage is not None:
            damaged.append(("video", clip.compression, name_of(clip) + damage))
        if not clip.label:
            originals = images
            quality = clip.compression
            if face is None:
                aligned = [(one, masks[one.mask_path]) for one, _ in seen]
                face = describe(*portraits(aligned, images))
                thumbnail = thumbnail_of(images, clip, track) if track else b""
            continue
        if not originals or clip.compression != quality:
            continue
        regions = masks.get(clip.mask_path) or crops_of(clip, list(images), track)
        cut = {frame: image[:, clip.dx : clip.dx + clip.width] for frame, image in originals.items()}
        alike = copy_of(images, cut, regions, clip.compression)
        if alike:
            copies.append((clip.compression, name_of(clip), alike))
    return Look(errand.target, looks, damaged, copies, face, thumbnail)


def moments(clips: Sequence[Clip], count: int) -> tuple[int, ...]:
    """Frames evenly spaced in a target's time, so that a fake and its original are seen at the same moments."""
    length = next((clip.frames for clip in clips if not clip.label), max(clip.frames for clip in clips))
    return even_frames(length, count)


def frames_in_clip(frames: Sequence[int], length: int) -> tuple[int, ...]:
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


def _damage(path: str, whole: bool, readable: bool) -> str | None:
    """Which frames of a file cannot be given, in parentheses; None where all can, "" where that is not known."""
    if not whole:
        return None if readable else ""
    try:
        ranges = damaged_ranges(Path(path))
    except OSError:
        return ""
    if not ranges:
        return None if readable else ""
    return f" (frames {', '.join(f'{first} to {last}' if last > first else str(first) for first, last in ranges)})"


def _truth(image: Image, clip: Clip) -> Mask:
    """A mask frame in the columns of its clip."""
    left = mask_shift(clip) or 0
    return forged_region(image, THRESHOLDS[clip.method])[:, left : left + clip.width]


def _add_shares(clip: Clip, mask: MaskLook, truths: Mapping[int, Mask], track: FaceTracks | None) -> MaskLook:
    forged = {frame: truth for frame, truth in truths.items() if truth.any()}
    boxes = track.crops(clip, list(forged), MARGIN) if track and forged else np.zeros((0, 4), np.int64)
    shares = tuple(
        float(truth[y0:y1, x0:x1].mean()) for truth, (x0, y0, x1, y1) in zip(forged.values(), boxes, strict=True)
    )
    return mask._replace(empty=len(truths) - len(forged), shares=shares)
