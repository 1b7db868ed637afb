"""A loss on pixels spelled as a sum, such as "2*bce+0.5*lovasz"."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from .errors import ModelValueError
from .losses import bce, dice, focal, lovasz, tversky

PIXELWISE = {"bce": bce, "focal": focal}
OVERLAPS = {"dice": dice, "tversky": tversky, "lovasz": lovasz}
EXAMPLE = "2*bce+0.5*lovasz"


@dataclass(frozen=True)
class PixelLoss:
    """A weighted sum of losses on pixels; what each does on frames without forged pixels, its function says.

    Args:
        text: Names out of bce, focal, dice, tversky and lovasz, with weights where they are not 1: "bce+dice",
            "2*bce+0.5*lovasz".
        label_smoothing: In [0, 1), of bce and focal: a pixel's target, 1 for its class and 0 for the others, becomes
            (1 - s) target + s / classes. The others compare sets of pixels, and are not smoothed.
        class_weights: Positive, (real, forged) if the network gives one logit, else (real, method 1, ..., method M).
            In bce and focal they weigh the pixels, in the others the classes' terms; with one logit these have but the
            term of the forged class, and no weight changes them.

    Examples:
        >>> mask = torch.tensor([[[1, 0, 255]]])
        >>> round(float(PixelLoss("2*bce+dice")(torch.zeros(1, 1, 1, 3), mask)), 3)
        1.886
    """

    text: str = "bce+dice"
    label_smoothing: float = 0.0
    class_weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        names = {name for _, name in _terms(self.text)}
        if not 0 <= self.label_smoothing < 1:
            raise ModelValueError(
                f"label_smoothing is {self.label_smoothing}, wanted a number from 0 to below 1: 0.1 is usual"
            )
        if self.label_smoothing > 0 and not names & PIXELWISE.keys():
            raise ModelValueError(
                f"label_smoothing is {self.label_smoothing}, but of the losses it applies to, {list(PIXELWISE)}, "
                f"{self.text!r} has none: set it to 0, or try 'bce+{self.text}'"
            )
        if self.class_weights is not None and not all(0 < weight < math.inf for weight in self.class_weights):
            raise ModelValueError(
                f"class_weights are {list(self.class_weights)}, wanted positive numbers: for a class that hardly "
                "counts give a small one"
            )

    def __call__(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Computes the loss in float32.

        Args:
            logits: (B, C, H, W) of any float dtype; C = 1: of being forged, else of real and each method.
            mask: int64 (B, H, W), 0 real, 1 to C - 1 forged by that method, 255 unknown; with C = 1 any from 1 to 254
                is forged.

        Returns:
            Scalar; 0, with gradient 0, if no pixel is known.
        """
        terms = _terms(self.text)
        if self.class_weights is not None and logits.shape[1] == 1 and all(name in OVERLAPS for _, name in terms):
            raise ModelValueError(
                f"class_weights are {list(self.class_weights)}, but with one logit {self.text!r} has only the forged "
                f"class's term: leave them out, or try 'bce+{self.text}'"
            )
        total = logits.new_zeros((), dtype=torch.float32)
        for weight, name in terms:
            if name in PIXELWISE:
                loss = PIXELWISE[name](logits, mask, self.label_smoothing, self.class_weights)
            else:
                loss = OVERLAPS[name](logits, mask, self.class_weights)
            total = total + weight * loss
        return total


@cache
def _terms(text: str) -> tuple[tuple[float, str], ...]:
    """Weights and names of the terms of a sum."""
    terms = []
    for term in text.split("+"):
        factor, star, name = (part.strip() for part in term.rpartition("*"))
        if name not in PIXELWISE | OVERLAPS:
            nearest = difflib.get_close_matches(term.lower(), PIXELWISE | OVERLAPS, n=1, cutoff=0.3) or ["bce+dice"]
            raise ModelValueError(
                f"loss is {text!r}, whose term {term.strip()!r} ends on no known name; wanted a sum such as "
                f"{EXAMPLE!r} of {[*PIXELWISE, *OVERLAPS]}; did you mean {nearest[0]!r}?"
            )
        weight = _number(factor) if star else 1.0
        if not 0 < weight < math.inf:
            raise ModelValueError(
                f"loss is {text!r}, whose weight {factor!r} is not a positive number; wanted a sum such as "
                f"{EXAMPLE!r}; did you mean {name!r}?"
            )
        terms.append((weight, name))
    return tuple(terms)


def _number(text: str) -> float:
    """The number, NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
