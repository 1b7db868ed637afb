"""Encoder, pixel decoder and frame head put together: images in, logits out."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import get_args

from segmentation_models_pytorch.base import ClassificationHead
from segmentation_models_pytorch.base.initialization import initialize_head
from torch import Tensor, nn

from ..errors import ModelValueError
from .decoders import DECODERS, PREFERRED_STRIDE, DecoderName
from .encoders import Encoder


class FrameHead(nn.Module):
    """One logit a frame from the mean of the encoder's last map.

    Args:
        channels: Channels of the encoder's maps, finest first.
        dropout: Fraction of the pooled features dropped in training.

    Attributes:
        used: Positions of the maps that are read.
    """

    def __init__(self, channels: Sequence[int], dropout: float = 0.2) -> None:
        super().__init__()
        self.used = [len(channels) - 1]
        self.head = ClassificationHead(channels[-1], classes=1, dropout=dropout)
        initialize_head(self.head)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Computes logits (B,) from the encoder's maps."""
        logits: Tensor = self.head(maps[-1])
        return logits.squeeze(1)


class Network(nn.Module):
    """An encoder with a head for pixels, a head for frames, or both.

    Every parameter that is trained takes part in every output asked for, as distributed training requires.

    Args:
        encoder: Name of a timm model.
        decoder: Family of the pixel decoder; none for a classifier.
        frame_head: Whether frames get a logit of their own.
        classes: Values a pixel gets: 1, the logit of being forged, or the logits of real and of each method.
        output_stride: Stride of the encoder's last map; by default what the decoder's paper wants.

    Examples:
        >>> import torch
        >>> network = Network("test_resnet", "unet", classes=5)
        >>> network(torch.zeros(1, 3, 64, 64))["mask"].shape
        torch.Size([1, 5, 64, 64])
    """

    def __init__(
        self,
        encoder: str,
        decoder: DecoderName | None = None,
        frame_head: bool = False,
        classes: int = 1,
        output_stride: int | None = None,
    ) -> None:
        super().__init__()
        if decoder is None and not frame_head:
            raise ModelValueError(
                "the network has neither decoder nor frame head: name a decoder, or set `frame_head: true`"
            )
        if decoder is not None and decoder not in DECODERS:
            nearest = difflib.get_close_matches(decoder, DECODERS, n=1, cutoff=0.0)[0]
            raise ModelValueError(
                f"decoder is {decoder!r}, wanted one of {list(get_args(DecoderName))}; did you mean {nearest!r}?"
            )
        self.encoder = Encoder(encoder, output_stride or (PREFERRED_STRIDE.get(decoder, 32) if decoder else 32))
        channels, strides = self.encoder.channels, self.encoder.strides
        self.decoder = DECODERS[decoder](channels, strides, classes) if decoder else None
        self.frame_head = FrameHead(channels) if frame_head else None
        self.encoder.freeze_unreached({i for head in (self.decoder, self.frame_head) if head for i in head.used})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Computes logits.

        Args:
            images: (B, 3, H, W), normalised for the encoder, of any size.

        Returns:
            `mask` (B, classes, H, W) if there is a decoder, `frame` (B,) if there is a frame head.
        """
        maps = self.encoder(images)
        logits = {}
        if self.decoder is not None:
            logits["mask"] = self.decoder(maps, *images.shape[-2:])
        if self.frame_head is not None:
            logits["frame"] = self.frame_head(maps)
        return logits
