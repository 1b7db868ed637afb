"""Tells fake frames from real ones by one logit a frame: the classifier that segmentation is compared with."""

from __future__ import annotations

from torch import Tensor

from .base import ForensicsModule
from .batch import Batch
from .losses import frame_loss
from .metrics import Evaluation
from .networks import Network
from .optimisation import OptimizerName, Recipe, ScheduleName


class ClassificationModule(ForensicsModule):
    """Classifies face crops as real or fake.

    Args:
        encoder: Name of a timm model; the mean of its last feature map feeds one linear layer.
        pretrained: Whether a training from scratch starts from timm's ImageNet weights.
        frame_threshold: Score above which a frame or a video is called fake.
        optimizer: Optimiser.
        lr: Learning rate after the warm-up.
        weight_decay: Weight decay of the optimiser.
        schedule: How the learning rate goes on after the warm-up, see `Recipe`.
        warmup_steps: Optimiser steps over which the learning rate rises from 0.
    """

    def __init__(
        self,
        encoder: str = "resnet50",
        pretrained: bool = True,
        frame_threshold: float = 0.5,
        optimizer: OptimizerName = "adamw",
        lr: float = 3e-4,
        weight_decay: float = 0.01,
        schedule: ScheduleName = "cosine",
        warmup_steps: int = 0,
    ) -> None:
        super().__init__(
            Network(encoder, frame_head=True),
            pretrained,
            Evaluation(pixels=False, frame_threshold=frame_threshold),
            headline="frame_auroc",
            recipe=Recipe(optimizer, lr, weight_decay, schedule, warmup_steps),
        )
        self.save_hyperparameters()

    def losses(self, logits: dict[str, Tensor], batch: Batch) -> Tensor:
        """Binary cross-entropy on the label."""
        return frame_loss(logits["frame"], batch["label"])

    def predictions(self, logits: dict[str, Tensor]) -> tuple[None, Tensor]:
        """Probabilities of frames (B,)."""
        return None, logits["frame"].float().sigmoid()
