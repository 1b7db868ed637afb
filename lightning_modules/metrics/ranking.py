"""How well scores rank fakes above reals: the same arithmetic for frames, videos, pixels, and resampled test sets."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Ranking(NamedTuple):
    """Metrics of a ranking, float64; NaN where only one class is there to be ranked.

    Attributes:
        auroc: Area under the ROC curve, P(fake > real) + P(equal) / 2.
        ap: Average precision, sum of (R_k - R_k-1) P_k over falling thresholds.
        eer: Equal error rate: mean of the false alarm rate and the miss rate at the threshold where these are nearest
            to each other, the highest of several as near.
    """

    auroc: Tensor
    ap: Tensor
    eer: Tensor


def rank_scores(logit: Tensor, label: Tensor) -> Ranking:
    """Ranks scores, each metric a scalar.

    Args:
        logit: (N,), anything that ranks as the scores do.
        label: int64 (N,), 0 real, 1 fake.
    """
    values, place = logit.unique(return_inverse=True)
    hits, alarms = (place[label == kind].bincount(minlength=len(values)).flip(0).cumsum(0).double() for kind in (1, 0))
    return rank_counts(hits, alarms)


def rank_counts(hits: Tensor, alarms: Tensor) -> Ranking:
    """Ranks by what is called fake as the threshold falls, each metric (...).

    Whole numbers are compared exactly, so that thresholds that are as good are told from those that nearly are.

    Args:
        hits: Fakes called, float64 (..., K), by K thresholds from the highest down; the last calls everything.
        alarms: Reals called, float64 (..., K).
    """
    fakes, reals = hits[..., -1:], alarms[..., -1:]
    hits, alarms = (
        torch.cat([torch.zeros_like(total), counts], -1) for counts, total in ((hits, fakes), (alarms, reals))
    )
    auroc = (alarms.diff() * (hits[..., 1:] + hits[..., :-1])).sum(-1, keepdim=True) / (2 * fakes * reals)
    called = (hits + alarms)[..., 1:]
    precision = torch.where(called > 0, hits[..., 1:] / called, 0.0)
    average = (hits.diff() * precision).sum(-1, keepdim=True) / fakes
    nearest = (alarms * fakes - (fakes - hits) * reals).abs().argmin(-1, keepdim=True)
    rate = (alarms.gather(-1, nearest) / reals + 1 - hits.gather(-1, nearest) / fakes) / 2
    both = (fakes > 0) & (reals > 0)
    return Ranking(*(torch.where(both, metric, torch.nan).squeeze(-1) for metric in (auroc, average, rate)))
