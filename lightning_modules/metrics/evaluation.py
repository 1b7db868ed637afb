"""Pixel, frame and video metrics of one evaluation: the keys by which every result is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from ..batch import METHODS, UNKNOWN, Batch
from ..errors import ModelValueError
from .canvas import paste
from .frames import frame_metrics
from .log_odds import log_odds, make_finite
from .measurements import BINS, GrowingRows, Measurements, bins_of, sum_groups
from .operating_point import OperatingPoint
from .pixels import pixel_metrics
from .thresholds import choose_point


class Evaluation(Metric):
    """Everything measured in one pass over a split, by a model or by a trivial baseline; exact over several processes.

    Pixels are judged on `canvas` where a batch has one, with the prediction laid over it (see `paste`), else on `mask`.
    A batch without `method` counts as one nameless method, one without `clip` yields no video metrics; what each key
    pools is written in `pixel_metrics` and `frame_metrics`.

    In memory stay 48 bytes a frame and 8 a decision rule, and 32 kB a clip.

    Args:
        pixels: Whether masks are judged; if not, pixel keys are absent.
        choosing: Whether `compute` chooses the operating point first, see `choose_point`, and computes them at it: for
            the validation split, and for no other.
        decisions: Names of the rules by which frames are scored; among several, `choosing` chooses.
        pixel_threshold: Probability from which on a pixel is called forged; None is to be chosen.
        frame_threshold: Score above which a frame or a video is called fake; None is to be chosen.
        methods: Names of the values of `method`, the original first.

    Raises:
        ValueError: A threshold is no probability.

    Attributes:
        point: Thresholds and rule in use; 0.5 and the first rule until others are chosen or assigned.
        measured: What the last `compute` was about.

    Examples:
        >>> measure = Evaluation()
        >>> batch = {"label": torch.tensor([0, 1]), "mask": torch.tensor([[[0, 0]], [[1, 1]]])}
        >>> measure.update(batch, torch.tensor([[[0.1, 0.9]], [[0.9, 0.9]]]), torch.tensor([0.2, 0.8]))
        >>> round(float(measure.compute()["pixel_iou"]), 3)  # two hits, one false alarm
        0.667
    """

    full_state_update = False
    facts: list[Tensor]
    logits: list[Tensor]
    groups: list[Tensor]
    histograms: list[Tensor]

    def __init__(
        self,
        pixels: bool = True,
        choosing: bool = False,
        decisions: Sequence[str] = ("score",),
        pixel_threshold: float | None = None,
        frame_threshold: float | None = None,
        methods: Sequence[str] = METHODS,
    ) -> None:
        super().__init__()
        for name, given in (("pixel_threshold", pixel_threshold), ("frame_threshold", frame_threshold)):
            if given is not None and not 0 <= given <= 1:
                raise ModelValueError(f"{name} is {given}, wanted a probability from 0 to 1, or null to choose one")
        self.pixels = pixels
        self.choosing = choosing
        self.decisions = tuple(decisions)
        self.given = tuple(
            None if given is None else float(log_odds(given)) for given in (pixel_threshold, frame_threshold)
        )
        self.methods = tuple(methods)
        self.point = self.given_point(OperatingPoint())
        self.measured: Measurements | None = None
        # int32 (B, 12): clip, frame, method, label, and TP, FP, FN, TN on the canvas and by the own labels
        self.add_state("facts", [], dist_reduce_fx="cat")
        self.add_state("logits", [], dist_reduce_fx="cat")  # float64 (B, R)
        self.add_state("groups", [], dist_reduce_fx="cat")  # int64 (G, 3)
        self.add_state("histograms", [], dist_reduce_fx="cat")  # int64 (G, 2, BINS)
        # what those lists are views of, and the row of each group
        self._facts, self._logits, self._groups, self._histograms = (
            GrowingRows(),
            GrowingRows(),
            GrowingRows(),
            GrowingRows(),
        )
        self._place: dict[tuple[int, ...], int] = {}

    def update(self, batch: Batch, mask: Tensor | None, score: Tensor, logits: bool = False) -> None:
        """Adds a batch.

        Args:
            batch: `label`, and `mask` or `canvas` with both boxes where pixels are judged; `method`, `clip` and `frame`
                if known.
            mask: Forged probability of each pixel, (B, H, W), in [0, 1]; read only where pixels are judged.
            score: Fake probability of each frame, in [0, 1], (B,), or (B, R) by several rules.
            logits: Whether both are given as log-odds instead, of any size: as probabilities, scores near 0 and 1 round
                to one number, and their ranking is lost.

        Raises:
            ValueError: Something is NaN or, of probabilities, outside [0, 1].
        """
        label = batch["label"]
        method = batch.get("method", torch.zeros_like(label))
        clip, frame = (batch.get(key, torch.full_like(label, -1)) for key in ("clip", "frame"))
        score = _to_logits(score, "frame", logits)
        nothing = label.new_zeros(len(label), 4)
        counts, own = nothing, nothing
        if self.pixels:
            truth, laid = _paste_on_canvas(batch, cast("Tensor", mask), logits)
            group = torch.stack([clip, method, label], dim=1)
            counts = self._count(truth, laid, group)
            if "canvas_own" in batch:
                own = self._confusion(batch["canvas_own"], laid)
        self._facts.add(torch.cat([torch.stack([clip, frame, method, label], dim=1), counts, own], dim=1).int())
        self._logits.add(make_finite(score.double()).view(len(label), -1))
        self.facts, self.logits = [self._facts.rows], [self._logits.rows]

    def compute(self) -> dict[str, Tensor]:
        """Metrics by key, float32 scalars, over the frames of all processes."""
        self.measured = measured = self._measured()
        if self.choosing:
            self.point = choose_point(measured, self.decisions, *self.given)
        several = measured.logits.shape[1] > 1
        column = self.decisions.index(self.point.decision) if several else 0
        thresholds = self.point.frame_logit, self.point.video_logit
        metrics = pixel_metrics(measured, self.point.pixel_logit if self.choosing else None, self.methods)
        metrics |= frame_metrics(measured, *thresholds, column, self.methods)
        return {key: value.float().to(self.device) for key, value in metrics.items()}

    def keys(self) -> list[str]:
        """Keys of `compute` over all frames of originals and of fakes; each may also be there as `<key>/<method>`."""
        label = torch.tensor([0, 1])
        small = Evaluation(self.pixels, self.choosing, self.decisions)
        batch: Batch = {"label": label, "mask": label[:, None, None], "clip": label, "frame": label}
        small.update(batch, label[:, None, None].double(), label[:, None].double().expand(-1, len(self.decisions)))
        return list(small.compute())

    def given_point(self, point: OperatingPoint) -> OperatingPoint:
        """A point with the thresholds that the constructor was given, and a rule that it knows."""
        pixel, frame = self.given
        if pixel is not None:
            point = replace(point, pixel_logit=pixel)
        if frame is not None:
            point = replace(point, frame_logit=frame, video_logit=frame)
        return point if point.decision in self.decisions else replace(point, decision=self.decisions[0])

    def forward(self, *batch: object) -> None:
        """Refuses: metrics of one batch alone are none."""
        raise NotImplementedError("an Evaluation measures a whole split: call update with each batch, then compute")

    def merge_state(self, incoming_state: object) -> None:
        """Refuses: processes are joined by `compute`."""
        raise NotImplementedError("evaluations of several processes are joined by compute: call update in each of them")

    def reset(self) -> None:
        """Forgets all batches."""
        super().reset()
        for rows in (self._facts, self._logits, self._groups, self._histograms):
            rows.clear()
        self._place.clear()

    def _count(self, truth: Tensor, logit: Tensor, group: Tensor) -> Tensor:
        """Adds a batch's pixels to the histograms of its groups (B, 3) and returns their counts."""
        groups, place = group.unique(dim=0, return_inverse=True)
        cell = (2 * place[:, None, None] + (truth > 0)) * BINS + bins_of(logit)
        cells = 2 * BINS * len(groups)
        cell = torch.where(truth != UNKNOWN, cell, cells)
        seen = cell.flatten().bincount(minlength=cells + 1)[:cells].view(-1, 2, BINS)
        before = len(self._place)
        rows = [self._place.setdefault(tuple(key), len(self._place)) for key in groups.tolist()]
        rows_of = torch.tensor(rows, device=groups.device)
        self._groups.add(groups[rows_of >= before])
        self._histograms.add(torch.zeros_like(seen[rows_of >= before]))
        self._histograms.rows.index_add_(0, rows_of, seen)
        self.groups, self.histograms = [self._groups.rows], [self._histograms.rows]
        return self._confusion(truth, logit)

    def _confusion(self, truth: Tensor, logit: Tensor) -> Tensor:
        """TP, FP, FN, TN of each frame, (B, 4)."""
        known = truth != UNKNOWN
        forged = (truth > 0) & known
        called = (logit >= self.point.pixel_logit) & known
        hits, calls, region, area = (pixels.flatten(1).sum(1) for pixels in (forged & called, called, forged, known))
        return torch.stack([hits, calls - hits, region - hits, area - region - calls + hits], dim=1)

    def _measured(self) -> Measurements:
        facts, logits = dim_zero_cat(self.facts).cpu().long(), dim_zero_cat(self.logits).cpu()
        order = facts[:, 1].argsort(stable=True)
        order = order[facts[order, 0].argsort(stable=True)]
        facts, logits = facts[order], logits[order]
        clip, frame, method, label = facts[:, :4].unbind(1)
        if self.pixels:
            groups, histograms = sum_groups(dim_zero_cat(self.groups).cpu(), dim_zero_cat(self.histograms).cpu())
            counts, own = facts[:, 4:8], facts[:, 8:]
        else:
            groups, histograms = facts.new_zeros(0, 3), facts.new_zeros(0, 2, BINS)
            counts, own = None, facts[:, 8:]
        return Measurements(clip, frame, method, label, logits, counts, own if own.any() else None, groups, histograms)


def _paste_on_canvas(batch: Batch, mask: Tensor, logits: bool) -> tuple[Tensor, Tensor]:
    """What pixels are judged against, and the log-odds predicted there."""
    if "canvas" not in batch:
        truth = batch["mask"]
        return truth, _to_logits(torch.where(truth != UNKNOWN, mask, 0.0), "mask", logits)
    logit = _to_logits(mask, "mask", logits)
    truth = batch["canvas"]
    return truth, paste(logit, batch["box"], batch["canvas_box"], (truth.shape[-2], truth.shape[-1]))


def _to_logits(values: Tensor, what: str, logits: bool) -> Tensor:
    """Log-odds of what was predicted; refuses NaN and what is no probability where it should be."""
    fitting = ~values.isnan() if logits else (values >= 0) & (values <= 1)
    if not fitting.all():
        wanted = "log-odds" if logits else "probabilities in [0, 1]"
        raise ModelValueError(
            f"{what} scores must be {wanted}, but lie in [{values.min():.3g}, {values.max():.3g}]: pass "
            "`logits.sigmoid()`, or logits with logits=True, and if they are NaN lower the learning rate"
        )
    return values if logits else values.double().logit().to(values.dtype) if what == "mask" else log_odds(values)
