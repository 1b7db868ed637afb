"""Pixel, frame and video metrics of one evaluation: the keys by which every result is known."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .batch import METHODS, Batch
from .frame_metrics import FrameMetrics
from .pixel_metrics import PixelMetrics


class Evaluation(nn.Module):
    """Everything measured in one pass over a split, by a model or by a trivial baseline.

    A batch without `method` counts as one nameless method, one without `clip` yields no video figures; what each key
    pools is written in `PixelMetrics` and `FrameMetrics`.

    Args:
        pixels: Whether masks are judged; if not, pixel keys are absent.
        pixel_threshold: Probability above which a pixel is called forged.
        frame_threshold: Score above which a frame or a video is called fake.
        methods: Names of the values of `method`, the original first.
    """

    def __init__(
        self,
        pixels: bool = True,
        pixel_threshold: float = 0.5,
        frame_threshold: float = 0.5,
        methods: Sequence[str] = METHODS,
    ) -> None:
        super().__init__()
        self.pixel = PixelMetrics(pixel_threshold, methods) if pixels else None
        self.frame = FrameMetrics(frame_threshold, methods)

    def update(self, batch: Batch, mask_probability: Tensor | None, frame_score: Tensor) -> None:
        """Adds a batch.

        Args:
            batch: `label`, and `mask` where pixels are judged; `method` and `clip` if known.
            mask_probability: Forged probability of each pixel, (B, H, W), in [0, 1]; read only where pixels are judged.
            frame_score: Fake probability of each frame, (B,), in [0, 1].
        """
        label = batch["label"]
        method = batch.get("method", torch.zeros_like(label))
        if self.pixel is not None and mask_probability is not None:
            self.pixel.update(mask_probability, batch["mask"], label, method)
        self.frame.update(frame_score, label, method, batch.get("clip"))

    def compute(self) -> dict[str, Tensor]:
        """Figures by key, float32 scalars, over the frames of all processes."""
        return (self.pixel.compute() if self.pixel is not None else {}) | self.frame.compute()

    def reset(self) -> None:
        """Forgets all batches."""
        if self.pixel is not None:
            self.pixel.reset()
        self.frame.reset()
