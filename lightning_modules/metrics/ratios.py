"""Ratios of counted pixels, by one arithmetic for tensors and arrays; without torch, for reports need them too."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Numbers = TypeVar("Numbers", "Tensor", "NDArray[np.float64]")


def pool_counts(real: Numbers, fake: Numbers, reals: Numbers, fakes: Numbers) -> dict[str, Numbers]:
    """Metrics of pixels that are counted together.

    Args:
        real: TP, FP, FN and TN of real frames, float64 (4, ...).
        fake: TP, FP, FN and TN of fake frames, float64 (4, ...).
        reals: Real frames that have known pixels, float64 (...).
        fakes: Fake frames that have known pixels, float64 (...).

    Returns:
        By key, float64 (...).
    """
    tp, fp, fn, tn = real + fake
    _, fp_real, _, tn_real = real
    return {
        "pixel_iou": tp / (tp + fp + fn),
        "pixel_iou_balanced": tp / (tp + fn + fp - fp_real + fp_real * fakes / reals),
        "pixel_f1": 2 * tp / (2 * tp + fp + fn),
        "pixel_accuracy": (tp + tn) / (tp + fp + fn + tn),
        "pixel_fpr_real": fp_real / (fp_real + tn_real),
    }


def iou_of(counts: Numbers) -> Numbers:
    """IoU of each frame, float64 (N,), from its counts, float64 (N, 4); 1 where nothing is forged nor found."""
    hits, union = counts[:, 0], counts[:, :3].sum(1)
    empty = union == 0
    iou: Numbers = (hits + empty) / (union + empty)
    return iou
