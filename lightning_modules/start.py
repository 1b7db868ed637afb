"""What a training starts from, and which parts of the encoder it leaves alone."""

from __future__ import annotations

from typing import Literal, NamedTuple

from torch import nn

from .errors import ModelValueError
from .networks.encoders import Encoder


class Start(NamedTuple):
    """What a training starts from, and which parts of the encoder it leaves alone.

    Attributes:
        pretrained: Whether the backbone starts from timm's ImageNet weights; if not, and without a checkpoint, from
            random ones.
        encoder_checkpoint: File that the encoder starts from instead: another run's checkpoint, or timm weights.
        frozen_epochs: Epochs during which the backbone is not trained, or "all". Until then its batch-norm statistics
            and dropout rest too.
        frozen_batch_norm: Whether the backbone's batch-norm statistics rest throughout, as suits small batches.
    """

    pretrained: bool = True
    encoder_checkpoint: str | None = None
    frozen_epochs: int | Literal["all"] = 0
    frozen_batch_norm: bool = False

    @property
    def rests(self) -> bool:
        """Whether anything is ever left alone."""
        return bool(self.frozen_epochs) or self.frozen_batch_norm

    def is_frozen(self, epoch: int) -> bool:
        """Whether the backbone is not trained in an epoch, counted from 0."""
        return self.frozen_epochs == "all" or epoch < self.frozen_epochs


def check_start(start: Start) -> None:
    """Refuses a number of epochs below 0."""
    if start.frozen_epochs != "all" and start.frozen_epochs < 0:
        raise ModelValueError(f"frozen_epochs is {start.frozen_epochs}, wanted 0 or more, or 'all'")


def set_modes(encoder: Encoder, start: Start, epoch: int) -> None:
    """Puts those parts of the backbone that rest in an epoch into evaluation mode, and the others into training."""
    encoder.backbone.train(not start.is_frozen(epoch))
    if start.frozen_batch_norm:
        for module in encoder.backbone.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def drop_gradients(encoder: Encoder) -> None:
    """Keeps an optimiser's step from the backbone: without a gradient a parameter is neither moved nor decayed.

    It stays among those that ask for gradients, because distributed training lists them once, before the first step.
    """
    for parameter in encoder.backbone.parameters():
        parameter.grad = None
