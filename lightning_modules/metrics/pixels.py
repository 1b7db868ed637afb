"""Pixel metrics: how well forged pixels are found."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..batch import METHODS
from .measured import Measured, bin_from, scopes


def pixel_figures(
    measured: Measured, threshold: float | None = None, methods: Sequence[str] = METHODS
) -> dict[str, Tensor]:
    """Figures of pixels. Unknown pixels (255) count nowhere; "forged" is the positive class.

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

    An authentic frame has no forged pixel, so there is no IoU of it by itself: it enters the pooled figures by its
    false alarms, `pixel_iou_per_frame` not at all, and `pixel_fpr_real` is about nothing else. A figure whose
    denominator is 0 is NaN.

    Args:
        measured: An evaluation in which pixels were judged.
        threshold: Counts pixels anew at this logit, from the histograms and so to the width of a bin; there is no
            `pixel_iou_per_frame` then. By default the threshold they were counted at.
        methods: Names of the values of `method`, the original first.

    Returns:
        Figures by key, float64 scalars.

    Examples:
        >>> from lightning_modules import Evaluation
        >>> measure = Evaluation()
        >>> batch = {"label": torch.tensor([1]), "mask": torch.tensor([[[1, 1, 0, 255]]])}
        >>> measure.update(batch, torch.tensor([[[0.9, 0.1, 0.1, 0.9]]]), torch.tensor([0.9]))
        >>> _ = measure.compute()
        >>> float(pixel_figures(measure.measured)["pixel_iou"])  # one hit, one miss
        0.5
    """
    counts, label = measured.counts, measured.label
    if counts is None:
        return {}
    known = counts.sum(1) > 0
    figures: dict[str, Tensor] = {}
    for suffix, frames, groups in scopes(measured, methods):
        histograms, group_label = measured.histograms[groups], measured.groups[groups, 2]
        if threshold is None:
            kinds = [counts[frames & (label == kind)].sum(0) for kind in (0, 1)]
        else:
            kinds = [counts_at(histograms[group_label == kind].sum(0), threshold) for kind in (0, 1)]
        seen = [(frames & (label == kind) & known).sum().double() for kind in (0, 1)]
        if suffix and not seen[1]:
            continue
        found = pooled(*kinds, *seen)
        if threshold is None:
            found["pixel_iou_per_frame"] = iou_of(counts[frames & (label == 1) & known]).mean()
        found["pixel_auroc"], found["pixel_ap"] = ranked(histograms.sum(0))
        if measured.own is not None and threshold is None:
            own = pooled(*(measured.own[frames & (label == kind)].sum(0) for kind in (0, 1)), *seen)
            found |= {f"{key}_own": own[key] for key in ("pixel_iou", "pixel_iou_balanced")}
        figures |= {key + suffix: value for key, value in found.items()}
    return figures


def pooled(real: Tensor, fake: Tensor, reals: Tensor, fakes: Tensor) -> dict[str, Tensor]:
    """Figures of counts (4, ...) over real and fake frames, of which so many (...) have known pixels."""
    tp, fp, fn, tn = (real + fake).double()
    _, fp_real, _, tn_real = real.double()
    return {
        "pixel_iou": tp / (tp + fp + fn),
        "pixel_iou_balanced": tp / (tp + fn + fp - fp_real + fp_real * fakes / reals),
        "pixel_f1": 2 * tp / (2 * tp + fp + fn),
        "pixel_accuracy": (tp + tn) / (tp + fp + fn + tn),
        "pixel_fpr_real": fp_real / (fp_real + tn_real),
    }


def iou_of(counts: Tensor) -> Tensor:
    """IoU of each frame, float64 (N,), from its counts (N, 4); 1 where nothing is forged and nothing is found."""
    hits, union = counts[:, 0].double(), counts[:, :3].sum(1)
    return torch.where(union > 0, hits / union.clamp(min=1), 1.0)


def counts_at(histogram: Tensor, threshold: float) -> Tensor:
    """Counts (4,), TP FP FN TN, of a histogram (2, BINS) at the bin in which a logit lies; that bin is called."""
    start = bin_from(threshold)
    called, left = histogram[:, start:].sum(1), histogram[:, :start].sum(1)
    return torch.stack([called[1], called[0], left[1], left[0]])


def ranked(histogram: Tensor) -> tuple[Tensor, Tensor]:
    """Area under the ROC curve, P(forged > real) + P(equal) / 2, and average precision, sum of (R_k - R_k-1) P_k.

    Args:
        histogram: int64 (2, BINS), pixels by logit, real ones first.
    """
    real, forged = histogram.double()
    auroc = (forged * (real.cumsum(0) - real / 2)).sum() / (forged.sum() * real.sum())
    hits, alarms = (counts.flip(0).cumsum(0) for counts in (forged, real))
    precision = hits / (hits + alarms).clamp(min=1)
    return auroc, (forged.flip(0) * precision).sum() / forged.sum()
