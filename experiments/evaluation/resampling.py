"""Every metric of an evaluation under weights on its identity pairs: the arithmetic of the bootstrap."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lightning_modules import METHODS, video_scores
from lightning_modules.metrics.pixels import iou_of, pooled
from lightning_modules.metrics.ranking import rank_counts

from .result import COUNTS, Result

Floats = NDArray[np.float64]
Metrics = dict[str, Floats]

AT_ONCE = 5_000_000
"""Weighted frames that are ranked at once: 40 MB an array."""


def weighted_metrics(result: Result, weights: Floats, by: str = "pair") -> Metrics:
    """Computes the metrics of `pixel_metrics` and `frame_metrics` as if each pair were there as often as it weighs.

    Args:
        result: An evaluation.
        weights: (R, P), R weightings of the P values of `by`, ascending.
        by: Column of the frames that names what is weighted.

    Returns:
        By key, (R,); with weights of 1 the metrics themselves.
    """
    units = pd.Index(sorted(result.frames[by].unique()))
    methods = pd.Index(METHODS if result.frames["method"].isin(METHODS).all() else [])  # else none is told apart
    frames, groups = (_numbered(table, methods, units, by) for table in (result.frames, result.groups))
    frames["video"] = result.frames.groupby(["method", "clip"], observed=True).ngroup()
    found: Metrics = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        for suffix, rows, histogram_rows in _scopes(frames, groups):
            metrics = _frames(rows, weights, result.point.frame_logit)
            metrics |= _videos(rows, weights, result.point.video_logit)
            fakes = rows["label"] == 1
            metrics = _where(fakes, rows, weights, metrics) if suffix else metrics
            if "tp" in rows and (not suffix or (known := fakes & (rows[COUNTS].sum(axis=1) > 0)).any()):
                counted = groups.loc[histogram_rows, "unit"].to_numpy()
                pixels = _pixels(rows, weights) | _binned(result.histograms[histogram_rows], counted, weights)
                metrics |= _where(known, rows, weights, pixels) if suffix else pixels
            found |= {key + suffix: value for key, value in metrics.items()}
    return found


def _numbered(table: pd.DataFrame, methods: pd.Index, units: pd.Index, by: str) -> pd.DataFrame:
    """The numbers of a table, with methods by their position, 0 for any other, and what is weighted in `unit`."""
    numbers = table.select_dtypes("number")
    method = methods.get_indexer(table["method"]).clip(min=0)
    return numbers.assign(method=method, unit=units.get_indexer(table[by]))


def _scopes(frames: pd.DataFrame, groups: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, NDArray[np.bool_]]]:
    """All frames together, and then every method's fakes with the originals."""
    yield "", frames, np.ones(len(groups), bool)
    for number in np.unique(frames["method"][(frames["label"] == 1) & (frames["method"] > 0)]):
        own, grouped = (
            np.where(table["label"] == 1, table["method"] == number, table["method"] == 0) for table in (frames, groups)
        )
        yield f"/{METHODS[number]}", frames[own], grouped.astype(bool)


def _sums(values: NDArray[np.generic], unit: NDArray[np.int64], weights: Floats) -> Floats:
    """Weighted sums of rows (N, ...) over units: (R, ...)."""
    total = np.zeros((weights.shape[1], *values.shape[1:]))
    np.add.at(total, unit, values)
    return np.tensordot(weights, total, axes=1)


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
    iou = iou_of(torch.from_numpy(counts[fake])).numpy()
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
    found = pooled(*(torch.from_numpy(values) for values in (real.T, fake.T, reals, fakes)))
    return {key: value.numpy() for key, value in found.items()}


def _binned(histograms: NDArray[np.int64], unit: NDArray[np.int64], weights: Floats) -> Metrics:
    called = _sums(histograms, unit, weights)[:, :, ::-1].cumsum(2)  # from the highest scores down
    ranking = rank_counts(torch.from_numpy(called[:, 1]), torch.from_numpy(called[:, 0]))
    return {"pixel_auroc": ranking.auroc.numpy(), "pixel_ap": ranking.ap.numpy()}


def _frames(rows: pd.DataFrame, weights: Floats, threshold: float) -> Metrics:
    label, logit, unit = (rows[name].to_numpy() for name in ("label", "logit", "unit"))
    fakes, reals = (_sums((label == kind).astype(float), unit, weights) for kind in (1, 0))
    right = (logit > threshold) == (label == 1)
    right_fakes, right_reals = (_sums((right & (label == kind)).astype(float), unit, weights) for kind in (1, 0))
    auroc, precision, eer = _ranking(logit, label, unit, weights)
    return {
        "frame_accuracy": (right_fakes + right_reals) / (fakes + reals),
        "frame_accuracy_balanced": (right_fakes / fakes + right_reals / reals) / 2,
        "frame_accuracy_always_fake": fakes / (fakes + reals),
        "frame_accuracy_always_real": reals / (fakes + reals),
        "frame_auroc": auroc,
        "frame_ap": precision,
        "frame_eer": eer,
    }


def _videos(rows: pd.DataFrame, weights: Floats, threshold: float) -> Metrics:
    _, first, video = np.unique(rows["video"], return_index=True, return_inverse=True)
    fake = (rows["label"] == 1) | (rows["method"] > 0)
    logit = video_scores(torch.tensor(rows["logit"].to_numpy()), torch.from_numpy(video))[1].numpy()
    label, unit = np.bincount(video, fake) > 0, rows["unit"].to_numpy()[first]
    right = ((logit > threshold) == label).astype(float)
    auroc, _, _ = _ranking(logit, label.astype(int), unit, weights)
    return {"video_accuracy": _sums(right, unit, weights) / weights[:, unit].sum(1), "video_auroc": auroc}


def _ranking(
    logit: Floats, label: NDArray[np.int64], unit: NDArray[np.int64], weights: Floats
) -> tuple[Floats, Floats, Floats]:
    """AUROC, average precision and equal error rate, each (R,), of log-odds (N,) that weigh as their units do."""
    order = np.argsort(-logit, kind="stable")
    fake, unit = label[order] == 1, unit[order]
    ends = np.append(np.flatnonzero(np.diff(logit[order])), len(order) - 1)  # the last of each score
    parts = []
    for part in np.array_split(weights, -(-weights.size * len(order) // (weights.shape[1] * AT_ONCE)) or 1):
        weight = part[:, unit]
        hits, alarms = ((weight * kind).cumsum(1)[:, ends] for kind in (fake, ~fake))
        parts.append(rank_counts(torch.from_numpy(hits), torch.from_numpy(alarms)))
    return tuple(torch.cat(values).numpy() for values in zip(*parts, strict=True))  # type: ignore[return-value]
