"""Pixel metrics: how well forged pixels are found."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..batch import METHODS
from .measurements import Measurements, bin_from, list_scopes
from .ranking import rank_counts
from .ratios import iou_of, pool_counts


def pixel_metrics(
    measured: Measurements, threshold: float | None = None, methods: Sequence[str] = METHODS
) -> dict[str, Tensor]:
    """Metrics of pixels. Unknown pixels (255) count nowhere; "forged" is the positive class.

    Over all frames, and again under `<key>/<method>` over that method's fakes and the originals, unless no pixel of the
    fakes is known:

    - `pixel_iou`: pooled over every pixel of every frame; a real frame counts through its false alarms.
    - `pixel_iou_balanced`: the same with the false alarms on real frames weighted by (fake frames) / (real frames), so
      that both kinds count alike. Frames without a known pixel are not counted.
    - `pixel_iou_per_frame`: mean over fake frames with a known pixel; 1 where nothing is forged and nothing is found.
    - `pixel_f1`, `pixel_accuracy`: pooled over every pixel of every frame.
    - `pixel_auroc`, `pixel_ap`: pooled likewise, from histograms: logits in one bin count as tied, see
      `measured.BIN_WIDTH`: within 0.012 near 0, within 1.2 % of the logit far from it.
    - `pixel_fpr_real`: part of the real frames' pixels that is called forged.
    - `pixel_iou_own`, `pixel_iou_balanced_own`: the first two by the labels that were trained on, where those are not
      the official ones.

    An authentic frame has no forged pixel, so there is no IoU of it by itself: it enters the pooled metrics by its
    false alarms, `pixel_iou_per_frame` not at all, and `pixel_fpr_real` is about nothing else. A metric whose
    denominator is 0 is NaN.

    Args:
        measured: An evaluation in which pixels were judged.
        threshold: Counts pixels anew at this logit, from the histograms and so to the width of a bin; there is no
            `pixel_iou_per_frame` then. By default the threshold they were counted at.
        methods: Names of the values of `method`, the original first.

    Returns:
        Metrics by key, float64 scalars.

    Examples:
        >>> from lightning_modules import Evaluation
        >>> measure = Evaluation()
        >>> batch = {"label": torch.tensor([1]), "mask": torch.tensor([[[1, 1, 0, 255]]])}
        >>> measure.update(batch, torch.tensor([[[0.9, 0.1, 0.1, 0.9]]]), torch.tensor([0.9]))
        >>> _ = measure.compute()
        >>> float(pixel_metrics(measure.measured)["pixel_iou"])  # one hit, one miss
        0.5
    """
    counts, label = measured.counts, measured.label
    if counts is None:
        return {}
    known = counts.sum(1) > 0
    metrics: dict[str, Tensor] = {}
    for suffix, frames, groups in list_scopes(measured, methods):
        histograms, group_label = measured.histograms[groups], measured.groups[groups, 2]
        if threshold is None:
            kinds = [counts[frames & (label == kind)].sum(0) for kind in (0, 1)]
        else:
            kinds = [counts_at(histograms[group_label == kind].sum(0), threshold) for kind in (0, 1)]
        seen = [(frames & (label == kind) & known).sum().double() for kind in (0, 1)]
        if suffix and not seen[1]:
            continue
        found = pool_counts(*(counted.double() for counted in kinds), *seen)
        if threshold is None:
            found["pixel_iou_per_frame"] = iou_of(counts[frames & (label == 1) & known].double()).mean()
        alarms, hits = histograms.sum(0).flip(1).cumsum(1).double()
        found["pixel_auroc"], found["pixel_ap"], _ = rank_counts(hits, alarms)
        if measured.own is not None and threshold is None:
            own = pool_counts(*(measured.own[frames & (label == kind)].sum(0).double() for kind in (0, 1)), *seen)
            found |= {f"{key}_own": own[key] for key in ("pixel_iou", "pixel_iou_balanced")}
        metrics |= {key + suffix: value for key, value in found.items()}
    return metrics


def counts_at(histogram: Tensor, threshold: float) -> Tensor:
    """Counts (4,), TP FP FN TN, of a histogram (2, BINS) at the bin in which a logit lies; that bin is called."""
    start = bin_from(threshold)
    called, left = histogram[:, start:].sum(1), histogram[:, :start].sum(1)
    return torch.stack([called[1], called[0], left[1], left[0]])
