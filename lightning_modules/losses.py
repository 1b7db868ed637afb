"""Losses on pixels and on frames, from logits; unknown pixels take no part."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from .batch import UNKNOWN

PixelLoss = Literal["bce", "dice", "bce+dice"]

EPSILON = 1e-6  # pixels; only decides that nothing overlaps nothing perfectly


def bce(logits: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy, mean over the known pixels of the batch.

    A frame without forged pixels contributes as any other: each of its pixels is pulled towards real.

    Args:
        logits: (B, 1, H, W).
        mask: int64 (B, H, W), 0 real, 1 forged, 255 unknown.

    Returns:
        Scalar; 0, with gradient 0, if no pixel is known.
    """
    logits, known, forged = _known(logits, mask)
    return (F.binary_cross_entropy_with_logits(logits, forged, reduction="none") * known).sum() / known.sum().clamp(
        min=1
    )


def dice(logits: Tensor, mask: Tensor) -> Tensor:
    """Soft Dice loss of the forged class, pooled over the known pixels of the batch (Milletari et al. 2016).

    What a frame without forged pixels contributes: beside forged ones in its batch, its false alarms enlarge the
    denominator, as those on any frame do. In a batch without any forged pixel the overlap with the forged class is 0
    whatever is predicted, so the loss there is that of the real class, m / (2 - m) with `m` the mean forged
    probability. (segmentation_models_pytorch's DiceLoss is 0 there, and false alarms are free.)

    Args:
        logits: (B, 1, H, W).
        mask: int64 (B, H, W), 0 real, 1 forged, 255 unknown.

    Returns:
        Scalar in [0, 1]; 0, with gradient 0, if no pixel is known.
    """
    logits, known, forged = _known(logits, mask)
    probability = logits.sigmoid() * known
    return torch.where(
        forged.any(),
        1 - _overlap(probability, forged),
        1 - _overlap(known - probability, known),
    )


def pixel_loss(name: PixelLoss, logits: Tensor, mask: Tensor) -> Tensor:
    """The pixel loss of that name; "bce+dice" is their sum.

    Args:
        name: Which one.
        logits: (B, 1, H, W).
        mask: int64 (B, H, W), 0 real, 1 forged, 255 unknown.
    """
    if name == "bce":
        return bce(logits, mask)
    if name == "dice":
        return dice(logits, mask)
    if name == "bce+dice":
        return bce(logits, mask) + dice(logits, mask)
    raise ValueError(f"loss is {name!r}, wanted 'bce', 'dice' or 'bce+dice'")


def frame_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Binary cross-entropy, mean over frames.

    Args:
        logits: (B,).
        label: int64 (B,), 0 real, 1 fake.
    """
    return F.binary_cross_entropy_with_logits(logits.float(), label.float())


def _known(logits: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits with 0 under unknown pixels, known pixels and forged pixels: each float32 (B, H, W)."""
    known = mask != UNKNOWN
    logits = torch.where(known, logits.squeeze(1).float(), 0.0)  # where, so that not even NaN passes
    return logits, known.float(), ((mask > 0) & known).float()


def _overlap(a: Tensor, b: Tensor) -> Tensor:
    """Dice coefficient of two soft sets, 1 if both are empty."""
    return (2 * (a * b).sum() + EPSILON) / (a.sum() + b.sum() + EPSILON)
