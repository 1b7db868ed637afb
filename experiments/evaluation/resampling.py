"""Every metric of an evaluation under weights on its identity pairs: the arithmetic of the bootstrap."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lightning_modules import METHODS
from lightning_modules.metrics.operating_point import LARGEST
from lightning_modules.metrics.ratios import iou_of, pool_counts

from .ranking import Floats, rank_counts, rank_scores
from .result import COUNTS, Result

Metrics = dict[str, Floats]


def weighted_metrics(result: Result, weights: Floats, by: str = "pair", only: Collection[str] | None = None) -> Metrics:
    """Computes the metrics of `pixel_metrics` and `frame_metrics` as if each pair were there as often as it weighs.

    Args:
        result: An evaluation.
        weights: (R, P), R weightings of the P values of `by`, ascending.
        by: Column of the frames that names what is weighted.
        only: Keys that will be used; what takes long and is none of them may be left out.

    Returns:
        By key, (R,); with weights of 1 the metrics themselves.
    """
    units = pd.Index(sorted(result.frames[by].unique()))
    methods = pd.Index(METHODS if result.frames["method"].isin(METHODS).all() else [])  # else none is told apart
    frames, groups = (_number_columns(table, methods, units, by) for table in (result.frames, result.groups))
    frames["video"] = result.frames.groupby(["method", "clip"], observed=True).ngroup()
    found: Metrics = {}
    of_methods = only is None or any("/" in key for key in only)
    with np.errstate(invalid="ignore", divide="ignore"):
        for suffix, rows, histogram_rows in _scopes(frames, groups, of_methods):
            precise = only is None or f"frame_ap{suffix}" in only
            metrics = _frames(rows, weights, result.point.frame_logit, precise)
            metrics |= _videos(rows, weights, result.point.video_logit)
            fakes = rows["label"] == 1
            metrics = _where(fakes, rows, weights, metrics) if suffix else metrics
            if "tp" in rows and (not suffix or (known := fakes & (rows[COUNTS].sum(axis=1) > 0)).any()):
                counted = groups.loc[histogram_rows, "unit"].to_numpy()
                pixels = _pixels(rows, weights) | _sum_histograms(result.histograms[histogram_rows], counted, weights)
                metrics |= _where(known, rows, weights, pixels) if suffix else pixels
            found |= {key + suffix: value for key, value in metrics.items()}
    return found


def _number_columns(table: pd.DataFrame, methods: pd.Index, units: pd.Index, by: str) -> pd.DataFrame:
    """The numbers of a table, with methods by their position, 0 for any other, and what is weighted in `unit`."""
    numbers = table.select_dtypes("number")
    method = methods.get_indexer(table["method"]).clip(min=0)
    return numbers.assign(method=method, unit=units.get_indexer(table[by]))


def _scopes(
    frames: pd.DataFrame, groups: pd.DataFrame, of_methods: bool
) -> Iterator[tuple[str, pd.DataFrame, NDArray[np.bool_]]]:
    """All frames together, and then, if asked, every method's fakes with the originals."""
    yield "", frames, np.ones(len(groups), bool)
    there = frames["method"][(frames["label"] == 1) & (frames["method"] > 0)]
    for number in np.unique(there) if of_methods else ():
        own, grouped = (
            np.where(table["label"] == 1, table["method"] == number, table["method"] == 0) for table in (frames, groups)
        )
        yield f"/{METHODS[number]}", frames[own], grouped.astype(bool)


def _sums(values: NDArray[np.generic], unit: NDArray[np.int64], weights: Floats) -> Floats:
    """Weighted sums of rows (N, ...) over units: (R, ...)."""
    columns = values.reshape(len(values), math.prod(values.shape[1:]))
    total = np.zeros((weights.shape[1], columns.shape[1]))
    if len(columns) > columns.shape[1]:
        for number, column in enumerate(columns.T):
            total[:, number] = np.bincount(unit, column, weights.shape[1])
    else:
        for place, row in zip(unit, columns, strict=True):
            total[place] += row
    return np.tensordot(weights, total.reshape(-1, *values.shape[1:]), axes=1)


def _where(needed: pd.Series[bool], rows: pd.DataFrame, weights: Floats, metrics: Metrics) -> Metrics:
    """Metrics of a method, NaN where no frame of those that it needs is drawn: such a test set says nothing of it."""
    there = _sums(needed.to_numpy(float), rows["unit"].to_numpy(), weights) > 0
    return {key: np.where(there, values, np.nan) for key, values in metrics.items()}


def _pixels(rows: pd.DataFrame, weights: Floats) -> Metrics:
    unit, label = rows["unit"].to_numpy(), rows["label"].to_numpy()
    counts = rows[COUNTS].to_numpy()
    known = counts.sum(1) > 0
    reals, fakes = (_sums((known & (label == kind)).astype(float), unit, weights) for kind in (0, 1))
    metrics = _iou(counts, unit, label, weights, reals, fakes)
    fake = (label == 1) & known
    iou = iou_of(counts[fake].astype(float))
    metrics["pixel_iou_per_frame"] = _sums(iou, unit[fake], weights) / fakes
    if "own_tp" in rows:
        own = rows[[f"own_{name}" for name in COUNTS]].to_numpy()
        by_own = _iou(own, unit, label, weights, reals, fakes)
        metrics |= {f"{key}_own": by_own[key] for key in ("pixel_iou", "pixel_iou_balanced")}
    return metrics


def _iou(
    counts: NDArray[np.int64],
    unit: NDArray[np.int64],
    label: NDArray[np.int64],
    weights: Floats,
    reals: Floats,
    fakes: Floats,
) -> Metrics:
    real, fake = (_sums(counts[label == kind], unit[label == kind], weights) for kind in (0, 1))
    return pool_counts(real.T, fake.T, reals, fakes)


def _sum_histograms(histograms: NDArray[np.int64], unit: NDArray[np.int64], weights: Floats) -> Metrics:
    real, forged = np.moveaxis(_sums(histograms, unit, weights), 1, 0)[:, :, ::-1]  # highest scores first
    auroc, _, precision = rank_counts(forged.cumsum(1), real.cumsum(1))
    return {"pixel_auroc": auroc, "pixel_ap": precision()}


def _frames(rows: pd.DataFrame, weights: Floats, threshold: float, precise: bool) -> Metrics:
    label, logit, unit = (rows[name].to_numpy() for name in ("label", "logit", "unit"))
    fakes, reals = (_sums((label == kind).astype(float), unit, weights) for kind in (1, 0))
    right = (logit > threshold) == (label == 1)
    right_fakes, right_reals = (_sums((right & (label == kind)).astype(float), unit, weights) for kind in (1, 0))
    auroc, eer, precision = rank_scores(logit, label, unit, weights)
    return {
        "frame_accuracy": (right_fakes + right_reals) / (fakes + reals),
        "frame_accuracy_balanced": (right_fakes / fakes + right_reals / reals) / 2,
        "frame_accuracy_always_fake": fakes / (fakes + reals),
        "frame_accuracy_always_real": reals / (fakes + reals),
        "frame_auroc": auroc,
        **({"frame_ap": precision()} if precise else {}),
        "frame_eer": eer,
    }


def _videos(rows: pd.DataFrame, weights: Floats, threshold: float) -> Metrics:
    _, first, video = np.unique(rows["video"], return_index=True, return_inverse=True)
    fake = (rows["label"] == 1) | (rows["method"] > 0)
    logit = video_log_odds(rows["logit"].to_numpy(float), video)
    label, unit = np.bincount(video, fake) > 0, rows["unit"].to_numpy()[first]
    right = ((logit > threshold) == label).astype(float)
    auroc, _, _ = rank_scores(logit, label.astype(int), unit, weights)
    return {"video_accuracy": _sums(right, unit, weights) / weights[:, unit].sum(1), "video_auroc": auroc}


def video_log_odds(logit: Floats, video: NDArray[np.int64]) -> Floats:
    """Log-odds of each video's mean probability, (V,): what `lightning_modules.video_scores` computes by torch.

    Args:
        logit: Log-odds of the frames' scores, (N,).
        video: Number of each frame's video, (N,), from 0 to V - 1; each of them occurs.
    """
    return np.clip(_log_of_sums(logit, video) - _log_of_sums(-logit, video), -LARGEST, LARGEST)


def _log_of_sums(logit: Floats, video: NDArray[np.int64]) -> Floats:
    """Logarithm of the sum of each video's probabilities."""
    single = -np.logaddexp(0, -logit)
    highest = np.full(video.max() + 1, -np.inf)
    np.maximum.at(highest, video, single)
    return highest + np.log(np.bincount(video, np.exp(single - highest[video])))
