"""From pixels to frames to videos: the rules that turn a mask into a score, and frame scores into a video's."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from .measured import Measured

Decision = Literal["mean", "area", "topk", "max"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)

AREA_THRESHOLD = 0.5
"""Probability above which "area" counts a pixel: fixed, for the threshold that validation chooses depends on masks."""

TOP_FRACTION = 0.05
"""Part of the pixels that "topk" averages: a forged mouth alone covers about that much of a crop."""


def frame_scores(mask_probability: Tensor, decision: Decision = "mean") -> Tensor:
    """Scores frames by what is predicted for their pixels. All pixels count: the truth is not consulted.

    Args:
        mask_probability: Forged probability of each pixel, (B, H, W), in [0, 1].
        decision: "mean" of the probabilities; "area": fraction of pixels above 0.5; "topk": mean of the highest 5 %;
            "max".

    Returns:
        (B,), in [0, 1].
    """
    pixels = mask_probability.flatten(1)
    if decision == "mean":
        return pixels.mean(1)
    if decision == "area":
        return (pixels > AREA_THRESHOLD).float().mean(1)
    if decision == "topk":
        return pixels.topk(max(1, round(TOP_FRACTION * pixels.shape[1])), dim=1).values.mean(1)
    if decision == "max":
        return pixels.amax(1)
    raise ValueError(f"decision is {decision!r}, wanted 'mean', 'area', 'topk' or 'max'")


def video_scores(frame_score: Tensor, clip: Tensor) -> tuple[Tensor, Tensor]:
    """Scores videos by the mean of their frames' scores.

    Args:
        frame_score: (N,), in [0, 1], in any order.
        clip: int64 (N,), video of each frame; four fakes of one pair are four videos.

    Returns:
        The videos, ascending, int64 (V,), and their scores, float64 (V,).
    """
    clips, video = clip.unique(return_inverse=True)
    total = torch.zeros(len(clips), dtype=torch.float64, device=clip.device)
    return clips, total.index_add(0, video, frame_score.double()) / video.bincount(minlength=len(clips))


def video_facts(measured: Measured, score: Tensor, frames: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Scores and labels of the videos in an evaluation.

    A video is fake if it was made by a method or has a fake frame.

    Args:
        measured: An evaluation.
        score: Of each of its frames, float64 (N,).
        frames: bool (N,), those to take; by default all.

    Returns:
        float64 (V,) and int64 (V,), in the order of clips.
    """
    taken = slice(None) if frames is None else frames
    clip, fake = measured.clip[taken], (measured.label[taken] == 1) | (measured.method[taken] != 0)
    _, video_score = video_scores(score[taken], clip)
    _, fake_part = video_scores(fake.double(), clip)
    return video_score, (fake_part > 0).long()
