"""Tells fake frames from real ones by one logit a frame: the classifier that segmentation is compared with."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from .base import BY_FRAME_HEAD, ForensicsModule, Speed
from .batch import Batch
from .losses import frame_loss
from .networks.network import Network
from .optimisation import OptimizerName, Recipe, ScheduleName
from .start import Start


class ClassificationModule(ForensicsModule):
    """Classifies face crops as real or fake.

    Args:
        encoder: Name of a timm model; the mean of its last feature map feeds one linear layer.
        output_stride: Stride of that map: 8, 16 or 32.
        frame_threshold: Score above which a frame or a video is called fake; by default chosen in validation and kept
            in checkpoints.
        pretrained: Whether a training starts from timm's ImageNet weights.
        encoder_checkpoint: File that the encoder starts from instead: another run's checkpoint, or timm weights.
        frozen_epochs: Epochs during which the encoder is not trained, or "all".
        frozen_batch_norm: Whether the encoder's batch-norm statistics are left as they are.
        optimizer: Optimiser.
        lr: Learning rate after the warm-up.
        encoder_lr_factor: What it is multiplied by for the encoder, but for the pyramid over a flat transformer.
        weight_decay: Weight decay of the optimiser.
        schedule: How the learning rate goes on after the warm-up, see `Recipe`.
        warmup_steps: Optimiser steps over which the learning rate rises from 0.
        compile: Whether `torch.compile` builds the network.
        channels_last: Whether images and weights lie channels last in memory.
        gradient_checkpointing: Whether the encoder's activations are computed again instead of kept.

    Examples:
        >>> import torch
        >>> model = ClassificationModule(encoder="test_resnet", pretrained=False)
        >>> model(torch.rand(2, 3, 64, 64))["frame"].shape
        torch.Size([2])
    """

    def __init__(
        self,
        encoder: str = "resnet50",
        output_stride: Literal[8, 16, 32] = 32,
        frame_threshold: float | None = None,
        pretrained: bool = True,
        encoder_checkpoint: str | None = None,
        frozen_epochs: int | Literal["all"] = 0,
        frozen_batch_norm: bool = False,
        optimizer: OptimizerName = "adamw",
        lr: float = 3e-4,
        encoder_lr_factor: float = 1.0,
        weight_decay: float = 0.01,
        schedule: ScheduleName = "cosine",
        warmup_steps: int = 0,
        compile: bool = False,
        channels_last: bool = False,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__(
            Network(encoder, frame_head=True, output_stride=output_stride),
            pixels=False,
            decisions=(BY_FRAME_HEAD,),
            thresholds=(None, frame_threshold),
            headline="frame_auroc",
            start=Start(pretrained, encoder_checkpoint, frozen_epochs, frozen_batch_norm),
            recipe=Recipe(optimizer, lr, weight_decay, schedule, warmup_steps, encoder_lr_factor),
            speed=Speed(compile, channels_last, gradient_checkpointing),
        )
        self.save_hyperparameters()

    def losses(self, logits: dict[str, Tensor], batch: Batch) -> Tensor:
        """Binary cross-entropy on the label."""
        return frame_loss(logits["frame"], batch["label"])

    def mask_logit(self, logits: dict[str, Tensor]) -> None:
        """There is no decoder."""

    def frame_logit(self, logits: dict[str, Tensor], mask_logit: Tensor | None, decision: str) -> Tensor:
        """Log-odds that each frame is fake, float64 (B,)."""
        return logits["frame"].double()
