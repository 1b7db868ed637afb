"""Chooses thresholds and decision rule on the validation split, by which the test split will be judged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .decisions import score_videos
from .log_odds import mean_log_odds
from .measurements import BINS, Measurements, edge_of
from .operating_point import OperatingPoint
from .ranking import rank_scores


def choose_point(
    measured: Measurements,
    decisions: Sequence[str],
    pixel_logit: float | None = None,
    frame_logit: float | None = None,
) -> OperatingPoint:
    """Chooses on one split what another will be judged by.

    The rule is the one with the highest frame AUROC, the first of equals; the pixels' threshold the bin's edge with the
    highest balanced IoU (see `pixel_metrics`), the nearest to 0.5 of equals; those of frames and videos have the
    highest balanced accuracy, and of equals lie in the widest gap between scores. Without both
    real and fake frames, frames and videos get 0.5 and the first rule is taken; without real ones the pixels' threshold
    has the highest IoU on fakes, without known pixels it is 0.5. All of it by log-odds.

    Args:
        measured: An evaluation of the validation split.
        decisions: Names of the columns of `measured.logits`.
        pixel_logit: Given one, it is kept.
        frame_logit: Given one, it is kept for frames and videos.
    """
    both = len(measured.label.unique()) == 2
    columns = measured.logits.unbind(1)
    auroc = [float(rank_scores(column, measured.label).auroc) if both else 0.0 for column in columns]
    best = auroc.index(max(auroc))
    logit = columns[best]
    pixels, frames, videos = pixel_logit, frame_logit, frame_logit
    if pixels is None:
        pixels = _best_pixel_threshold(measured)
    if frames is None:
        frames = best_threshold(logit, measured.label)
    if videos is None:
        videos = best_threshold(*score_videos(measured, logit)) if (measured.clip >= 0).all() else 0.0
    return OperatingPoint(pixels, frames, videos, decisions[best])


def best_threshold(logit: Tensor, label: Tensor) -> float:
    """The threshold of the highest balanced accuracy; of several as good, amid the widest gap between probabilities.

    Args:
        logit: float64 (N,), log-odds of scores.
        label: int64 (N,), 0 or 1.

    Returns:
        Log-odds of the middle of two scores; 0, those of 0.5, where only one class or one score is seen.
    """
    values, place = logit.unique(return_inverse=True)
    fakes, reals = label.sum(), (1 - label).sum()
    if len(values) < 2 or not fakes or not reals:
        return 0.0
    fakes_up_to = torch.zeros(len(values), dtype=torch.int64).index_add(0, place, label).cumsum(0)[:-1]
    reals_up_to = torch.zeros(len(values), dtype=torch.int64).index_add(0, place, 1 - label).cumsum(0)[:-1]
    right = reals_up_to * fakes + (fakes - fakes_up_to) * reals  # balanced accuracy times 2 x reals x fakes: exact
    low, high = values[:-1], values[1:]
    # The logarithm of sigmoid(high) - sigmoid(low), which near 0 and 1 is too small to be subtracted.
    gap = logsigmoid(high) + logsigmoid(-low) + (-torch.expm1(low - high)).log()
    widest = int(torch.where(right == right.max(), gap, -torch.inf).argmax())
    middle = mean_log_odds(values[widest : widest + 2], 0)
    below = torch.nextafter(high[widest], torch.tensor(-torch.inf, dtype=torch.float64))
    return float(middle.clamp(low[widest], below))


def _best_pixel_threshold(measured: Measurements) -> float:
    if measured.counts is None:
        return 0.0
    label = measured.groups[:, 2]
    known = measured.counts.sum(1) > 0
    fakes, reals = ((measured.label == kind) & known for kind in (1, 0))
    real, fake = (measured.histograms[label == kind].sum(0).double() for kind in (0, 1))
    called_real, called_fake = (counts.flip(1).cumsum(1).flip(1) for counts in (real, fake))  # from each bin upwards
    hits = called_fake[1] + called_real[1]
    weight = fakes.sum() / reals.sum() if reals.any() else torch.tensor(0.0)
    iou = hits / (fake[1].sum() + real[1].sum() + called_fake[0] + called_real[0] * weight)
    iou = iou.nan_to_num(0)[1:]
    best = (iou == iou.max()).nonzero()[:, 0] + 1
    return edge_of(int(best[(best - BINS // 2).abs().argmin()]))
