"""Frame and video metrics: how well fake frames and fake videos are told from real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, binary_average_precision, binary_eer

from .batch import METHODS
from .decisions import video_facts
from .measured import Measured, scopes


def frame_figures(
    measured: Measured,
    frame_threshold: float = 0.5,
    video_threshold: float = 0.5,
    column: int = 0,
    methods: Sequence[str] = METHODS,
) -> dict[str, Tensor]:
    """Figures of frames and videos; "fake" is the positive class.

    Over all frames, and again under `<key>/<method>` over that method's fakes and all originals:

    - `frame_accuracy`, and `frame_accuracy_always_fake` and `frame_accuracy_always_real`, what a constant would reach.
    - `frame_accuracy_balanced`: mean of the accuracy on real and on fake frames.
    - `frame_auroc`, `frame_ap`, `frame_eer`: area under the ROC curve, average precision, equal error rate; exact.
    - `video_accuracy`, `video_auroc`: a video's score is the mean of its frames'; four fakes of one pair are four.

    A frame is fake by its label: an untouched frame of a fake clip is a real frame, though in no method's figures,
    since it is no original either. A video is fake if it was made by a method or has a fake frame. What needs both
    classes is NaN where only one is seen. Without clips there are no video keys.

    Args:
        measured: An evaluation.
        frame_threshold: Score above which a frame is called fake.
        video_threshold: Score above which a video is called fake.
        column: Of `measured.scores`.
        methods: Names of the values of `method`, the original first.

    Returns:
        Figures by key, float64 scalars.
    """
    score, label = measured.scores[:, column], measured.label
    figures: dict[str, Tensor] = {}
    for suffix, frames, _ in scopes(measured, methods):
        found = _of_frames(score[frames], label[frames], frame_threshold)
        if (measured.clip[frames] >= 0).all():
            video_score, video_label = video_facts(measured, score, frames)
            found["video_accuracy"] = ((video_score > video_threshold) == (video_label == 1)).double().mean()
            found["video_auroc"] = _ranked(binary_auroc, video_score, video_label)
        figures |= {key + suffix: value for key, value in found.items()}
    return figures


def _of_frames(score: Tensor, label: Tensor, threshold: float) -> dict[str, Tensor]:
    right = ((score > threshold) == (label == 1)).double()
    always_fake = label.double().mean()
    return {
        "frame_accuracy": right.mean(),
        "frame_accuracy_balanced": (right[label == 0].mean() + right[label == 1].mean()) / 2,
        "frame_accuracy_always_fake": always_fake,
        "frame_accuracy_always_real": 1 - always_fake,
        "frame_auroc": _ranked(binary_auroc, score, label),
        "frame_ap": _ranked(binary_average_precision, score, label),
        "frame_eer": _ranked(binary_eer, score, label),
    }


def _ranked(figure: Callable[[Tensor, Tensor], Tensor], score: Tensor, label: Tensor) -> Tensor:
    """A figure of the ranking of scores, NaN unless there are both classes to rank."""
    if len(label.unique()) < 2:
        return torch.tensor(torch.nan, dtype=torch.float64)
    return figure(score, label).double()
