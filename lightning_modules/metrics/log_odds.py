"""Log-odds, log(p / (1 - p)): the scale of a network's logits, on which no two probabilities near 0 or 1 become one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .operating_point import LARGEST


def log_odds(probability: Tensor | float) -> Tensor:
    """Log-odds of probabilities in [0, 1], float64 of the same shape; those of 0 and 1 are -LARGEST and LARGEST."""
    return make_finite(torch.as_tensor(probability, dtype=torch.float64).logit())


def make_finite(logits: Tensor) -> Tensor:
    """Log-odds with LARGEST for infinity."""
    return logits.clamp(-LARGEST, LARGEST)


def mean_log_odds(logits: Tensor, dim: int) -> Tensor:
    """Log-odds of a mean of probabilities, float64: of sum p over sum (1 - p), neither of which is rounded.

    Args:
        logits: Log-odds of the probabilities.
        dim: Over which the mean is taken.
    """
    wide = logits.double()
    return make_finite(logsigmoid(wide).logsumexp(dim) - logsigmoid(-wide).logsumexp(dim))


def grouped_mean_log_odds(logits: Tensor, group: Tensor, count: int) -> Tensor:
    """Log-odds of the mean of each group's probabilities, float64 (count,).

    Args:
        logits: (N,), log-odds of the probabilities.
        group: int64 (N,), from 0 to count - 1; each of them occurs.
        count: How many groups there are.
    """
    return make_finite(_grouped_sum(logits, group, count) - _grouped_sum(-logits, group, count))


def _grouped_sum(logits: Tensor, group: Tensor, count: int) -> Tensor:
    """Logarithm of the sum of each group's probabilities."""
    single = logsigmoid(logits.double())
    highest = single.new_full((count,), -torch.inf).scatter_reduce(0, group, single, "amax")
    total = single.new_zeros(count).index_add(0, group, (single - highest[group]).exp())
    return highest + total.log()
