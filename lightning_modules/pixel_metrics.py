"""Pixel metrics in constant memory, exact under distributed training: counts and histograms per method."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from .batch import METHODS, UNKNOWN

BINS = 1024
LOGIT_RANGE = 12.0
"""Histograms are even in the logit, -12 to 12, because a trained network's probabilities crowd at 0 and 1."""

IOU_UNIT = 2**30
"""Per-frame IoUs are summed as integers of 1 / 2**30, so that the sum is the same in whatever order frames come."""


class PixelMetrics(Metric):
    """How well forged pixels are found. Unknown pixels (255) count nowhere; "forged" is the positive class.

    `compute` returns, over all frames, and again under `<key>/<method>` over that method's fakes and the originals:

    - `pixel_iou`: pooled over every pixel of every frame; a real frame counts through its false alarms.
    - `pixel_iou_balanced`: the same with the false alarms on real frames weighted by (fake frames) / (real frames), so
      that both kinds count alike. Fake frames without a known pixel are not counted.
    - `pixel_iou_per_frame`: mean over fake frames with a known pixel; 1 where nothing is forged and nothing is found.
    - `pixel_f1`, `pixel_accuracy`: pooled over every pixel of every frame.
    - `pixel_auroc`: pooled likewise, from histograms: ties within 0.023 of a logit count half.
    - `pixel_fpr_real`: part of the real frames' pixels that is called forged.

    A real frame is one of label 0, be it from an original or an untouched frame of a fake clip; the latter takes no
    part in the figures of a method. A figure whose denominator is 0 is NaN.

    Args:
        threshold: Probability above which a pixel is called forged.
        methods: Names of the values of `method`, the original first.
    """

    full_state_update = False
    counts: Tensor
    frames: Tensor
    iou_sum: Tensor
    histogram: Tensor

    def __init__(self, threshold: float = 0.5, methods: Sequence[str] = METHODS) -> None:
        super().__init__()
        self.threshold = threshold
        self.methods = tuple(methods)
        # one row for every (method, label), row 2 * method + label
        rows = 2 * len(self.methods)
        whole = torch.int64
        self.add_state("counts", torch.zeros(rows, 4, dtype=whole), dist_reduce_fx="sum")  # TP, FP, FN, TN
        self.add_state("frames", torch.zeros(rows, dtype=whole), dist_reduce_fx="sum")  # with a known pixel
        self.add_state("iou_sum", torch.zeros(rows, dtype=whole), dist_reduce_fx="sum")
        self.add_state("histogram", torch.zeros(rows, 2, BINS, dtype=whole), dist_reduce_fx="sum")  # by truth

    def update(self, probability: Tensor, mask: Tensor, label: Tensor, method: Tensor) -> None:
        """Counts a batch.

        Args:
            probability: Forged probability of each pixel, (B, H, W), in [0, 1]; anything under unknown truth.
            mask: int64 (B, H, W), 0 real, 1 forged, 255 unknown.
            label: int64 (B,), 0 real, 1 fake.
            method: int64 (B,), position in `methods`.
        """
        known = mask != UNKNOWN
        probability = torch.where(known, probability, 0.0)
        require_probabilities(probability, "mask")
        forged = (mask > 0) & known
        called = (probability > self.threshold) & known
        row = 2 * method + label

        hits = (forged & called).flatten(1).sum(1)
        false_alarms = called.flatten(1).sum(1) - hits
        misses = forged.flatten(1).sum(1) - hits
        area = known.flatten(1).sum(1)
        union = hits + false_alarms + misses
        counts = torch.stack([hits, false_alarms, misses, area - union], dim=1)
        iou = torch.where(union > 0, hits / union.clamp(min=1), 1.0)
        # not in place: states born in a validation's inference mode outlive it
        self.counts = self.counts.index_add(0, row, counts)
        self.frames = self.frames.index_add(0, row, (area > 0).long())
        self.iou_sum = self.iou_sum.index_add(0, row, (iou * (area > 0) * IOU_UNIT).round().long())

        place = (probability.float().logit().clamp(-LOGIT_RANGE, LOGIT_RANGE) / LOGIT_RANGE + 1) * (BINS / 2)
        cell = (2 * row[:, None, None] + forged) * BINS + place.long().clamp(max=BINS - 1)
        seen = cell[known].bincount(minlength=self.histogram.numel())
        self.histogram = self.histogram + seen.view_as(self.histogram)

    def compute(self) -> dict[str, Tensor]:
        """Figures by key, float32 scalars."""
        rows = torch.arange(len(self.frames), device=self.frames.device)
        figures = self._figures(rows)
        for method, name in enumerate(self.methods):
            if method > 0 and self.frames[2 * method + 1] > 0:
                own = self._figures(torch.tensor([0, 2 * method + 1], device=self.frames.device))
                figures |= {f"{key}/{name}": value for key, value in own.items()}
        return figures

    def _figures(self, rows: Tensor) -> dict[str, Tensor]:
        """Figures over the frames of some rows; every second row holds fakes."""
        fake, real = rows[rows % 2 == 1], rows[rows % 2 == 0]
        tp, fp, fn, tn = (count.to(torch.float64) for count in self.counts[rows].sum(0).cpu())
        _, fp_real, _, tn_real = (count.to(torch.float64) for count in self.counts[real].sum(0).cpu())
        _, fp_fake, _, _ = (count.to(torch.float64) for count in self.counts[fake].sum(0).cpu())
        fakes = self.frames[fake].sum().cpu().to(torch.float64)
        reals = self.frames[real].sum().cpu().to(torch.float64)
        figures = {
            "pixel_iou": tp / (tp + fp + fn),
            "pixel_iou_balanced": tp / (tp + fn + fp_fake + fp_real * fakes / reals),
            "pixel_iou_per_frame": self.iou_sum[fake].sum().cpu().to(torch.float64) / IOU_UNIT / fakes,
            "pixel_f1": 2 * tp / (2 * tp + fp + fn),
            "pixel_accuracy": (tp + tn) / (tp + fp + fn + tn),
            "pixel_auroc": _auroc(self.histogram[rows].sum(0).cpu()),
            "pixel_fpr_real": fp_real / (fp_real + tn_real),
        }
        return {key: value.float().to(self.device) for key, value in figures.items()}


def _auroc(histogram: Tensor) -> Tensor:
    """Area under the ROC curve, that is P(forged > real) + P(equal) / 2.

    Args:
        histogram: int64 (2, BINS), pixels by score, real ones first.
    """
    real, forged = histogram.to(torch.float64)
    below = real.cumsum(0) - real / 2
    area: Tensor = (forged * below).sum() / (forged.sum() * real.sum())
    return area


def require_probabilities(values: Tensor, what: str) -> None:
    """Refuses NaN and what cannot be a probability, such as logits."""
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(
            f"{what} scores must be probabilities in [0, 1], but lie in [{values.min():.3g}, {values.max():.3g}]: "
            "pass `logits.sigmoid()`, and if they are NaN lower the learning rate"
        )
