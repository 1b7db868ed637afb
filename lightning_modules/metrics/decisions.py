"""From pixels to frames to videos: the rules that turn a mask into a score, and frame scores into a video's."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from ..errors import ModelValueError
from .log_odds import grouped_mean_log_odds, make_finite, mean_log_odds
from .measurements import Measurements

Decision = Literal["mean", "area", "topk", "max"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)

AREA_LOGIT = 0.0
"""Log-odds above which "area" counts a pixel, those of 0.5: fixed, for the threshold that validation chooses depends on
masks."""

TOP_FRACTION = 0.05
"""Part of the pixels that "topk" averages: a forged mouth alone covers about that much of a crop."""


def frame_scores(mask_logit: Tensor, decision: Decision = "mean") -> Tensor:
    """Scores frames by what is predicted for their pixels. All pixels count: the truth is not consulted.

    Args:
        mask_logit: Log-odds that each pixel is forged, (B, H, W).
        decision: "mean" of the probabilities; "area": fraction of pixels above 0.5; "topk": mean of the highest 5 % of
            the probabilities; "max" of them.

    Returns:
        Log-odds of the score, float64 (B,): `.sigmoid()` of it is the score itself, but cannot tell two scores near 0
        or 1 apart.

    Examples:
        >>> import torch
        >>> mask_logit = torch.tensor([0.0, 0.0, 9.0, 9.0]).view(1, 2, 2)
        >>> frame_scores(mask_logit, "area").sigmoid().tolist()
        [0.5]
    """
    pixels = mask_logit.flatten(1)
    if decision == "mean":
        return mean_log_odds(pixels, 1)
    if decision == "area":
        called = (pixels > AREA_LOGIT).sum(1).double()
        return make_finite(called.log() - (pixels.shape[1] - called).log())
    if decision == "topk":
        return mean_log_odds(pixels.topk(max(1, round(TOP_FRACTION * pixels.shape[1])), dim=1).values, 1)
    if decision == "max":
        return make_finite(pixels.amax(1).double())
    raise ModelValueError(f"decision is {decision!r}, wanted 'mean', 'area', 'topk' or 'max'")


def video_scores(frame_logit: Tensor, clip: Tensor) -> tuple[Tensor, Tensor]:
    """Scores videos by the mean of their frames' scores, which are probabilities.

    Args:
        frame_logit: (N,), log-odds of the frames' scores, in any order.
        clip: int64 (N,), video of each frame; four fakes of one pair are four videos.

    Returns:
        The videos, ascending, int64 (V,), and the log-odds of their scores, float64 (V,).

    Examples:
        >>> import torch
        >>> clips, logit = video_scores(torch.tensor([0.2, 0.4, 0.9]).logit(), torch.tensor([7, 7, 3]))
        >>> clips.tolist(), [round(score, 2) for score in logit.sigmoid().tolist()]
        ([3, 7], [0.9, 0.3])
    """
    clips, video = clip.unique(return_inverse=True)
    return clips, grouped_mean_log_odds(frame_logit, video, len(clips))


def score_videos(measured: Measurements, logit: Tensor, frames: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Scores and labels of the videos in an evaluation.

    A video is fake if it was made by a method or has a fake frame.

    Args:
        measured: An evaluation.
        logit: Log-odds of the score of each of its frames, float64 (N,).
        frames: bool (N,), those to take; by default all.

    Returns:
        Log-odds of the scores, float64 (V,), and labels, int64 (V,), in the order of clips.
    """
    taken = slice(None) if frames is None else frames
    clip, fake = measured.clip[taken], (measured.label[taken] == 1) | (measured.method[taken] != 0)
    clips, video_logit = video_scores(logit[taken], clip)
    _, video = clip.unique(return_inverse=True)
    return video_logit, (video.new_zeros(len(clips)).index_add(0, video, fake.long()) > 0).long()
