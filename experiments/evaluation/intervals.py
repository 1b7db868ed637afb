"""How far a metric would move with other people in the test set: bootstrap over identity pairs, for one run or two.

Clips of a pair share faces, light and camera, so they are no independent measurements: drawn one by one they make
intervals look far shorter than they are.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Container
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri, stdtr, stdtrit  # scipy.stats would take a second to import

from datamodules.files import write_text

from ..errors import ExperimentValueError
from ..runs.folder import RunFolder
from .ranking import Floats
from .resampling import Metrics, weighted_metrics
from .result import COUNTS, Result

LEVEL = 0.95
REPLICATES = 1000


class Comparison(NamedTuple):
    """One metric of two runs on the same frames.

    Attributes:
        key: Of the metric.
        first: Its value for the first run.
        second: For the second.
        difference: First minus second.
        low: Lower end of the difference's interval.
        high: Its upper end.
        p: Two-sided: how often, in shares of the replicates, the difference falls on the other side of 0 or on it,
            doubled, and then made larger where pairs are few, as the interval is made wider, see `ends`: 0.05 where an
            end of the interval is 0.
    """

    key: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float


def draws(units: int, replicates: int, seed: int = 0) -> Floats:
    """How often each of some units is drawn when as many are drawn with replacement, (replicates, units)."""
    return np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=replicates).astype(float)


def ends(values: Floats, units: int) -> tuple[float, float]:
    """An interval of 95 % from replicates, those in which a metric is defined; NaN without any.

    The bare percentiles are too near to each other where units are few, by a factor of sqrt(1 - 1 / units), and as a
    normal distribution is narrower than Student's. So those of the "expanded percentile" interval are taken (T.
    Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 69, 2015): with 70 units the
    middle 95.5 %, with 10 the middle 98.3 %.

    Args:
        values: (R,).
        units: Number of what was drawn.
    """
    defined = values[~np.isnan(values)]
    if not len(defined) or units < 2:
        return np.nan, np.nan
    tail = ndtr(-np.sqrt(units / (units - 1)) * stdtrit(units - 1, (1 + LEVEL) / 2))
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def intervals(result: Result, replicates: int = REPLICATES, by: str = "pair") -> dict[str, tuple[float, float]]:
    """95 % intervals of all metrics of an evaluation, see `ends`.

    Args:
        result: An evaluation.
        replicates: Test sets drawn; always the same ones.
        by: Column of the frames that names what is drawn; anything finer than a pair makes intervals too short.

    Returns:
        Lower and upper end by key; NaN for what is not defined.
    """
    units = result.frames[by].nunique()
    drawn = weighted_metrics(result, draws(units, replicates), by)
    return {key: ends(values, units) for key, values in drawn.items()}


def compare_evaluations(
    first: Result, second: Result, replicates: int = REPLICATES, only: Collection[str] | None = None
) -> list[Comparison]:
    """Differences of metrics that two evaluations share, each replicate drawn for both alike.

    Metrics by labels of a row's own are shared where both call the same pixels of every frame forged.

    Args:
        first: An evaluation.
        second: Another one.
        replicates: Test sets drawn.
        only: Keys of the metrics that are wanted; by default all.

    Raises:
        ValueError: The frames, their pairs or the pixels they were measured on are not the same.
    """
    names = ["method", "clip", "frame", "label"]
    one, other = (result.frames.set_index(names).sort_index() for result in (first, second))
    apart = one.index.symmetric_difference(other.index)
    if len(apart) or len(one) != len(other):
        named = f", first {'/'.join(map(str, apart[0][:3]))}" if len(apart) else ""
        raise ExperimentValueError(
            f"the two runs were tested on different frames: {len(one)} and {len(other)}, of which {len(apart)} are in "
            f"one only{named}: test both on the same data"
        )
    facts = [_list_frames(frames, {*one.columns} & {*other.columns}) for frames in (one, other)]
    differing = (facts[0] != facts[1]).any(axis=1)
    if differing.any():
        raise ExperimentValueError(
            f"the two runs were measured on other pixels or pairs in {differing.sum()} of {len(one)} frames, first "
            f"{'/'.join(map(str, one.index[differing][0][:3]))}: test both on the same data, with the same faces"
        )
    pairs = first.frames["pair"].nunique()
    weights = np.concatenate([np.ones((1, pairs)), draws(pairs, replicates)])  # the first is the test set itself
    a, b = (weighted_metrics(result, weights, only=only) for result in (first, second))
    own = [_forged_counts(frames, "own_") for frames in (one, other)]
    wanted = [key for key in a if key in b and (only is None or key in only)]
    shared = [key for key in wanted if "_own" not in key or own[0].equals(own[1])]
    return [_comparison(key, a, b, (a[key] - b[key])[1:], pairs) for key in shared]


def _list_frames(frames: pd.DataFrame, columns: Container[str]) -> pd.DataFrame:
    """Pair, known and forged pixels of each frame, as far as both runs say them."""
    facts = frames[["pair"]].astype(str)
    if "tp" in columns:
        facts = facts.join(_forged_counts(frames, ""))
    return facts


def _forged_counts(frames: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """Forged and known pixels of each frame, by the labels whose counts have that prefix."""
    counts = frames[[name for name in frames if name.startswith(prefix) and name.removeprefix(prefix) in COUNTS]]
    forged = counts.filter(regex="tp$|fn$").sum(axis=1)
    return pd.DataFrame({"known": counts.sum(axis=1), "forged": forged})


def _comparison(key: str, first: Metrics, second: Metrics, differences: Floats, pairs: int) -> Comparison:
    a, b = float(first[key][0]), float(second[key][0])
    defined = differences[~np.isnan(differences)]
    beyond = min((defined <= 0).sum(), (defined >= 0).sum())
    p = min(1.0, 2 * (beyond + 1) / (len(defined) + 1)) if len(defined) and pairs > 1 else np.nan
    p = 2 * stdtr(pairs - 1, ndtri(p / 2) * np.sqrt((pairs - 1) / pairs))
    return Comparison(key, a, b, a - b, *ends(differences, pairs), float(p))


def write_intervals(result: Result, folder: RunFolder, name: str | None, prefix: str = "test/") -> None:
    """Writes `intervals.json`, or `intervals-NAME.json`: lower and upper end by the keys of the metrics file."""
    found = {
        f"{prefix}{key}": None if np.isnan(low) else [low, high]
        for key, (low, high) in sorted(intervals(result).items())
    }
    facts = {"level": LEVEL, "replicates": REPLICATES, "pairs": result.frames["pair"].nunique(), "intervals": found}
    write_text(folder.file("intervals", name, "json"), json.dumps(facts, indent=2, allow_nan=False) + "\n")
