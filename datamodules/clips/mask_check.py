"""Masks that contradict what is said of their clips: empty throughout, of another length, or covering everything."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..errors import DataValueError
from ..files import cache_folder, write_parquet
from ..parallel.pool import run_parallel
from ..video.reader import VideoReader
from .index import Clip, even_frames
from .masks import RULE, forged_region, mask_shift

FRAMES_SEEN = 8
"""Frames of a mask that are looked at, evenly spaced; where all are empty, all of its frames."""

COVERED = 0.95
"""Share of the frame from which a mask covers nearly everything: that of a face next to the camera takes half of it."""

LONGER = 1.1
"""Ratio of a mask's length to its clip's from which their frames cannot be paired by number: they differ in rate."""

MASKS_FOR_PROCESSES = 16
"""Masks to look at from which processes pay."""


class MaskSeen(NamedTuple):
    """What a mask shows in the frames looked at.

    Attributes:
        brightest: Largest value of any channel, 0 to 255.
        least: Smallest share of the frame that it marks as forged, 0 to 1.
        most: Largest share of the frame that it marks as forged, 0 to 1.
    """

    brightest: int
    least: float
    most: float


def see_mask(path: str, frames: int, threshold: int) -> MaskSeen:
    """Looks at a mask as training sees it.

    Args:
        path: Of the mask video.
        frames: How many it has for its clip.
        threshold: Grey level that forged pixels exceed.

    Raises:
        OSError: A frame cannot be decoded.
    """
    seen = _look_at_frames(path, even_frames(frames, FRAMES_SEEN), threshold)
    return seen if seen.most else _look_at_frames(path, range(frames), threshold)


def _look_at_frames(path: str, frames: Sequence[int], threshold: int) -> MaskSeen:
    brightest, least, most = 0, 1.0, 0.0
    for image in VideoReader(path).read(frames):
        brightest = max(brightest, int(image.max()))
        share = float(forged_region(image, threshold).mean())
        least, most = min(least, share), max(most, share)
    return MaskSeen(brightest, least, most)


def see_masks(clips: Sequence[Clip], threshold: int, cache_dir: Path | None = None) -> dict[tuple[str, int], MaskSeen]:
    """Looks at the masks of clips, or recalls what was seen; one that cannot be decoded is left out.

    Args:
        clips: Rows of an index; those without a mask that fits are passed over.
        threshold: Grey level that forged pixels exceed.
        cache_dir: Where it is kept; by default the user's cache folder.

    Returns:
        By mask and number of its frames, see `used_part`.
    """
    wanted = {
        used_part(clip): None for clip in clips if clip.label and clip.mask_frames and mask_shift(clip) is not None
    }
    keys = {_key(path, frames, threshold): (path, frames) for path, frames in wanted}
    cache = cache_folder(cache_dir) / "masks-seen.parquet"
    known = pd.read_parquet(cache).set_index("key") if cache.is_file() else pd.DataFrame(columns=MaskSeen._fields)
    found = {key: MaskSeen(*known.loc[key, list(MaskSeen._fields)]) for key in keys if key in known.index}
    left = [(key, *mask) for key, mask in keys.items() if key not in found]
    workers = None if len(left) >= MASKS_FOR_PROCESSES else 1
    try:
        for key, seen in run_parallel(partial(_see, threshold), left, "looking at masks", "mask", workers):
            if seen:
                found[key] = seen
    finally:
        if left and found:  # also in a run that is cut short
            rows = pd.DataFrame([(key, *seen) for key, seen in found.items()], columns=["key", *MaskSeen._fields])
            write_parquet(pd.concat([known[~known.index.isin(rows.key)].rename_axis("key").reset_index(), rows]), cache)
    return {keys[key]: seen for key, seen in found.items()}


def used_part(clip: Clip) -> tuple[str, int]:
    """A clip's mask, and how many of its frames are the clip's."""
    return clip.mask_path, min(clip.frames, clip.mask_frames)


def _see(threshold: int, item: tuple[str, str, int]) -> tuple[str, MaskSeen | None]:
    key, path, frames = item
    try:
        return key, see_mask(path, frames, threshold)
    except OSError:  # which is told when it is read, or by the doctor
        return key, None


def _key(path: str, frames: int, threshold: int) -> str:
    status = os.stat(path)
    facts = (os.fsencode(path), status.st_size, status.st_mtime_ns, status.st_ino, frames, threshold, RULE, FRAMES_SEEN)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def refuse_false_masks(clips: Sequence[Clip], seen: Mapping[tuple[str, int], MaskSeen], threshold: int) -> None:
    """Refuses fakes whose masks would make real clips of them, or cannot be paired with them.

    Args:
        clips: Rows of an index.
        seen: See `see_masks`.
        threshold: Grey level that forged pixels exceed.

    Raises:
        ValueError: A mask is empty in every frame, or longer than its clip by more than `LONGER`.
    """
    empty = [clip for clip in clips if clip.label and used_part(clip) in seen and not seen[used_part(clip)].most]
    if empty:
        brightest = [(part[0], seen[part].brightest) for part in dict.fromkeys(map(used_part, empty))]
        values = ", ".join(f"{path} (brightest value {value})" for path, value in brightest[:10])
        raise DataValueError(
            f"{len(empty)} masks of fakes are empty in every frame at mask_threshold {threshold}, so the fakes would "
            f"count as real: {values}; where forged pixels have a low value, give a lower mask_threshold, else correct "
            "label or mask_path"
        )
    other = [clip for clip in clips if clip.mask_frames > LONGER * clip.frames > 0]
    if other:
        lengths = ", ".join(f"{clip.mask_path} ({clip.mask_frames} for {clip.frames})" for clip in other[:10])
        raise DataValueError(
            f"{len(other)} masks have many more frames than their clip, but frames are paired by number: {lengths}; "
            "bring mask and clip to one frame rate"
        )


def contradictions(clips: Sequence[Clip], seen: Mapping[tuple[str, int], MaskSeen]) -> Iterator[str]:
    """Says what of masks is strange, though it can be used.

    Args:
        clips: Rows of an index.
        seen: See `see_masks`; may be empty.
    """
    longer = [clip for clip in clips if clip.mask_frames > clip.frames > 0]
    if longer:
        first = longer[0]
        yield (
            f"{len(longer)} masks are longer than their clip, first {first.mask_path} ({first.mask_frames} frames for "
            f"{first.frames}); frames are paired by number, and those behind the clip's end are not used"
        )
    full = [clip for clip in clips if used_part(clip) in seen and seen[used_part(clip)].least >= COVERED]
    if full:
        yield (
            f"{len(full)} masks cover nearly the whole frame in every frame looked at, first {full[0].mask_path}: are "
            "they inverted? A mask is bright where its clip is forged"
        )
    broken = [clip for clip in clips if clip.mask_problem]
    if broken:
        yield f"{len(broken)} masks cannot be used, so their pixels count as not known: {broken[0].mask_problem}"
    lost = [clip for clip in clips if clip.lost]
    if lost:
        yield (
            f"{len(lost)} clips begin without a whole key frame, first {lost[0].path}, whose first {lost[0].lost} "
            "pictures cannot be decoded; its frames are counted from the first that can"
        )


def covers_everything(shares: Sequence[float]) -> bool:
    """Whether a mask marks nearly the whole frame in every frame looked at."""
    return bool(len(shares)) and float(np.min(shares)) >= COVERED
