"""The whole audit of one folder: index, splits, frames, people, and what experiments lack."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..clips.index import index_all
from ..clips.masks import THRESHOLDS
from ..clips.splits import Splits, read_pairs, split_of_identities
from ..errors import DataError
from ..parallel.pool import run_parallel
from .closure import check_clips_of_pairs, check_pair_lists, proof
from .counts import clip_counts, mask_counts
from .findings import Finding, examine, make_finding
from .looks import Look, errands, look
from .parts import Part, Stock, stock
from .people import FEWEST_FACES, AlikePair, nearest

USUAL = 8
"""Frames of each clip that are looked at where nothing else is said."""

EVERYWHERE = ""
"""Stands for the quality of a finding that is of none in particular."""

TARGETS_FOR_PROCESSES = 8
"""Targets to look at from which processes pay."""


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        root: The folder.
        table: Its index, see `index_all`.
        splits: The pairs; None where they cannot be read.
        looked: Frames looked at in each clip; 0: no video was opened.
        whole: Whether every picture of every file was decoded.
        findings: Quality, or `EVERYWHERE`, and finding.
        proofs: By quality, how far the splits are closed.
        counts: By quality, see `clip_counts`.
        masks: See `mask_counts`.
        greys: By method, (256,) pixels of each grey level.
        shares: By method, the forged share of each crop, 0 to 1.
        pairs: The most alike originals of different splits; those over the bound may show one person.
        faces: Originals whose faces were compared.
        thumbnails: By target, a JPEG of its face.
        needs: By experiment, what there is of each part it needs.
    """

    root: Path
    table: pd.DataFrame
    splits: Splits | None
    looked: int
    whole: bool
    findings: list[tuple[str, Finding]]
    proofs: Mapping[str, str]
    counts: Mapping[str, pd.DataFrame]
    masks: pd.DataFrame
    greys: Mapping[str, NDArray[np.int64]]
    shares: Mapping[str, NDArray[np.float64]]
    pairs: list[AlikePair]
    faces: int
    thumbnails: Mapping[str, bytes]
    needs: Mapping[str, list[Stock]]

    @property
    def grave(self) -> bool:
        """Whether any finding is."""
        return any(finding.grave for _, finding in self.findings)


def audit(
    root: Path,
    splits_folder: Path | None = None,
    frames: int | Literal["all"] = 8,
    workers: int | None = None,
    needs: Mapping[str, Collection[Part]] | None = None,
) -> Audit:
    """Examines a FaceForensics++ folder.

    Args:
        root: The folder that holds `original_sequences` and `manipulated_sequences`.
        splits_folder: Where `train.json`, `val.json` and `test.json` lie; by default `<root>/splits`.
        frames: Frames of each clip to look at, evenly spaced; 0 opens no video; `all` looks at 8 and decodes every
            picture of every file besides, so that no damage is missed.
        workers: Processes, by default one a core.
        needs: By experiment, the parts it needs.

    Raises:
        FileNotFoundError: The folder holds no video of FaceForensics++.
    """
    table = index_all(root)
    whole, frames = frames == "all", USUAL if frames == "all" else frames
    splits, findings = _splits(splits_folder or root / "splits")
    sentence = "files are not named as clips of FaceForensics++, so they are passed over"
    passed_over = [os.path.relpath(path, root) for path in table.attrs["passed_over"]]
    findings += [(EVERYWHERE, finding) for finding in make_finding("files-passed-over", False, sentence, passed_over)]
    qualities = {str(quality): clips for quality, clips in table.groupby("compression", sort=False)}
    proofs = {}
    for quality, clips in qualities.items():
        if splits:
            proofs[quality] = proof(clips, splits)
            findings += [(quality, finding) for finding in check_clips_of_pairs(clips, splits)]
        findings += [(quality, finding) for finding in examine(clips)]
    todo = errands(table, frames, whole) if frames else []
    few = 1 if len(todo) < TARGETS_FOR_PROCESSES else workers
    looks = sorted(run_parallel(look, todo, "looking at frames", "target", few), key=lambda each: each.target)
    findings += _check_looks(looks)
    home = split_of_identities(splits) if splits else {}
    faces = {each.target: each.face for each in looks if each.face is not None and each.target.isdigit()}
    pairs = nearest(faces, home)
    if frames:
        findings += [(EVERYWHERE, finding) for finding in _check_people(pairs, home, len(faces))]
    return Audit(
        root=root,
        table=table,
        splits=splits,
        looked=frames,
        whole=whole,
        findings=findings,
        proofs=proofs,
        counts={quality: clip_counts(clips, splits) for quality, clips in qualities.items()},
        masks=mask_counts(looks),
        greys={
            method: np.sum([mask.greys for each in looks for mask in each.masks if mask.method == method], axis=0)
            for method in THRESHOLDS
            if any(mask.method == method for each in looks for mask in each.masks)
        },
        shares={
            method: np.array(
                [share for each in looks for mask in each.masks if mask.method == method for share in mask.shares]
            )
            for method in THRESHOLDS
        },
        pairs=pairs,
        faces=len(faces),
        thumbnails={each.target: each.thumbnail for each in looks if each.thumbnail},
        needs=stocks(needs or {}, table, splits),
    )


def stocks(needs: Mapping[str, Collection[Part]], table: pd.DataFrame, splits: Splits | None) -> dict[str, list[Stock]]:
    """What there is of what experiments need."""
    return {name: [stock(part, table, splits) for part in parts] for name, parts in needs.items()}


def _splits(folder: Path) -> tuple[Splits | None, list[tuple[str, Finding]]]:
    try:
        splits = read_pairs(folder)
    except (DataError, OSError) as error:
        return None, [(EVERYWHERE, Finding("splits-unreadable", True, str(error)))]
    return splits, [(EVERYWHERE, finding) for finding in check_pair_lists(splits)]


def _check_looks(looks: Sequence[Look]) -> Iterator[tuple[str, Finding]]:
    damaged = [each for one in looks for each in one.damaged]
    copies = [each for one in looks for each in one.copies]
    for quality in dict.fromkeys(quality for _, quality, _ in damaged if quality):
        names = [name for what, where, name in damaged if what == "video" and where == quality]
        for finding in make_finding(
            "clip-damaged", True, "clips cannot be decoded to their end: copy them again", names
        ):
            yield quality, finding
    names = [name for what, _, name in damaged if what == "mask"]
    for finding in make_finding("mask-damaged", True, "masks cannot be decoded to their end: copy them again", names):
        yield EVERYWHERE, finding
    for quality in dict.fromkeys(quality for quality, _, _ in copies):
        names = [f"{name} ({how})" for where, name, how in copies if where == quality]
        sentence = "fakes show their original unchanged, so real faces would be learnt as fake: download them again"
        for finding in make_finding("fake-is-original", True, sentence, names):
            yield quality, finding
    blank = [mask.name for one in looks for mask in one.masks if mask.frames and mask.empty == mask.frames]
    sentence = (
        "masks are empty in every frame looked at, so their fakes count as real: look at them, or copy them again"
    )
    for finding in make_finding("mask-empty", False, sentence, blank):
        yield EVERYWHERE, finding
    full = [mask.name for one in looks for mask in one.masks if mask.everything]
    sentence = "masks mark nearly the whole frame in every frame looked at: are they inverted? copy them again"
    for finding in make_finding("mask-full", True, sentence, full):
        yield EVERYWHERE, finding


def _check_people(pairs: Sequence[AlikePair], home: Mapping[str, str], faces: int) -> Iterator[Finding]:
    if faces < FEWEST_FACES or not home:
        lacks = f"{faces} faces were found, {FEWEST_FACES} are wanted to compare" if home else "there are no splits"
        yield Finding("people-not-compared", False, f"the same person in two splits was not looked for: {lacks}")
    names = [f"{pair.one} ({home[pair.one]}) and {pair.other} ({home[pair.other]})" for pair in pairs if pair.suspect]
    sentence = "pairs of originals of two splits may show one person: look at their faces on the page, and if they do, "
    sentence += "leave one pair out of training"
    yield from make_finding("person-in-two-splits", False, sentence, names)
