"""Which clips of a FaceForensics++ folder an experiment uses: what is asked for, or a sentence that says what lacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from .index import Compression, clips_of
from .masks import THRESHOLDS, mask_shift
from .splits import Splits, missing_clips, split_of


def select(
    on_disk: pd.DataFrame,
    root: Path,
    methods: Sequence[str],
    compression: Compression,
    splits: Splits,
    missing: Literal["error", "skip"] = "error",
) -> pd.DataFrame:
    """Takes the originals and the fakes of some methods, at one quality.

    Args:
        on_disk: See `index_all`.
        root: Where that was found, for messages.
        methods: Manipulations.
        compression: Quality.
        splits: See `read_splits`.
        missing: When the disk lacks clips that the splits name: `error`, or go on with the others (`skip`).

    Returns:
        The rows taken, with their `split`.

    Raises:
        FileNotFoundError: Promised clips are missing.
        ValueError: A method is not on disk, or a clip cannot be read.
    """
    table = on_disk[on_disk.compression == compression]
    absent = [method for method in methods if method not in set(table.method)]
    if absent:
        raise ValueError(
            f"{root} has no {compression} videos of {', '.join(absent)}, but has "
            f"{', '.join(table.method.unique())}: download them, or select others with data.init_args.methods"
        )
    lacking = missing_clips(table, splits, tuple(methods))
    if lacking and missing == "error":
        raise FileNotFoundError(
            f"{root} lacks {len(lacking)} {compression} clips that the splits name, first {lacking[0]}: "
            "download them, or go on without them by data.init_args.missing: skip"
        )
    clips = table[table.method.isin(("original", *methods))]
    broken = clips[clips.frames == 0]
    if len(broken):
        raise ValueError(f"{len(broken)} clips cannot be read, first {broken.path.iloc[0]}: download them again")
    return clips.assign(split=split_of(clips, splits))


def notes(clips: pd.DataFrame, root: Path, methods: Sequence[str], splits: Splits) -> Iterator[str]:
    """Says what a selection leaves out or does not know."""
    lacking = missing_clips(clips, splits, tuple(methods))
    if lacking:
        yield f"{root} lacks {len(lacking)} clips that the splits name, first {lacking[0]}; skipped"
    fakes = clips_of(clips[clips.method.isin(THRESHOLDS)])
    unknown = [clip for clip in fakes if mask_shift(clip) is None or clip.mask_frames < clip.frames]
    if unknown:
        yield (
            f"{len(unknown)} of {len(fakes)} fakes have a mask that is missing, ends early or has another size; "
            f"pixels without one count as not known: python -m datamodules.doctor {root} names them"
        )


def refuse_one_class(clips: pd.DataFrame, methods: Sequence[str]) -> None:
    """Refuses to train on originals or fakes alone.

    Raises:
        ValueError: The training split holds one of them only.
    """
    training = clips[clips.split == "train"]
    if training.label.nunique() == 1:
        only = "fakes" if training.label.iloc[0] else "originals"
        raise ValueError(
            f"methods is {list(methods)}, of which the training split holds {len(training)} {only} only, but "
            "wanted originals and fakes: download the others, or select further methods with "
            "data.init_args.methods (all of DeepFakeDetection is there to test on)"
        )
