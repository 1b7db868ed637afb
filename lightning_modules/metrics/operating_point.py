"""Thresholds and decision rule: chosen on the validation split, kept in the checkpoint, applied to the test split.

Without torch, for reports read it from files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

LARGEST = (2 - 2**-23) * 2.0**127
"""Log-odds of 1, and with a minus of 0: the largest float32, so that means and files can hold them."""

PARTS = ("pixel", "frame", "video")


@dataclass(frozen=True)
class OperatingPoint:
    """What turns scores into verdicts, in log-odds: near 0 and 1 many scores are one probability.

    Attributes:
        pixel_logit: Log-odds from which on a pixel is called forged.
        frame_logit: Log-odds of the score above which a frame is called fake.
        video_logit: Log-odds of the score above which a video is called fake.
        decision: The rule that scores frames.

    Examples:
        >>> point = OperatingPoint(pixel_logit=0.0, decision="mean")
        >>> point.pixel_threshold
        0.5
        >>> OperatingPoint.read(point.as_dict()) == point
        True
    """

    pixel_logit: float = 0.0
    frame_logit: float = 0.0
    video_logit: float = 0.0
    decision: str = ""

    @property
    def pixel_threshold(self) -> float:
        """Probability from which on a pixel is called forged."""
        return _probability(self.pixel_logit)

    @property
    def frame_threshold(self) -> float:
        """Score, a probability, above which a frame is called fake."""
        return _probability(self.frame_logit)

    @property
    def video_threshold(self) -> float:
        """Score, a probability, above which a video is called fake."""
        return _probability(self.video_logit)

    def as_dict(self) -> dict[str, float | str]:
        """All of it by name, thresholds as probabilities too, for files that people read."""
        thresholds = {f"{part}_threshold": getattr(self, f"{part}_threshold") for part in PARTS}
        return {**asdict(self), **thresholds}

    @classmethod
    def read(cls, known: Mapping[str, Any]) -> OperatingPoint:
        """The point that `as_dict` gave; of files written before there were log-odds, that of their probabilities."""
        logits = {
            f"{part}_logit": known[f"{part}_logit"]
            if f"{part}_logit" in known
            else _log_odds(known[f"{part}_threshold"])
            for part in PARTS
        }
        return cls(**logits, decision=known["decision"])


def _probability(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit > 0 else math.exp(logit) / (1 + math.exp(logit))


def _log_odds(probability: float) -> float:
    if probability in (0, 1):
        return math.copysign(LARGEST, probability - 0.5)
    return math.log(probability) - math.log1p(-probability)
