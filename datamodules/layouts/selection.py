"""Which clips of a FaceForensics++ folder an experiment uses: what is asked for, or a sentence that says what lacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from ..clips.index import FOLDERS, ON_DISK, Compression, clips_of
from ..clips.mask_check import contradictions
from ..clips.masks import THRESHOLDS, mask_shift
from ..clips.splits import Splits, missing_clips, split_of
from ..crops.labels import OFFICIAL_LABELS, Labels
from ..errors import DataMissingError, DataValueError


def refuse_contradictions(methods: Sequence[str], faces: str, balance: bool, self_blend: float) -> None:
    """Refuses settings of a data module that cannot be met, or not together.

    Raises:
        ValueError: A method is unknown, nothing would be fake, or `self_blend` is no share or does not go with another.
    """
    if set(methods) - set(ON_DISK[1:]) or not (methods or self_blend):
        raise DataValueError(
            f"methods is {list(methods)}, but wanted one or more of {', '.join(ON_DISK[1:])}, "
            "or none and self_blend above 0"
        )
    if not 0 <= self_blend < 1:
        raise DataValueError(
            f"self_blend is {self_blend}, but wanted a share of the originals' frames, 0 or more and less than 1, "
            "for some must stay real: 0.5 forges every second one"
        )
    if self_blend and faces == "whole":
        raise DataValueError(
            f"self_blend is {self_blend} and faces is whole, but a face can be forged only where it is known to be: "
            "use faces: masks, dlib or a CSV"
        )
    if balance and methods and self_blend >= 0.5:
        raise DataValueError(
            f"self_blend is {self_blend} with balance, but as many fakes as real frames then leave no room for those "
            "of methods: use less than 0.5, or no balance"
        )
    if balance and not methods and self_blend != 0.5:
        raise DataValueError(
            f"self_blend is {self_blend} with balance and no methods, but only 0.5 makes as many fakes as real frames: "
            "use that, or no balance"
        )


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
        on_disk: The index of all that is on disk, see `index_all`.
        root: Where that was found, for messages.
        methods: Manipulations.
        compression: Quality.
        splits: The identity pairs of each split.
        missing: When the disk lacks clips that the splits name: `error`, or go on with the others (`skip`).

    Returns:
        The rows taken, with their `split` and their `pair`.

    Raises:
        FileNotFoundError: Promised clips are missing.
        ValueError: A method is not on disk.
    """
    table = on_disk[on_disk.compression == compression]
    absent = [method for method in methods if method not in set(table.method)]
    if absent:
        raise DataValueError(
            f"{root} has no {compression} videos of {', '.join(absent)}, but has "
            f"{', '.join(table.method.unique())}: download them, or select others with data.init_args.methods"
        )
    lacking = missing_clips(table, splits, tuple(methods))
    if lacking and missing == "error":
        raise DataMissingError(
            f"{root} lacks {len(lacking)} {compression} clips that the splits name, first {lacking[0]}: "
            "download them, or go on without them by data.init_args.missing: skip"
        )
    clips = table[table.method.isin(("original", *methods))]
    return clips.assign(split=split_of(clips, splits), pair=find_official_pairs(clips, splits))


def select_mixed(
    on_disk: pd.DataFrame,
    root: Path,
    methods: Sequence[str],
    splits: Splits,
    missing: Literal["error", "skip"] = "error",
) -> pd.DataFrame:
    """Takes the originals and the fakes of some methods at all three qualities, each a clip of its own.

    Args:
        on_disk: The index of all that is on disk, see `index_all`.
        root: Where that was found, for messages.
        methods: Manipulations.
        splits: The identity pairs of each split.
        missing: When the disk lacks clips that the splits name: `error`, or go on with the others (`skip`).

    Returns:
        The rows taken, numbered anew and named after their quality too, as `000_003@c40`, with their `split` and their
        `pair`.

    Raises:
        FileNotFoundError: Promised clips are missing.
        ValueError: A method is not on disk.
    """
    parts = [select(on_disk, root, methods, quality, splits, missing) for quality in FOLDERS]
    return pd.concat([part.assign(clip=part["clip"] + "@" + part["compression"]) for part in parts], ignore_index=True)


def find_official_pairs(table: pd.DataFrame, splits: Splits) -> pd.Series[str]:
    """Names the people of every clip of an index: clips of one pair are no independent measurements.

    An identity pair is named as the split files write it, `003_000`, for both originals and all fakes of the two.
    DeepFakeDetection knows no pairs: there it is the target's actor, `01`.
    """
    pairs = {identity: "_".join(pair) for listed in splits.values() for pair in listed for identity in pair}
    return table.target.map(pairs).fillna(table.target.str.split("__").str[0])


def notes(
    clips: pd.DataFrame, root: Path, methods: Sequence[str], splits: Splits, labels: Labels = OFFICIAL_LABELS
) -> Iterator[str]:
    """Says what a selection leaves out or does not know."""
    for quality, part in clips.groupby("compression"):
        lacking = missing_clips(part.assign(clip=part["clip"].str.partition("@")[0]), splits, tuple(methods))
        if lacking:
            yield f"{root} lacks {len(lacking)} {quality} clips that the splits name, first {lacking[0]}; skipped"
    passed_over = clips.attrs.get("passed_over", ())
    if passed_over:
        yield f"{root} holds {len(passed_over)} files of other names, first {passed_over[0]}; they are passed over"
    yield from contradictions(clips_of(clips), {})
    fakes = clips_of(clips[clips.method.isin(THRESHOLDS)])
    unknown = [clip for clip in fakes if mask_shift(clip) is None or clip.mask_frames < clip.frames]
    if unknown:
        yield (
            f"{len(unknown)} of {len(fakes)} fakes have a mask that is missing, ends early or has another size; "
            f"pixels without one count as not known: python -m datamodules.doctor {root} names them"
        )
    alone = [clip for clip in clips_of(clips[clips.label == 1]) if not labels.can_compare(clip)]
    if alone:
        yield (
            f"{len(alone)} fakes have no original of their size and quality, first {alone[0].path}; where they differ "
            "from it counts as not known"
        )


def refuse_one_class(clips: pd.DataFrame, methods: Sequence[str], stage: str) -> None:
    """Refuses to train or to test on originals or fakes alone; without methods, training makes its fakes itself.

    Raises:
        ValueError: The training split holds one of them only, or there are no methods to test on.
    """
    if stage == "test" and not methods:
        raise DataValueError(
            "methods is [], so the test split holds originals only, but wanted fakes to find in it: "
            "say with data.init_args.methods which to test on"
        )
    training = clips[clips.split == "train"]
    if stage == "fit" and methods and training.label.nunique() == 1:
        only = "fakes" if training.label.iloc[0] else "originals"
        raise DataValueError(
            f"methods is {list(methods)}, of which the training split holds {len(training)} {only} only, but "
            "wanted originals and fakes: download the others, or select further methods with "
            "data.init_args.methods (all of DeepFakeDetection is there to test on)"
        )
