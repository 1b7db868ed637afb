"""AUROC, average precision and equal error rate of scores under many weightings of the people they are of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Ranked = tuple[Floats, Floats, Callable[[], Floats]]
"""AUROC and equal error rate, each (R,), and what computes the average precision, (R,), which takes longest."""

AT_ONCE = 1_000_000
"""Numbers of an array that is worked at: 8 MB."""

LARGEST_TABLE = 30_000_000
"""Scores times units that are counted in one table, 240 MB; more, or many units, are ranked anew for each weighting."""


def rank_scores(logit: Floats, label: NDArray[np.int64], unit: NDArray[np.int64], weights: Floats) -> Ranked:
    """Ranks log-odds (N,) of labels 0 and 1 (N,) that weigh as their units do, (N,) positions in weights (R, P)."""
    order = np.argsort(-logit, kind="stable")
    fake, unit = label[order] == 1, unit[order]
    ends = np.append(np.flatnonzero(np.diff(logit[order])), len(order) - 1)  # the last of each score
    if 4 * weights.shape[1] <= len(ends) <= LARGEST_TABLE / weights.shape[1]:
        return _rank_tables(fake, unit, ends, weights)
    parts = []
    for part in np.array_split(weights, -(-len(weights) * len(order) // AT_ONCE)):
        weight = part[:, unit]
        auroc, eer, precision = rank_counts((weight * fake).cumsum(1)[:, ends], (weight * ~fake).cumsum(1)[:, ends])
        parts.append((auroc, eer, precision()))
    aurocs, eers, precisions = map(np.concatenate, zip(*parts, strict=True))
    return aurocs, eers, lambda: precisions


def rank_counts(hits: Floats, alarms: Floats) -> Ranked:
    """Ranks counts (R, K), each of fakes and of reals called from the highest score downwards.

    What `lightning_modules.metrics.ranking` computes by torch; whole numbers are compared exactly in both.
    """
    fakes, reals = hits[:, -1:], alarms[:, -1:]
    zero = np.zeros_like(fakes)
    hits, alarms = np.concatenate([zero, hits], axis=1), np.concatenate([zero, alarms], axis=1)
    undefined = ((fakes == 0) | (reals == 0))[:, 0]
    auroc = (np.diff(alarms, axis=1) * (hits[:, 1:] + hits[:, :-1])).sum(1) / (2 * fakes * reals)[:, 0]
    nearest = np.abs(alarms * fakes - (fakes - hits) * reals).argmin(1)[:, None]
    alarmed, missed = (np.take_along_axis(counts, nearest, 1) for counts in (alarms, fakes - hits))
    eer = (alarmed / reals + missed / fakes)[:, 0] / 2

    def precision() -> Floats:
        called = (hits + alarms)[:, 1:]
        right = np.divide(hits[:, 1:], called, out=np.zeros_like(called), where=called > 0)
        return np.where(undefined, np.nan, (np.diff(hits, axis=1) * right).sum(1) / fakes[:, 0])

    return np.where(undefined, np.nan, auroc), np.where(undefined, np.nan, eer), precision


def _rank_tables(fake: NDArray[np.bool_], unit: NDArray[np.int64], ends: NDArray[np.int64], weights: Floats) -> Ranked:
    """Ranks by what is counted of each unit down to each score, (K, P), which is the same under all weightings."""
    units, scores = weights.shape[1], len(ends)
    cells = np.repeat(np.arange(scores), np.diff(ends, prepend=-1)) * units + unit
    fakes, reals = (np.bincount(cells, kind, scores * units).reshape(scores, units) for kind in (fake, ~fake))
    hits, alarms = fakes.cumsum(0), reals.cumsum(0)
    above = fakes.T @ (alarms[-1] - alarms + reals / 2)  # (P, P): a unit's fakes by another's reals ranked below
    all_fakes, all_reals = weights @ hits[-1], weights @ alarms[-1]
    undefined = (all_fakes == 0) | (all_reals == 0)
    auroc = ((weights @ above) * weights).sum(1) / (all_fakes * all_reals)
    eer = _equal_errors(hits, alarms, weights)

    def precision() -> Floats:
        told = np.flatnonzero(fakes.any(1))  # elsewhere recall stands still
        found = np.zeros(len(weights))
        for part in np.array_split(told, -(-len(told) * len(weights) // AT_ONCE) or 1):
            right, wrong = weights @ hits[part].T, weights @ alarms[part].T
            share = np.divide(right, right + wrong, where=right > 0, out=np.zeros_like(right))
            found += (weights @ fakes[part].T * share).sum(1)
        return np.where(undefined, np.nan, found / all_fakes)

    return np.where(undefined, np.nan, auroc), np.where(undefined, np.nan, eer), precision


def _equal_errors(hits: Floats, alarms: Floats, weights: Floats) -> Floats:
    """Mean of both error rates where they are nearest, (R,), which halving finds: they cross once.

    Args:
        hits: Fakes of each unit down to each score, (K, P).
        alarms: Reals of each unit down to each score, (K, P).
        weights: (R, P).
    """
    fakes, reals = weights @ hits[-1], weights @ alarms[-1]

    def errors(place: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """False alarms times fakes and misses times reals, of what is called down to a score, or of nothing at -1."""
        called = np.maximum(place, 0)
        right, wrong = ((weights * counts[called]).sum(1) * (place >= 0) for counts in (hits, alarms))
        return wrong * fakes, (fakes - right) * reals

    low, high = np.full(len(weights), -1), np.full(len(weights), len(hits) - 1)
    while (high - low > 1).any():  # alarms are fewer than misses at low, and no longer at high
        middle = (low + high) // 2
        alarmed, missed = errors(middle)
        low, high = np.where(alarmed < missed, middle, low), np.where(alarmed < missed, high, middle)
    before, behind = errors(low), errors(high)
    nearer = np.abs(before[0] - before[1]) <= np.abs(behind[0] - behind[1])
    rate: Floats = np.where(nearer, sum(before), sum(behind)) / (2 * fakes * reals)
    return rate
