"""Frame and video metrics: how well fake frames and fake videos are told from real ones."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..batch import METHODS
from .decisions import score_videos
from .measurements import Measurements, list_scopes
from .ranking import rank_scores


def frame_metrics(
    measured: Measurements,
    frame_threshold: float = 0.0,
    video_threshold: float = 0.0,
    column: int = 0,
    methods: Sequence[str] = METHODS,
) -> dict[str, Tensor]:
    """Metrics of frames and videos; "fake" is the positive class.

    Over all frames, and again under `<key>/<method>` over that method's fakes and all originals:

    - `frame_accuracy`, and `frame_accuracy_always_fake` and `frame_accuracy_always_real`, what a constant would reach.
    - `frame_accuracy_balanced`: mean of the accuracy on real and on fake frames.
    - `frame_auroc`, `frame_ap`, `frame_eer`: see `Ranking`; exact, for frames are ranked by log-odds, which tell scores
      apart that round to 0 or 1.
    - `video_accuracy`, `video_auroc`: a video's score is the mean of its frames'; four fakes of one pair are four.

    A frame is fake by its label: an untouched frame of a fake clip is a real frame, though in no method's metrics,
    since it is no original either. A video is fake if it was made by a method or has a fake frame. What needs both
    classes is NaN where only one is seen. Without clips there are no video keys.

    Args:
        measured: An evaluation.
        frame_threshold: Log-odds of the score above which a frame is called fake.
        video_threshold: Log-odds of the score above which a video is called fake.
        column: Of `measured.logits`.
        methods: Names of the values of `method`, the original first.

    Returns:
        Metrics by key, float64 scalars.

    Examples:
        >>> import torch
        >>> from lightning_modules import Evaluation
        >>> measure = Evaluation(pixels=False)
        >>> measure.update({"label": torch.tensor([0, 1, 1])}, None, torch.tensor([0.3, 0.2, 0.8]))
        >>> _ = measure.compute()
        >>> float(frame_metrics(measure.measured)["frame_auroc"])  # one of two pairs is in order
        0.5
    """
    logit, label = measured.logits[:, column], measured.label
    metrics: dict[str, Tensor] = {}
    for suffix, frames, _ in list_scopes(measured, methods):
        found = _metrics_of_scores(logit[frames], label[frames], frame_threshold)
        if (measured.clip[frames] >= 0).all():
            video_logit, video_label = score_videos(measured, logit, frames)
            found["video_accuracy"] = ((video_logit > video_threshold) == (video_label == 1)).double().mean()
            found["video_auroc"] = rank_scores(video_logit, video_label).auroc
        metrics |= {key + suffix: value for key, value in found.items()}
    return metrics


def _metrics_of_scores(logit: Tensor, label: Tensor, threshold: float) -> dict[str, Tensor]:
    right = ((logit > threshold) == (label == 1)).double()
    always_fake = label.double().mean()
    ranking = rank_scores(logit, label)
    return {
        "frame_accuracy": right.mean(),
        "frame_accuracy_balanced": (right[label == 0].mean() + right[label == 1].mean()) / 2,
        "frame_accuracy_always_fake": always_fake,
        "frame_accuracy_always_real": 1 - always_fake,
        "frame_auroc": ranking.auroc,
        "frame_ap": ranking.ap,
        "frame_eer": ranking.eer,
    }
