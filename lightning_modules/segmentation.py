"""Finds forged pixels in a face crop and, from them or beside them, fake frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor

from .base import BY_FRAME_HEAD, ForensicsModule, Speed
from .batch import METHODS, UNKNOWN, Batch
from .errors import ModelValueError
from .losses import frame_loss
from .metrics.decisions import DECISIONS, Decision, frame_scores
from .networks.decoders import DecoderName
from .networks.network import Network
from .optimisation import OptimizerName, Recipe, ScheduleName
from .pixel_loss import PixelLoss
from .start import Start


class SegmentationModule(ForensicsModule):
    """Segments forged pixels; with a frame head, classifies frames as well (the joint model).

    Args:
        encoder: Name of a timm model; its feature maps feed the decoder.
        decoder: Family of the decoder.
        output_stride: Stride of the encoder's last map: 8, 16 or 32; by default what the decoder's paper wants.
        pixel_classes: What a pixel is told to be: forged ("binary"), or forged by which method ("methods"); metrics
            are those of forged or not in both.
        frame_head: Whether frames get a logit of their own, trained on the label; their score then comes from it and
            not from the mask.
        loss: Loss on pixels: bce, dice, focal, lovasz, tversky, or a sum with weights, see `PixelLoss`.
        label_smoothing: Of the pixels' classes in bce and focal, see `PixelLoss`.
        class_weights: Of the pixels' classes, the real one first, see `PixelLoss`.
        pixel_loss_weight: Weight of the pixels' loss beside that of the frame head.
        frame_loss_weight: Weight of the frame head's loss beside that of the pixels.
        decision: How a frame's score follows from its mask, where there is no frame head; "val" is the rule with the
            highest frame AUROC in validation, and is kept in checkpoints.
        pixel_threshold: Probability above which a pixel is called forged; by default chosen in validation, likewise.
        frame_threshold: Score above which a frame or a video is called fake; likewise.
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
        >>> model = SegmentationModule(encoder="test_resnet", decoder="fpn", frame_head=True, pretrained=False)
        >>> {name: tuple(logits.shape) for name, logits in model(torch.rand(2, 3, 64, 96)).items()}
        {'mask': (2, 1, 64, 96), 'frame': (2,)}
    """

    def __init__(
        self,
        encoder: str = "resnet50",
        decoder: DecoderName = "unet",
        output_stride: Literal[8, 16, 32] | None = None,
        pixel_classes: Literal["binary", "methods"] = "binary",
        frame_head: bool = False,
        loss: str = "bce+dice",
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        pixel_loss_weight: float = 1.0,
        frame_loss_weight: float = 1.0,
        decision: Decision | Literal["val"] = "val",
        pixel_threshold: float | None = None,
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
        classes = 1 if pixel_classes == "binary" else len(METHODS)
        for name, weight in (("pixel_loss_weight", pixel_loss_weight), ("frame_loss_weight", frame_loss_weight)):
            if not 0 <= weight < math.inf:
                raise ModelValueError(f"{name} is {weight}, wanted 0 or a positive number")
        super().__init__(
            Network(encoder, decoder, frame_head, classes, output_stride),
            pixels=True,
            decisions=(BY_FRAME_HEAD,) if frame_head else DECISIONS if decision == "val" else (decision,),
            thresholds=(pixel_threshold, frame_threshold),
            headline="pixel_iou_balanced",
            start=Start(pretrained, encoder_checkpoint, frozen_epochs, frozen_batch_norm),
            recipe=Recipe(optimizer, lr, weight_decay, schedule, warmup_steps, encoder_lr_factor),
            speed=Speed(compile, channels_last, gradient_checkpointing),
        )
        self.save_hyperparameters()
        self.pixel_classes = pixel_classes
        self.pixel_loss = PixelLoss(loss, label_smoothing, class_weights)
        self.pixel_loss(torch.zeros(1, classes, 1, 1), torch.zeros(1, 1, 1, dtype=torch.int64))  # refuses what misfits
        self.pixel_loss_weight = pixel_loss_weight
        self.frame_loss_weight = frame_loss_weight

    def losses(self, logits: dict[str, Tensor], batch: Batch) -> Tensor:
        """Pixel loss, plus the frame head's if there is one."""
        mask = _mask_of_methods(batch) if self.pixel_classes == "methods" else batch["mask"]
        total = self.pixel_loss_weight * self.pixel_loss(logits["mask"], mask)
        if "frame" in logits:
            total = total + self.frame_loss_weight * frame_loss(logits["frame"], batch["label"])
        return total

    def mask_logit(self, logits: dict[str, Tensor]) -> Tensor:
        """Log-odds that each pixel is forged, by whichever method, float32 (B, H, W)."""
        mask = logits["mask"].float()
        if self.pixel_classes == "methods":
            return mask[:, 1:].logsumexp(1) - mask[:, 0]
        return mask.squeeze(1)

    def frame_logit(self, logits: dict[str, Tensor], mask_logit: Tensor | None, decision: str) -> Tensor:
        """Log-odds that each frame is fake, float64 (B,): the frame head's, or by a rule on the mask."""
        if "frame" in logits:
            return logits["frame"].double()
        return frame_scores(cast("Tensor", mask_logit), cast("Decision", decision))


def _mask_of_methods(batch: Batch) -> Tensor:
    """The mask (B, H, W) with the method's number for 1; pixels forged in a way that is not known are unknown."""
    if "method" not in batch:
        raise ModelValueError("pixel_classes is 'methods', but the batch has no `method`: add it, or use 'binary'")
    mask, method = batch["mask"], batch["method"]
    named = torch.where(method > 0, method, UNKNOWN)
    return torch.where((mask > 0) & (mask != UNKNOWN), named[:, None, None], mask)
