"""Losses on pixels and on frames, from logits, computed in float32; unknown pixels take no part.

Losses on pixels read `logits` (B, C, H, W): with C = 1 that of being forged, else one for real and one a method, for a
softmax. `mask` is int64 (B, H, W): 0 real, 1 to C - 1 forged by that method, 255 unknown; with C = 1 any from 1 to 254
is forged. `class_weights` are positive: (real, forged) with C = 1, else (real, method 1, ...); only ratios matter. The
result is a scalar: 0, with gradient 0, if no pixel is known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .batch import UNKNOWN
from .errors import ModelValueError

EPSILON = 1e-6  # pixels; only decides that nothing overlaps nothing perfectly
FOCAL_GAMMA = 2.0  # what Lin et al. 2017 found best
TVERSKY_ALPHA, TVERSKY_BETA = 0.3, 0.7  # weights of false alarms and of misses, what Salehi et al. 2017 found best


def bce(
    logits: Tensor, mask: Tensor, label_smoothing: float = 0.0, class_weights: Sequence[float] | None = None
) -> Tensor:
    """Cross-entropy, binary or of the softmax: mean over the known pixels of the batch, weighted by their true class.

    A frame without forged pixels contributes as any other: each of its pixels is pulled towards real.

    Args:
        logits: (B, C, H, W).
        mask: (B, H, W).
        label_smoothing: In [0, 1): a pixel's target, 1 for its class and 0 for the others, becomes
            (1 - s) target + s / classes, so with C = 1 it is 1 - s / 2 if forged and s / 2 if real.
        class_weights: Weights of pixels by class.

    Examples:
        >>> mask = torch.tensor([[[1, 0, 255]]])  # forged, real, not known
        >>> round(float(bce(torch.zeros(1, 1, 1, 3), mask)), 3)  # ln 2, of the two that are known
        0.693
    """
    entropy, weights = _cross_entropy(logits, mask, label_smoothing, class_weights)
    return _weighted_mean(entropy, weights)


def focal(
    logits: Tensor, mask: Tensor, label_smoothing: float = 0.0, class_weights: Sequence[float] | None = None
) -> Tensor:
    """Focal loss: the cross-entropy e of a pixel times (1 - exp(-e))^2, else as `bce` (Lin et al. 2017, gamma 2).

    exp(-e) is the probability of the true class where labels are not smoothed. The paper's alpha is a class weight:
    0.25 is (0.75, 0.25); without weights the classes count alike.

    A frame without forged pixels contributes as any other, mostly by its false alarms: a real pixel called forged with
    probability 0.9 counts 0.81 of its cross-entropy, one with 0.01 a ten-thousandth.

    Args:
        logits: (B, C, H, W).
        mask: (B, H, W).
        label_smoothing: As in `bce`; the loss is then least, but not 0, at the smoothed target.
        class_weights: Weights of pixels by class.

    Examples:
        >>> mask = torch.tensor([[[1, 0, 255]]])
        >>> round(float(focal(torch.zeros(1, 1, 1, 3), mask)), 3)  # (1 - 0.5)^2 ln 2
        0.173
    """
    entropy, weights = _cross_entropy(logits, mask, label_smoothing, class_weights)
    return _weighted_mean((-torch.expm1(-entropy)) ** FOCAL_GAMMA * entropy, weights)


def dice(logits: Tensor, mask: Tensor, class_weights: Sequence[float] | None = None) -> Tensor:
    """Soft Dice loss, pooled over the known pixels of the batch (Milletari et al. 2016).

    With C = 1 it is that of the forged class, else the weighted mean over the classes present in the batch. What is
    given to an absent class is missing from a present one, so it is not free.

    What a frame without forged pixels contributes: beside forged ones in its batch, its false alarms enlarge the
    denominator, as those on any frame do. In a batch without any forged pixel the overlap with the forged class is 0
    whatever is predicted, so the loss there is that of the real class, m / (2 - m) with `m` the mean forged
    probability. (segmentation_models_pytorch's DiceLoss is 0 there, and false alarms are free.)

    Args:
        logits: (B, C, H, W).
        mask: (B, H, W).
        class_weights: Weights of the classes' terms; with C = 1 there is one term, and they change nothing.

    Returns:
        Scalar in [0, 1].

    Examples:
        >>> mask = torch.tensor([[[1, 0, 255]]])
        >>> round(float(dice(torch.zeros(1, 1, 1, 3), mask)), 3)  # 1 - 2 x 0.5 / (0.5 + 0.5 + 1)
        0.5
    """
    return _mean_over_classes(lambda soft, true: 1 - _overlap(soft, true), logits, mask, class_weights)


def tversky(logits: Tensor, mask: Tensor, class_weights: Sequence[float] | None = None) -> Tensor:
    """Tversky loss, 1 - TP / (TP + 0.3 FP + 0.7 FN), pooled over the known pixels (Salehi et al. 2017).

    A missed pixel of a class weighs 0.7 and a false alarm 0.3; with 0.5 each it would be `dice`, and the classes count
    as there.

    What a frame without forged pixels contributes: beside forged ones in its batch, its false alarms enlarge the
    denominator. In a batch without any forged pixel the loss is that of the real class, whose misses they are:
    0.7 m / (1 - 0.3 m) with `m` the mean forged probability. (segmentation_models_pytorch's is 0 there.)

    Args:
        logits: (B, C, H, W).
        mask: (B, H, W).
        class_weights: Weights of the classes' terms; with C = 1 there is one term, and they change nothing.

    Returns:
        Scalar in [0, 1].

    Examples:
        >>> mask = torch.tensor([[[1, 0, 255]]])
        >>> round(float(tversky(torch.zeros(1, 1, 1, 3), mask)), 3)  # 1 - 0.5 / (0.5 + 0.3 x 0.5 + 0.7 x 0.5)
        0.5
    """
    return _mean_over_classes(lambda soft, true: 1 - _tversky_index(soft, true), logits, mask, class_weights)


def lovasz(logits: Tensor, mask: Tensor, class_weights: Sequence[float] | None = None) -> Tensor:
    """Lovász extension of the Jaccard loss, pooled over the known pixels of the batch (Berman et al. 2018).

    With C = 1 it is the paper's Lovász hinge of the forged class, whose errors are max(0, 1 - logit) on forged and
    max(0, 1 + logit) on real pixels; else Lovász-Softmax, whose errors are 1 - probability of the true class, averaged
    over the classes present in the batch.

    What a frame without forged pixels contributes: beside forged ones in its batch, its false alarms enlarge the union;
    with C = 1 those whose error is below that of every forged pixel add nothing yet. In a batch without any forged
    pixel the loss is that of the real class, which is the mean error. (segmentation_models_pytorch's
    LovaszLoss("binary") is the error of the single worst pixel there.)

    Args:
        logits: (B, C, H, W).
        mask: (B, H, W).
        class_weights: Weights of the classes' terms; with C = 1 there is one term, and they change nothing.

    Returns:
        Scalar, at least 0; at most 1 if C > 1.

    Examples:
        >>> mask = torch.tensor([[[1, 0]]])
        >>> float(lovasz(torch.tensor([[[[2.0, -2.0]]]]), mask))  # both right by more than 1
        0.0
    """
    if logits.shape[1] > 1:
        return _mean_over_classes(lambda soft, true: _lovasz((true - soft).abs(), true), logits, mask, class_weights)
    logits, classes, known, _ = _pixels(logits, mask, class_weights)
    forged = classes.float()
    hinge = (1 - (2 * forged - 1) * logits.squeeze(1)).relu() * known
    return _lovasz(hinge, torch.where(forged.any(), forged, known))


def frame_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Binary cross-entropy, mean over frames.

    Args:
        logits: (B,).
        label: int64 (B,), 0 real, 1 fake.

    Examples:
        >>> round(float(frame_loss(torch.zeros(2), torch.tensor([0, 1]))), 3)
        0.693
    """
    return F.binary_cross_entropy_with_logits(logits.float(), label.float())


def _pixels(
    logits: Tensor, mask: Tensor, class_weights: Sequence[float] | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits and classes (int64), 0 where unknown; where known; weights of the classes. Float32 but for one."""
    count = max(logits.shape[1], 2)
    if class_weights is not None and len(class_weights) != count:
        raise ModelValueError(
            f"class_weights are {list(class_weights)}, {len(class_weights)} for {count} classes: wanted "
            + (
                "that of real and that of forged"
                if logits.shape[1] == 1
                else f"that of real and {count - 1} of methods"
            )
        )
    known = mask != UNKNOWN
    logits = torch.where(known[:, None], logits.float(), 0.0)  # where, so that not even NaN passes
    classes = torch.where(known, mask, 0)
    if logits.shape[1] == 1:
        classes = (classes > 0).long()
    weights = logits.new_ones(count) if class_weights is None else logits.new_tensor(class_weights)
    return logits, classes, known.float(), weights


def _cross_entropy(
    logits: Tensor, mask: Tensor, label_smoothing: float, class_weights: Sequence[float] | None
) -> tuple[Tensor, Tensor]:
    """Cross-entropies of pixels and their weights, 0 where unknown: (B, H, W)."""
    logits, classes, known, weights = _pixels(logits, mask, class_weights)
    if logits.shape[1] == 1:
        target = classes * (1 - label_smoothing) + label_smoothing / 2
        entropy = F.binary_cross_entropy_with_logits(logits.squeeze(1), target, reduction="none")
    else:
        entropy = F.cross_entropy(logits, classes, reduction="none", label_smoothing=label_smoothing)
    return entropy, weights[classes] * known


def _mean_over_classes(
    term: Callable[[Tensor, Tensor], Tensor], logits: Tensor, mask: Tensor, class_weights: Sequence[float] | None
) -> Tensor:
    """Weighted mean over classes present of a loss of two sets (B, H, W), the predicted and the true one.

    With C = 1 the loss of the forged class, or of the real one if no pixel is forged.
    """
    logits, classes, known, weights = _pixels(logits, mask, class_weights)
    if logits.shape[1] == 1:
        soft, forged = logits.squeeze(1).sigmoid() * known, classes.float()
        some = forged.any()
        return term(torch.where(some, soft, known - soft), torch.where(some, forged, known))
    soft = logits.softmax(1) * known[:, None]
    true = torch.zeros_like(soft).scatter_(1, classes[:, None], known[:, None])
    terms = torch.stack([term(*sets) for sets in zip(soft.unbind(1), true.unbind(1), strict=True)])
    return _weighted_mean(terms, weights * true.any(3).any(2).any(0))


def _weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean, 0 if all weights are."""
    total = weights.sum()
    return (values * weights).sum() / torch.where(total > 0, total, 1.0)


def _overlap(a: Tensor, b: Tensor) -> Tensor:
    """Dice coefficient of two soft sets, 1 if both are empty."""
    return (2 * (a * b).sum() + EPSILON) / (a.sum() + b.sum() + EPSILON)


def _tversky_index(soft: Tensor, true: Tensor) -> Tensor:
    """Tversky index of a predicted and a true set, 1 if both are empty."""
    both = (soft * true).sum()
    false_alarms, misses = soft.sum() - both, true.sum() - both
    return (both + EPSILON) / (both + TVERSKY_ALPHA * false_alarms + TVERSKY_BETA * misses + EPSILON)


def _lovasz(errors: Tensor, true: Tensor) -> Tensor:
    """Lovász extension of a class's Jaccard loss, as Alg. 1 of Berman et al. 2018; a pixel of error 0 takes no part.

    The algorithm subtracts the Jaccard losses of the k - 1 and the k worst pixels. Solved by hand that is 1 / union if
    the k-th is in the class, else intersection / (union (union - 1)): in float32 the difference itself is off by
    percents among a million pixels.

    Args:
        errors: (B, H, W), at least 0.
        true: The class's pixels, (B, H, W).
    """
    errors, order = errors.flatten().sort(descending=True)
    hit = true.flatten()[order] > 0
    hits = hit.cumsum(0)
    intersection = hits[-1] - hits  # of what is left of the class once the k worst pixels are wrong
    union = hits[-1] + torch.arange(1, len(hits) + 1, device=hits.device) - hits
    weights = torch.where(hit, 1 / union, intersection / union / (union - 1).clamp(min=1))
    return (errors * weights).sum()
