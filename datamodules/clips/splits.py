"""Official splits by identity pair: no face is in two of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal, cast

import pandas as pd

from ..errors import DataMissingError, DataValueError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
Splits = dict[Split, list[tuple[str, str]]]

OFFICIAL_PAIRS: dict[Split, int] = {"train": 360, "val": 70, "test": 70}
"""Identity pairs of each of FaceForensics++'s splits."""


def read_splits(folder: Path) -> Splits:
    """Reads `train.json`, `val.json` and `test.json`: lists of id pairs such as `["071", "054"]`.

    Args:
        folder: Where the three files lie.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is not of that form, or an id is in two splits.

    Examples:
        >>> {split: len(pairs) for split, pairs in read_splits(root / "splits").items()}
        {'train': 1, 'val': 1, 'test': 1}
    """
    splits = read_pairs(folder)
    home = split_of_identities(splits)
    twice = [(name, split) for split in SPLITS for pair in splits[split] for name in pair if home[name] != split]
    if twice:
        identity, split = twice[0]
        raise DataValueError(
            f"{folder}: identity {identity} is in {split}.json and in {home[identity]}.json, but a face may be "
            "in one split only: take the official files"
        )
    return splits


def read_pairs(folder: Path) -> Splits:
    """Reads `train.json`, `val.json` and `test.json` as `read_splits` does, but lets an id be in two of them.

    Args:
        folder: Where the three files lie.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is not of that form.
    """
    missing = [f"{split}.json" for split in SPLITS if not (folder / f"{split}.json").is_file()]
    if missing:
        raise DataMissingError(
            f"{folder} lacks {', '.join(missing)}: put FaceForensics++'s train.json, val.json and test.json there "
            '(lists of pairs such as [["071", "054"]], they lie beside its download script), or name their folder'
        )
    return {split: _read_pairs(folder / f"{split}.json") for split in SPLITS}


def split_of_identities(splits: Splits) -> dict[str, Split]:
    """The split of every id."""
    return {identity: split for split, pairs in splits.items() for pair in pairs for identity in pair}


def _read_pairs(path: Path) -> list[tuple[str, str]]:
    try:
        pairs = json.loads(path.read_text())
    except ValueError as error:  # neither JSON nor, for that matter, text
        raise DataValueError(f"{path} is not JSON ({error}): take the official file") from error
    for pair in pairs if isinstance(pairs, list) else [pairs]:
        ids = pair if isinstance(pair, list) else []
        if len(ids) != 2 or not all(isinstance(identity, str) and re.fullmatch(r"\d{3}", identity) for identity in ids):
            raise DataValueError(
                f'{path} holds {str(pair)[:60]!r}, wanted pairs of three-digit ids such as ["071", "054"]: '
                "take the official file"
            )
    return [cast("tuple[str, str]", tuple(pair)) for pair in pairs]


def split_of(table: pd.DataFrame, splits: Splits) -> pd.Series[str]:
    """Says for every clip of an index in which split it is.

    DeepFakeDetection and its actors have no official split; they are there to test on, so they are `test`.

    Args:
        table: Rows of the index.
        splits: The identity pairs of each split.

    Returns:
        `train`, `val` or `test` by row.

    Raises:
        ValueError: An id is in no split, or the two ids of a fake are in different ones.

    Examples:
        >>> from datamodules import index
        >>> table = index(root)
        >>> splits = split_of(table, read_splits(root / "splits"))
        >>> {split: int((splits == split).sum()) for split in SPLITS}
        {'train': 10, 'val': 10, 'test': 10}
    """
    home = split_of_identities(splits)
    numbered = table.target.str.fullmatch(r"\d{3}")
    found = table.target.map(home).where(numbered, "test")
    if found.isna().any():
        clip = table[found.isna()].iloc[0]
        raise DataValueError(
            f"{clip.path} shows identity {clip.target}, which is in none of the splits: "
            "give the split files that belong to these videos"
        )
    donors = table.source.map(home).where(numbered & (table.source != ""), found)
    if (donors != found).any():
        clip = table[donors != found].iloc[0]
        raise DataValueError(
            f"{clip.path} joins {clip.target} of {home[clip.target]} with {clip.source} of {home.get(clip.source)}, "
            "but a pair belongs to one split: give the split files that belong to these videos"
        )
    return found


def missing_clips(table: pd.DataFrame, splits: Splits, methods: tuple[str, ...]) -> list[str]:
    """Names clips that the splits promise and the disk lacks, as `<method>/<name>`, over originals and `methods`."""
    pairs = [pair for split in splits.values() for pair in split]
    promised = {f"original/{identity}" for pair in pairs for identity in pair}
    for method in methods:
        if method != "DeepFakeDetection":
            promised |= {f"{method}/{a}_{b}" for pair in pairs for a, b in (pair, pair[::-1])}
    return sorted(promised - set(table["method"] + "/" + table["clip"]))
