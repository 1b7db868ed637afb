"""Whether the splits are closed: no identity in two of them, and each pair whole."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import pandas as pd

from ..clips.index import ON_DISK
from ..clips.splits import OFFICIAL_PAIRS, SPLITS, Splits, missing_clips, split_of_identities
from .findings import Finding, make_finding


def check_pair_lists(splits: Splits) -> Iterator[Finding]:
    """Checks the lists of pairs against each other."""
    places: dict[str, list[str]] = defaultdict(list)
    for split in SPLITS:
        for pair in splits[split]:
            for identity in pair:
                places[identity].append(split)
    leaks = {identity: sorted(set(seen), key=seen.index) for identity, seen in places.items() if len(set(seen)) > 1}
    yield from make_finding(
        "identity-in-two-splits",
        True,
        "identities are in two splits, so a face that is learnt from is tested on: take the official files",
        [f"{identity} ({' and '.join(f'{split}.json' for split in seen)})" for identity, seen in sorted(leaks.items())],
    )
    often = [identity for identity, seen in sorted(places.items()) if any(n > 1 for n in Counter(seen).values())]
    yield from make_finding(
        "identity-in-two-pairs", True, "identities are in two pairs of one split: take the official files", often
    )
    sizes = {split: len(splits[split]) for split in SPLITS}
    if sizes != OFFICIAL_PAIRS:
        counts, wanted = ("/".join(str(each[split]) for split in SPLITS) for each in (sizes, OFFICIAL_PAIRS))
        yield Finding("splits-size", False, f"the splits hold {counts} pairs, the official ones {wanted}")


def check_clips_of_pairs(table: pd.DataFrame, splits: Splits) -> Iterator[Finding]:
    """Checks the clips of one quality against the pairs.

    Args:
        table: The index of one quality.
        splits: The pairs; an identity may be in two splits.
    """
    methods = methods_of(table)
    missing = missing_clips(table, splits, methods)
    broken = sum(bool(lacks) for lacks in list_missing_of_pairs(missing, splits))
    yield from make_finding(
        "clip-missing",
        True,
        f"clips that the splits name are missing, so {broken} pairs are not whole: download them, or use missing: skip",
        missing,
    )
    home = split_of_identities(splits)
    numbered = table[table.target.str.fullmatch(r"\d{3}")]
    names = numbered["method"] + "/" + numbered["clip"]
    unknown = ~numbered.target.isin(home)
    yield from make_finding(
        "identity-in-no-split",
        True,
        "clips show an identity that is in none of the splits: give the split files that belong to these videos",
        list(names[unknown]),
    )
    pairs = {ids for split in SPLITS for a, b in splits[split] for ids in ((a, b), (b, a))}
    fakes = (numbered.label == 1) & ~unknown
    alien = fakes & pd.Series(
        [ids not in pairs for ids in zip(numbered.target, numbered.source, strict=True)], numbered.index
    )
    across = alien & (numbered.target.map(home) != numbered.source.map(home))
    yield from make_finding(
        "pair-across-splits",
        True,
        "fakes join identities that are not in one split: give the split files that belong to these videos",
        list(names[across]),
    )
    yield from make_finding(
        "not-a-pair",
        False,
        "fakes join two identities of one split that are no pair of it; they are used all the same",
        list(names[alien & ~across]),
    )


def proof(table: pd.DataFrame, splits: Splits) -> str:
    """Says of one quality how far the splits are closed, in one sentence."""
    methods = methods_of(table)
    pairs = [pair for split in SPLITS for pair in splits[split]]
    seen = [set(map(str, sum(splits[split], ()))) for split in SPLITS]
    shared = len(seen[0] & seen[1] | seen[0] & seen[2] | seen[1] & seen[2])
    whole = sum(not lacks for lacks in list_missing_of_pairs(missing_clips(table, splits, methods), splits))
    return (
        f"{shared} of {len(set.union(*seen))} identities are in two splits; {whole} of {len(pairs)} pairs are whole "
        f"(two originals, two fakes of each of {len(methods)} methods)"
    )


def list_missing_of_pairs(missing: list[str], splits: Splits) -> Iterator[list[str]]:
    """What each pair lacks, in the order of the splits."""
    lacking: dict[frozenset[str], list[str]] = defaultdict(list)
    for name in missing:
        lacking[frozenset(name.partition("/")[2].split("_"))].append(name)
    for split in SPLITS:
        for a, b in splits[split]:
            yield [name for ids in ({a}, {b}, {a, b}) for name in lacking[frozenset(ids)]]


def methods_of(table: pd.DataFrame) -> tuple[str, ...]:
    """Manipulations of numbered identities that an index holds."""
    present = set(table["method"])
    return tuple(method for method in ON_DISK[1:] if method in present and method != "DeepFakeDetection")
