"""Thresholds and decision rule: chosen on the validation split, kept in the checkpoint, applied to the test split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from .decisions import video_facts
from .measured import BINS, Measured, edge_of


class OperatingPoint(NamedTuple):
    """What turns probabilities into verdicts.

    Attributes:
        pixel_threshold: Probability from which on a pixel is called forged.
        frame_threshold: Score above which a frame is called fake.
        video_threshold: Score above which a video is called fake.
        decision: The rule that scores frames.
    """

    pixel_threshold: float = 0.5
    frame_threshold: float = 0.5
    video_threshold: float = 0.5
    decision: str = ""


def chosen(
    measured: Measured,
    decisions: Sequence[str],
    pixel_threshold: float | None = None,
    frame_threshold: float | None = None,
) -> OperatingPoint:
    """Chooses on one split what another will be judged by.

    The rule is the one with the highest frame AUROC, the first of equals; the pixels' threshold the bin's edge with the
    highest balanced IoU (see `pixel_figures`), the nearest to 0.5 of equals; those of frames and videos have the
    highest balanced accuracy, and of equals lie in the widest gap between scores. Without both
    real and fake frames, frames and videos get 0.5 and the first rule is taken; without real ones the pixels' threshold
    has the highest IoU on fakes, without known pixels it is 0.5.

    Args:
        measured: An evaluation of the validation split.
        decisions: Names of the columns of `measured.scores`.
        pixel_threshold: Given one, it is kept.
        frame_threshold: Given one, it is kept for frames and videos.
    """
    both = len(measured.label.unique()) == 2
    auroc = [float(binary_auroc(column, measured.label)) if both else 0.0 for column in measured.scores.unbind(1)]
    best = auroc.index(max(auroc))
    score = measured.scores[:, best]
    pixels, frames, videos = pixel_threshold, frame_threshold, frame_threshold
    if pixels is None:
        pixels = _best_for_pixels(measured)
    if frames is None:
        frames = best_threshold(score, measured.label)
    if videos is None:
        videos = best_threshold(*video_facts(measured, score)) if (measured.clip >= 0).all() else 0.5
    return OperatingPoint(pixels, frames, videos, decisions[best])


def best_threshold(score: Tensor, label: Tensor) -> float:
    """The threshold of the highest balanced accuracy, amid the widest gap where several are as good.

    Args:
        score: float64 (N,).
        label: int64 (N,), 0 or 1.

    Returns:
        0.5 where only one class or one score is seen.
    """
    values, place = score.unique(return_inverse=True)
    fakes, reals = label.sum(), (1 - label).sum()
    if len(values) < 2 or not fakes or not reals:
        return 0.5
    fakes_up_to = torch.zeros(len(values), dtype=torch.int64).index_add(0, place, label).cumsum(0)[:-1]
    reals_up_to = torch.zeros(len(values), dtype=torch.int64).index_add(0, place, 1 - label).cumsum(0)[:-1]
    right = reals_up_to * fakes + (fakes - fakes_up_to) * reals  # balanced accuracy times 2 x reals x fakes: exact
    gap = torch.where(right == right.max(), values.diff(), -1.0)
    widest = int(gap.argmax())
    return float((values[widest] + values[widest + 1]) / 2)


def _best_for_pixels(measured: Measured) -> float:
    if measured.counts is None:
        return 0.5
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
