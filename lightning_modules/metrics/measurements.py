"""What one evaluation has seen: a row a frame, and a histogram of the pixels' scores for every clip."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..batch import METHODS
from ..errors import ModelValueError

BINS = 2048
BIN_WIDTH = 0.012
"""Histograms of pixels are even in the inverse hyperbolic sine of the logit: a bin is 0.012 wide near 0 and 1.2 % of
the logit far from it, up to logits of 100,000, where the outermost bins begin, which have no end. A trained network's
probabilities crowd at 0 and 1, and those of a network that is sure of itself lie at any logit."""


class Measurements(NamedTuple):
    """All that metrics are computed from, on the CPU, frames in the order of clip and frame.

    Attributes:
        clip: int64 (N,), video of each frame; -1 where it is not known.
        frame: int64 (N,), position in it; -1 where it is not known.
        method: int64 (N,), position in `METHODS`.
        label: int64 (N,), 0 real, 1 fake.
        logits: float64 (N, R), log-odds of each frame's score (its fake probability) by each decision rule.
        counts: int64 (N, 4), pixels that are true positive, false positive, false negative, true negative; "forged" is
            positive, pixels not known are none of these. None where pixels are not judged.
        own: int64 (N, 4), the same by the labels that were trained on; None where those are the official ones.
        groups: int64 (G, 3), clip, method and label, ascending: what a histogram counts the frames of.
        histograms: int64 (G, 2, BINS), known pixels by logit, see `bins_of`, the real ones first; without groups where
            pixels are not judged.

    Examples:
        >>> from lightning_modules import Evaluation
        >>> measure = Evaluation(pixels=False)
        >>> measure.update({"label": torch.tensor([0, 1])}, None, torch.tensor([0.5, 0.9]))
        >>> _ = measure.compute()
        >>> measure.measured.label.tolist(), measure.measured.logits.shape
        ([0, 1], torch.Size([2, 1]))
    """

    clip: Tensor
    frame: Tensor
    method: Tensor
    label: Tensor
    logits: Tensor
    counts: Tensor | None
    own: Tensor | None
    groups: Tensor
    histograms: Tensor


class Scope(NamedTuple):
    """The part of an evaluation that some metrics are about.

    Attributes:
        suffix: What is appended to their keys: nothing, or `/<method>`.
        frames: bool (N,).
        groups: bool (G,).
    """

    suffix: str
    frames: Tensor
    groups: Tensor


def list_scopes(measured: Measurements, methods: Sequence[str] = METHODS) -> Iterator[Scope]:
    """All frames together, and then every method's fakes with the originals.

    A real frame is one of label 0, be it of an original or an untouched frame of a fake clip; the latter is in no
    method's scope, for it is no original.
    """

    def of(method: Tensor, label: Tensor, position: int) -> Tensor:
        return ((method == position) & (label == 1)) | ((method == 0) & (label == 0))

    _, group_method, group_label = measured.groups.unbind(1)
    yield Scope("", torch.ones_like(measured.label, dtype=torch.bool), torch.ones_like(group_label, dtype=torch.bool))
    for position in measured.method[measured.label == 1].unique().tolist():
        if position >= len(methods):
            raise ModelValueError(
                f"method is {position}, but wanted a position in {list(methods)}: give Evaluation your `methods`, or "
                "leave `method` out of the batch"
            )
        if position > 0:
            yield Scope(
                f"/{methods[position]}",
                of(measured.method, measured.label, position),
                of(group_method, group_label, position),
            )


def bins_of(logit: Tensor) -> Tensor:
    """The cell of a histogram that each logit belongs to, int64 of the same shape."""
    end = math.sinh(BINS / 2 * BIN_WIDTH)
    place = logit.float().clamp(-end, end).asinh() / BIN_WIDTH + BINS / 2
    return place.clamp(0, BINS - 1).long()


def edge_of(bin: int) -> float:
    """The logit at which a cell begins."""
    return math.sinh((bin - BINS / 2) * BIN_WIDTH)


def bin_from(logit: float) -> int:
    """The first cell of those at or above a logit, where that is an edge, else the cell that it lies in."""
    place = math.asinh(logit) / BIN_WIDTH + BINS / 2 + 1e-6  # an edge belongs to the bin above it, however it rounds
    return min(BINS - 1, max(0, math.floor(place)))


class GrowingRows:
    """Rows of one tensor, filled from the front and doubled when it is full.

    Thousands of small tensors kept between the large ones that come and go would leave holes, and memory would grow by
    gigabytes. The rows are no inference tensors, so they may be filled in a later pass as well.
    """

    def __init__(self) -> None:
        self._tensor: Tensor | None = None
        self._count = 0

    @property
    def rows(self) -> Tensor:
        """A view of the rows that are there; there must be some."""
        if self._tensor is None:
            raise ModelValueError("nothing has been measured yet: call update with a batch first")
        return self._tensor[: self._count]

    def add(self, rows: Tensor) -> None:
        """Appends rows (N, ...)."""
        needed = self._count + len(rows)
        if self._tensor is None or needed > len(self._tensor):
            with torch.inference_mode(False):
                larger = rows.new_empty(max(1024, 2 * needed), *rows.shape[1:])
            if self._tensor is not None:
                larger[: self._count] = self._tensor[: self._count]
            self._tensor = larger
        self._tensor[self._count : needed] = rows
        self._count = needed

    def clear(self) -> None:
        """Forgets all rows."""
        self._tensor, self._count = None, 0


def sum_groups(groups: Tensor, histograms: Tensor) -> tuple[Tensor, Tensor]:
    """Adds up the histograms of each group; groups ascending."""
    found, place = groups.unique(dim=0, return_inverse=True)
    total = torch.zeros(len(found), *histograms.shape[1:], dtype=histograms.dtype, device=histograms.device)
    return found, total.index_add(0, place, histograms)
