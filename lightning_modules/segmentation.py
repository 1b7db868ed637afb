"""Finds forged pixels in a face crop and, from them or beside them, fake frames."""

from __future__ import annotations

from torch import Tensor

from .base import ForensicsModule
from .batch import Batch
from .decisions import Decision, frame_scores
from .decoders import DecoderName
from .losses import PixelLoss, frame_loss, pixel_loss
from .metrics import Evaluation
from .networks import Network
from .optimisation import OptimizerName, Recipe, ScheduleName


class SegmentationModule(ForensicsModule):
    """Segments forged pixels; with a frame head, classifies frames as well (the joint model).

    Args:
        encoder: Name of a timm model; its feature maps feed the decoder.
        decoder: Family of the decoder.
        pretrained: Whether a training from scratch starts from timm's ImageNet weights.
        frame_head: Whether frames get a logit of their own, trained on the label; their score then comes from it and
            not from the mask.
        loss: Loss on pixels.
        frame_loss_weight: Weight of the frame head's loss beside that of the pixels.
        decision: How a frame's score follows from its mask, where there is no frame head.
        pixel_threshold: Probability above which a pixel is called forged.
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
        decoder: DecoderName = "unet",
        pretrained: bool = True,
        frame_head: bool = False,
        loss: PixelLoss = "bce+dice",
        frame_loss_weight: float = 1.0,
        decision: Decision = "mean",
        pixel_threshold: float = 0.5,
        frame_threshold: float = 0.5,
        optimizer: OptimizerName = "adamw",
        lr: float = 3e-4,
        weight_decay: float = 0.01,
        schedule: ScheduleName = "cosine",
        warmup_steps: int = 0,
    ) -> None:
        super().__init__(
            Network(encoder, decoder, frame_head),
            pretrained,
            Evaluation(True, pixel_threshold, frame_threshold),
            headline="pixel_iou_balanced",
            recipe=Recipe(optimizer, lr, weight_decay, schedule, warmup_steps),
        )
        self.save_hyperparameters()
        self.loss = loss
        self.frame_loss_weight = frame_loss_weight
        self.decision = decision
        self.pixel_threshold = pixel_threshold

    def losses(self, logits: dict[str, Tensor], batch: Batch) -> Tensor:
        """Pixel loss, plus the frame head's if there is one."""
        total = pixel_loss(self.loss, logits["mask"], batch["mask"])
        if "frame" in logits:
            total = total + self.frame_loss_weight * frame_loss(logits["frame"], batch["label"])
        return total

    def predictions(self, logits: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Probabilities of pixels (B, H, W) and of frames (B,)."""
        mask_probability = logits["mask"].squeeze(1).float().sigmoid()
        if "frame" in logits:
            return mask_probability, logits["frame"].float().sigmoid()
        return mask_probability, frame_scores(mask_probability, self.decision, self.pixel_threshold)
