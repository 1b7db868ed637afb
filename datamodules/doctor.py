"""Says what is wrong with a FaceForensics++ folder before anyone waits: `python -m datamodules.doctor ROOT`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from .index import ON_DISK, Clip, clips_of, index_all
from .masks import THRESHOLDS, mask_shift
from .splits import SPLITS, Splits, home_of, missing_clips, read_splits, split_of


class Finding(NamedTuple):
    """Something worth saying of a tree.

    Attributes:
        grave: Whether training on the tree would fail or learn something wrong.
        sentence: What, where, and what to do.
    """

    grave: bool
    sentence: str


def examine(table: pd.DataFrame, splits: Splits) -> Iterator[Finding]:
    """Checks an index against the splits and itself; opens no video.

    Args:
        table: The index of one quality.
        splits: The official pairs.
    """
    present = tuple(method for method in ON_DISK[1:] if method in set(table["method"]))
    absent = [method for method in ON_DISK[1:] if method not in present]
    if absent:
        yield Finding(False, f"not there: {', '.join(absent)}")
    missing = missing_clips(table, splits, present)
    yield from _findings(True, missing, "clips that the splits name are missing: download them, or use missing: skip")
    try:
        split_of(table, splits)
    except ValueError as error:
        yield Finding(True, str(error))
    clips = clips_of(table)
    readable = [clip for clip in clips if clip.frames]
    fakes = [clip for clip in readable if clip.method in THRESHOLDS]
    masked = [clip for clip in fakes if clip.mask_frames]
    originals = {clip.target: clip for clip in readable if not clip.label}
    yield from _of_clips(True, [clip for clip in clips if not clip.frames], "clips cannot be read: copy them again")
    yield from _of_clips(
        True,
        [clip for clip in fakes if not clip.mask_frames],
        "fakes have no readable mask, so their pixels count as not known: download the masks",
    )
    yield from _of_clips(
        True,
        [clip for clip in masked if mask_shift(clip) is None],
        "masks have another size than their clip, so their pixels count as not known: copy them again",
    )
    yield from _of_clips(
        True,
        [clip for clip in readable if _does_not_fit(clip, originals.get(clip.target, clip))],
        "fakes are wider than their target, or of another height, so its face boxes miss theirs: copy them again",
    )
    yield from _of_clips(
        False,
        [clip for clip in masked if clip.mask_frames < clip.frames],
        "masks end before their clip; the pixels of the frames behind count as not known",
    )
    yield from _of_clips(
        False,
        [clip for clip in readable if clip.frames != _expected_length(clip, originals)],
        "fakes have another length than their method gives them",
    )
    yield from _of_clips(
        False,
        [clip for clip in readable if clip.fps != originals.get(clip.target, clip).fps],
        "fakes carry another frame rate than their target; frames are paired by number, so nothing is lost",
    )
    yield from _of_clips(
        False, [clip for clip in readable if clip.dx], "fakes are centred crops of their target; boxes are shifted"
    )


def _of_clips(grave: bool, clips: list[Clip], sentence: str) -> Iterator[Finding]:
    yield from _findings(grave, [f"{clip.method}/{clip.clip}" for clip in clips], sentence)


def _findings(grave: bool, names: list[str], sentence: str) -> Iterator[Finding]:
    if names:
        yield Finding(grave, f"{len(names)} {sentence}; first {', '.join(names[:3])}")


def _does_not_fit(clip: Clip, original: Clip) -> bool:
    return clip.width > original.width or clip.height != original.height


def _expected_length(clip: Clip, originals: Mapping[str, Clip]) -> int:
    """Frames by FaceForensics++'s rules; the clip's own where they say nothing or an original is not there."""
    target = originals.get(clip.target, clip).frames
    source = originals.get(clip.source, clip).frames
    both = min(target, source)
    rules = {"Deepfakes": target, "Face2Face": source, "FaceSwap": both, "NeuralTextures": both}
    return rules.get(clip.method, clip.frames)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints clips per method, split and quality, then what was found; returns 1 if any of it is grave."""
    parser = argparse.ArgumentParser("python -m datamodules.doctor", description="Examines a FaceForensics++ folder.")
    parser.add_argument("root", type=Path, help="folder that holds original_sequences and manipulated_sequences")
    parser.add_argument("--splits", type=Path, help="folder of train.json, val.json, test.json (default ROOT/splits)")
    options = parser.parse_args(arguments)
    try:
        table = index_all(options.root)
        splits = read_splits(options.splits or options.root / "splits")
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    grave = False
    for quality, clips in table.groupby("compression", sort=False):
        print(f"\n{quality}: clips of each method and split\n{_counts(clips, splits).to_string()}")
        for finding in examine(clips, splits):
            grave |= finding.grave
            print(f"  {'PROBLEM' if finding.grave else 'note   '} {finding.sentence}")
    print("\nnot sound: see the problems above" if grave else "\nsound: no problem found")
    return int(grave)


def _counts(clips: pd.DataFrame, splits: Splits) -> pd.DataFrame:
    """Clips of each method and split, and its frames; `none` counts ids that no split knows, if there are any."""
    numbered = clips["target"].str.fullmatch(r"\d{3}")
    split = clips["target"].map(home_of(splits)).where(numbered, "test").fillna("none")
    columns = [*SPLITS, "none"] if "none" in set(split) else SPLITS
    counts = pd.crosstab(clips["method"], split).reindex(
        index=clips["method"].unique(), columns=list(columns), fill_value=0
    )
    return counts.assign(frames=clips.groupby("method")["frames"].sum())


if __name__ == "__main__":
    sys.exit(main())
