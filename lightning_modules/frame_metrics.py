"""Frame and video metrics, exact under distributed training: every frame's score is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import binary_auroc, binary_average_precision, binary_eer
from torchmetrics.utilities import dim_zero_cat

from .batch import METHODS
from .decisions import video_scores
from .pixel_metrics import require_probabilities

NO_CLIP = -1


class FrameMetrics(Metric):
    """How well fake frames and fake videos are told from real ones; "fake" is the positive class.

    `compute` returns, over all frames, and again under `<key>/<method>` over that method's fakes and all originals:

    - `frame_accuracy`, and `frame_accuracy_always_fake` and `frame_accuracy_always_real`, what a constant would reach.
    - `frame_accuracy_balanced`: mean of the accuracy on real and on fake frames.
    - `frame_auroc`, `frame_ap`, `frame_eer`: area under the ROC curve, average precision, equal error rate; exact.
    - `video_accuracy`, `video_auroc`: a video's score is the mean of its frames'; four fakes of one pair are four.

    A frame is fake by its label: an untouched frame of a fake clip is a real frame, though in no method's figures,
    since it is no original either. A video is fake if it was made by a method or has a fake frame. What needs both
    classes is NaN where only one is seen. Without clips there are no video keys.

    Args:
        threshold: Score above which a frame or a video is called fake.
        methods: Names of the values of `method`, the original first.
    """

    full_state_update = False
    scores: list[Tensor]
    facts: list[Tensor]

    def __init__(self, threshold: float = 0.5, methods: Sequence[str] = METHODS) -> None:
        super().__init__()
        self.threshold = threshold
        self.methods = tuple(methods)
        self.add_state("scores", [], dist_reduce_fx="cat")  # float32 (B,)
        self.add_state("facts", [], dist_reduce_fx="cat")  # int64 (B, 3): label, method, clip

    def update(self, score: Tensor, label: Tensor, method: Tensor, clip: Tensor | None = None) -> None:
        """Keeps a batch.

        Args:
            score: Fake probability of each frame, (B,), in [0, 1].
            label: int64 (B,), 0 real, 1 fake.
            method: int64 (B,), position in `methods`.
            clip: int64 (B,), video of each frame, at least 0; None if not known.
        """
        require_probabilities(score, "frame")
        clip = torch.full_like(label, NO_CLIP) if clip is None else clip
        self.scores.append(score.float())
        self.facts.append(torch.stack([label, method, clip], dim=1))

    def compute(self) -> dict[str, Tensor]:
        """Figures by key, float32 scalars."""
        score = dim_zero_cat(self.scores).cpu().to(torch.float64)
        label, method, clip = dim_zero_cat(self.facts).cpu().unbind(1)
        figures = self._figures(score, label, method, clip)
        for position, name in enumerate(self.methods):
            own = (method == position) & (label == 1)
            if position > 0 and own.any():
                rows = own | ((method == 0) & (label == 0))
                for key, value in self._figures(score[rows], label[rows], method[rows], clip[rows]).items():
                    figures[f"{key}/{name}"] = value
        return {key: value.float().to(self.device) for key, value in figures.items()}

    def _figures(self, score: Tensor, label: Tensor, method: Tensor, clip: Tensor) -> dict[str, Tensor]:
        right = ((score > self.threshold) == (label == 1)).double()
        always_fake = label.double().mean()
        figures = {
            "frame_accuracy": right.mean(),
            "frame_accuracy_balanced": (right[label == 0].mean() + right[label == 1].mean()) / 2,
            "frame_accuracy_always_fake": always_fake,
            "frame_accuracy_always_real": 1 - always_fake,
            "frame_auroc": _ranked(binary_auroc, score, label),
            "frame_ap": _ranked(binary_average_precision, score, label),
            "frame_eer": _ranked(binary_eer, score, label),
        }
        if (clip != NO_CLIP).all():
            _, video_score = video_scores(score, clip)
            _, fake_part = video_scores(((label == 1) | (method != 0)).double(), clip)
            video_label = (fake_part > 0).long()
            figures["video_accuracy"] = ((video_score > self.threshold) == (video_label == 1)).double().mean()
            figures["video_auroc"] = _ranked(binary_auroc, video_score, video_label)
        return figures


def _ranked(figure: Callable[[Tensor, Tensor], Tensor], score: Tensor, label: Tensor) -> Tensor:
    """A figure of the ranking of scores, NaN unless there are both classes to rank."""
    if len(label.unique()) < 2:
        return torch.tensor(torch.nan)
    return figure(score, label)
