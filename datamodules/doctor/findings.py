"""What an index alone tells: clips and masks that are missing, cannot be read, or fit neither target nor clip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from ..clips.index import ON_DISK, Clip, clips_of
from ..clips.mask_check import LONGER
from ..clips.masks import THRESHOLDS, mask_shift


class Finding(NamedTuple):
    """Something worth saying of a tree.

    Attributes:
        kind: Short name, the same in every report.
        grave: Whether training on the tree would fail or learn something wrong.
        sentence: What, and what to do.
        names: Files, ids or pairs it holds of.
    """

    kind: str
    grave: bool
    sentence: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        """How many, what, what to do, and the first three."""
        shown = ", ".join(self.names[:3])
        return f"{len(self.names)} {self.sentence}; first {shown}" if self.names else self.sentence


def make_finding(kind: str, grave: bool, sentence: str, names: Sequence[str]) -> Iterator[Finding]:
    """The finding, where it holds of anything."""
    if names:
        yield Finding(kind, grave, sentence, tuple(names))


def examine(table: pd.DataFrame) -> Iterator[Finding]:
    """Checks an index against itself; opens no video.

    Args:
        table: The index of one quality.
    """
    absent = [method for method in ON_DISK[1:] if method not in set(table["method"])]
    if absent:
        yield Finding("method-absent", False, f"not there: {', '.join(absent)}")
    clips = clips_of(table)
    readable = [clip for clip in clips if clip.frames]
    fakes = [clip for clip in readable if clip.method in THRESHOLDS]
    masked = [clip for clip in fakes if clip.mask_frames]
    originals = {clip.target: clip for clip in readable if not clip.label}
    checks: tuple[tuple[str, bool, str, list[Clip]], ...] = (
        ("clip-unreadable", True, "clips cannot be read: copy them again", [clip for clip in clips if not clip.frames]),
        (
            "clip-start-lost",
            False,
            "clips begin without a whole key frame, so their first pictures cannot be decoded; frames are counted from "
            "the first that can: copy them again",
            [clip for clip in readable if clip.lost],
        ),
        (
            "mask-missing",
            True,
            "fakes have no mask, so their pixels count as not known: download the masks",
            [clip for clip in fakes if not clip.mask_path],
        ),
        (
            "mask-unreadable",
            True,
            "masks cannot be read, so the pixels of their fakes count as not known: copy them again",
            [clip for clip in fakes if clip.mask_path and not clip.mask_frames],
        ),
        (
            "mask-size",
            True,
            "masks have another size than their clip, so their pixels count as not known: copy them again",
            [clip for clip in masked if mask_shift(clip) is None],
        ),
        (
            "fake-size",
            True,
            "fakes are wider than their target, or of another height, so its face boxes miss theirs: copy them again",
            [clip for clip in readable if _does_not_fit(clip, originals.get(clip.target, clip))],
        ),
        (
            "mask-short",
            False,
            "masks end before their clip; the pixels of the frames behind count as not known: copy them again, unless "
            "they came so",
            [clip for clip in masked if clip.mask_frames < clip.frames],
        ),
        (
            "mask-rate",
            True,
            "masks have many more frames than their clip, but frames are paired by number: copy both again, or bring "
            "them to one rate",
            [clip for clip in masked if clip.mask_frames > LONGER * clip.frames],
        ),
        (
            "mask-long",
            False,
            "masks are longer than their clip; frames are paired by number, and those behind its end are not used",
            [clip for clip in masked if clip.frames < clip.mask_frames <= LONGER * clip.frames],
        ),
        (
            "fake-length",
            False,
            "fakes have another length than their method gives them",
            [clip for clip in readable if clip.frames != expected_length(clip, originals)],
        ),
        (
            "fake-rate",
            False,
            "fakes carry another frame rate than their target; frames are paired by number, so nothing is lost",
            [clip for clip in readable if clip.fps != originals.get(clip.target, clip).fps],
        ),
        (
            "fake-cropped",
            False,
            "fakes are centred crops of their target; boxes are shifted",
            [clip for clip in readable if clip.dx],
        ),
    )
    for kind, grave, sentence, those in checks:
        yield from make_finding(kind, grave, sentence, [name_of(clip) + _reason(clip, kind) for clip in those])


def _reason(clip: Clip, kind: str) -> str:
    """What tells a clip's case from others of its kind, in parentheses."""
    reasons = {
        "clip-unreadable": clip.problem.removeprefix(clip.path).split(": ")[0].strip(),
        "mask-unreadable": clip.mask_problem.removeprefix(clip.mask_path).split(": ")[0].strip(),
        "clip-start-lost": f"{clip.lost} pictures lost",
        "mask-rate": f"{clip.mask_frames} for {clip.frames}",
        "mask-long": f"{clip.mask_frames} for {clip.frames}",
    }
    return f" ({reasons[kind]})" if reasons.get(kind) else ""


def name_of(clip: Clip) -> str:
    """`<method>/<clip>`."""
    return f"{clip.method}/{clip.clip}"


def count_unpairable(clip: Clip) -> int:
    """Frames of a fake whose truth is not known: without a mask, behind its end, or with one that does not fit."""
    if not clip.label:
        return 0
    known = clip.mask_frames if clip.method in THRESHOLDS and mask_shift(clip) is not None else 0
    return max(0, clip.frames - known)


def expected_length(clip: Clip, originals: Mapping[str, Clip]) -> int:
    """Frames by FaceForensics++'s rules; the clip's own where they say nothing or an original is not there."""
    target = originals.get(clip.target, clip).frames
    source = originals.get(clip.source, clip).frames
    both = min(target, source)
    rules = {"Deepfakes": target, "Face2Face": source, "FaceSwap": both, "NeuralTextures": both}
    return rules.get(clip.method, clip.frames)


def _does_not_fit(clip: Clip, original: Clip) -> bool:
    return clip.width > original.width or clip.height != original.height
