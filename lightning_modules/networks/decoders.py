"""Pixel decoders over any encoder: FCN here, the others through segmentation_models_pytorch's classes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3Decoder, DeepLabV3PlusDecoder
from segmentation_models_pytorch.decoders.fpn.decoder import FPNBlock, FPNDecoder, SegmentationBlock
from segmentation_models_pytorch.decoders.segformer.decoder import SegformerDecoder
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from segmentation_models_pytorch.decoders.unetplusplus.decoder import UnetPlusPlusDecoder
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ModelValueError
from .borders import repeat_borders

DecoderName = Literal["fcn", "unet", "unetplusplus", "fpn", "deeplabv3", "deeplabv3plus", "segformer"]

ATROUS_RATES = (12, 24, 36)  # of DeepLab's pyramid: segmentation_models_pytorch's, the paper's at output stride 8


class FCN(nn.Module):
    """FCN-8s: class scores of the maps of stride 8, 16 and 32, each added to the next finer one (Long et al. 2015).

    Scores are upsampled bilinearly, the paper's starting point for its learned upsampling.

    Args:
        channels: Channels of the encoder's maps, finest first.
        strides: Their strides; repeated where the encoder is dilated, as for all decoders here.
        classes: Number of values a pixel gets.

    Attributes:
        used: Positions of the maps that are read.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], classes: int) -> None:
        super().__init__()
        self.used = [i for i, stride in enumerate(strides) if stride >= 8]
        self.strides = [strides[i] for i in self.used]
        self.scores = nn.ModuleList(nn.Conv2d(channels[i], classes, kernel_size=1) for i in self.used)
        initialize_head(self.scores)

    def forward(self, maps: Sequence[Tensor], height: int, width: int) -> Tensor:
        """Computes logits (B, classes, height, width) from the encoder's maps of an image of that size."""
        pyramid = _extend([maps[i] for i in self.used], self.strides)
        scores = [score(map_) for score, map_ in zip(self.scores, pyramid, strict=True)]
        total = scores.pop()  # coarsest first
        while scores:
            finer = scores.pop()
            total = finer + _resize(total, finer.shape[-2], finer.shape[-1])
        rows, columns = (size * self.strides[-1] for size in pyramid[-1].shape[-2:])
        return _resize(total, rows, columns)[..., :height, :width]


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015): every map of the encoder is joined where the decoder reaches its size.

    Args:
        channels: Channels of the encoder's maps, finest first.
        strides: Their strides; one that is absent, such as 2 below a patch stem, is upsampled past; of maps with the
            same stride the last is read.
        classes: Number of values a pixel gets.
    """

    decoder_class: type[nn.Module] = UnetDecoder

    def __init__(self, channels: Sequence[int], strides: Sequence[int], classes: int) -> None:
        super().__init__()
        depth = strides[-1].bit_length() - 1  # halvings: 5 down to stride 32
        self.strides = [2**i for i in range(depth + 1)]
        position = {stride: i for i, stride in enumerate(strides) if stride > 1}
        self.maps = [position.get(stride) for stride in self.strides]
        self.used = [i for i in self.maps if i is not None]
        self.used_strides = [strides[i] for i in self.used]
        widths = [16 * 2**i for i in reversed(range(depth))]  # 256, 128, 64, 32, 16
        self.decoder = self.decoder_class([0 if i is None else channels[i] for i in self.maps], widths, n_blocks=depth)
        self.head = SegmentationHead(widths[-1], classes, kernel_size=3)
        initialize_decoder(self.decoder)
        initialize_head(self.head)

    def forward(self, maps: Sequence[Tensor], height: int, width: int) -> Tensor:
        """Computes logits (B, classes, height, width) from the encoder's maps of an image of that size."""
        last = maps[-1]
        pyramid = [
            last.new_empty(last.shape[0], 0, -(-height // stride), -(-width // stride)) if i is None else maps[i]
            for i, stride in zip(self.maps, self.strides, strict=True)
        ]
        logits: Tensor = self.head(self.decoder(pyramid))
        return logits


class UNetPlusPlus(UNet):
    """U-Net++ (Zhou et al. 2018): U-Net whose skips pass through nested blocks; see there for the arguments."""

    decoder_class = UnetPlusPlusDecoder

    def forward(self, maps: Sequence[Tensor], height: int, width: int) -> Tensor:
        """Computes logits (B, classes, height, width) from the encoder's maps of an image of that size."""
        extended = list(maps)
        for i, map_ in zip(self.used, _extend([maps[i] for i in self.used], self.used_strides), strict=True):
            extended[i] = map_
        rows, columns = (size * self.strides[-1] for size in maps[-1].shape[-2:])
        return super().forward(extended, rows, columns)[..., :height, :width]


class FPN(nn.Module):
    """Feature pyramid (Lin et al. 2017) with the segmentation head of Kirillov et al. 2019.

    Args:
        channels: Channels of the encoder's maps, finest first.
        strides: Their strides; the last four are read, each as the one before or twice it.
        classes: Number of values a pixel gets.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], classes: int) -> None:
        super().__init__()
        self.strides = list(strides[-4:])
        if len(self.strides) < 4 or any(coarse not in (fine, 2 * fine) for fine, coarse in pairwise(self.strides)):
            raise ModelValueError(
                f"decoder 'fpn' needs four maps, each of twice the stride before, but these have "
                f"{list(strides)}: use decoder 'fcn', or an encoder with strides [4, 8, 16, 32]"
            )
        self.used = list(range(len(strides) - 4, len(strides)))
        self.decoder = FPNDecoder(list(channels))
        for name, i in (("p2", 0), ("p3", 1), ("p4", 2)):
            if self.strides[i] == self.strides[i + 1]:
                setattr(self.decoder, name, _LevelBlock(self.decoder.p5.out_channels, channels[self.used[i]]))
        doublings = [(stride // self.strides[0]).bit_length() - 1 for stride in self.strides]
        self.decoder.seg_blocks = nn.ModuleList(
            SegmentationBlock(self.decoder.p5.out_channels, self.decoder.out_channels, n_upsamples=count)
            for count in reversed(doublings)
        )
        self.head = SegmentationHead(self.decoder.out_channels, classes, kernel_size=1, upsampling=self.strides[0])
        initialize_decoder(self.decoder)
        initialize_head(self.head)

    def forward(self, maps: Sequence[Tensor], height: int, width: int) -> Tensor:
        """Computes logits (B, classes, height, width) from the encoder's maps of an image of that size."""
        pyramid = _extend([maps[i] for i in self.used], self.strides)
        logits: Tensor = self.head(self.decoder(pyramid))
        return logits[..., :height, :width]


class DeepLabV3(nn.Module):
    """DeepLabV3 (Chen et al. 2017): atrous pyramid on the last map, which the paper has at output stride 8 or 16.

    Args:
        channels: Channels of the encoder's maps, finest first.
        strides: Their strides.
        classes: Number of values a pixel gets.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], classes: int) -> None:
        super().__init__()
        self.used = [len(strides) - 1]
        self.decoder = DeepLabV3Decoder(channels[-1], 256, ATROUS_RATES, aspp_separable=False, aspp_dropout=0.5)
        self.head = SegmentationHead(256, classes, kernel_size=1, upsampling=strides[-1])
        initialize_decoder(self.decoder)
        initialize_head(self.head)

    def forward(self, maps: Sequence[Tensor], height: int, width: int) -> Tensor:
        """Computes logits (B, classes, height, width) from the encoder's maps of an image of that size."""
        logits: Tensor = self.head(self.decoder([maps[-1]]))
        return logits[..., :height, :width]


class DeepLabV3Plus(nn.Module):
    """DeepLabV3+ (Chen et al. 2018): atrous pyramid on the last map, joined with the map of stride 4.

    Args:
        channels: Channels of the encoder's maps, finest first.
        strides: Their strides; 4 must be among them.
        classes: Number of values a pixel gets.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], classes: int) -> None:
        super().__init__()
        if 4 not in strides:
            raise ModelValueError(
                f"decoder 'deeplabv3plus' needs a map of stride 4, but these have "
                f"{list(strides)}: use decoder 'fcn', or an encoder with strides [4, 8, 16, 32]"
            )
        self.used = [list(strides).index(4), len(strides) - 1]
        self.strides = [4, strides[-1]]
        fine, coarse = (channels[i] for i in self.used)
        self.decoder = DeepLabV3PlusDecoder(
            (0, 0, fine, coarse),  # the decoder reads the third and the last
            encoder_depth=5,
            out_channels=256,
            atrous_rates=ATROUS_RATES,
            output_stride=16,
            aspp_separable=True,
            aspp_dropout=0.5,
        )
        self.decoder.up.scale_factor = float(strides[-1] // 4)
        self.head = SegmentationHead(256, classes, kernel_size=1, upsampling=4)
        initialize_decoder(self.decoder)
        initialize_head(self.head)

    def forward(self, maps: Sequence[Tensor], height: int, width: int) -> Tensor:
        """Computes logits (B, classes, height, width) from the encoder's maps of an image of that size."""
        fine, coarse = _extend([maps[i] for i in self.used], self.strides)
        logits: Tensor = self.head(self.decoder([fine, fine, fine, coarse]))
        return logits[..., :height, :width]


class SegFormer(nn.Module):
    """The all-MLP decoder of SegFormer (Xie et al. 2021): every map projected, brought to stride 4 and joined.

    Args:
        channels: Channels of the encoder's maps, finest first.
        strides: Their strides; maps of the image's own size are left out.
        classes: Number of values a pixel gets.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], classes: int) -> None:
        super().__init__()
        self.used = [i for i, stride in enumerate(strides) if stride > 1]
        self.strides = [strides[i] for i in self.used]
        self.decoder = SegformerDecoder([3, *(channels[i] for i in self.used)])
        self.head = SegmentationHead(256, classes, kernel_size=1, upsampling=4)
        initialize_decoder(self.decoder)
        initialize_head(self.head)

    def forward(self, maps: Sequence[Tensor], height: int, width: int) -> Tensor:
        """Computes logits (B, classes, height, width) from the encoder's maps of an image of that size."""
        pyramid = _extend([maps[i] for i in self.used], self.strides)
        rows, columns = (size * self.strides[-1] for size in pyramid[-1].shape[-2:])
        size_only = pyramid[0].new_empty(0, 3, rows, columns)
        logits: Tensor = self.head(self.decoder([size_only, *pyramid]))
        return logits[..., :height, :width]


DECODERS: dict[DecoderName, type[FCN | UNet | FPN | DeepLabV3 | DeepLabV3Plus | SegFormer]] = {
    "fcn": FCN,
    "unet": UNet,
    "unetplusplus": UNetPlusPlus,
    "fpn": FPN,
    "deeplabv3": DeepLabV3,
    "deeplabv3plus": DeepLabV3Plus,
    "segformer": SegFormer,
}

PREFERRED_STRIDE: dict[DecoderName, int] = {"deeplabv3": 8, "deeplabv3plus": 16}
"""Stride of the encoder's last map that a decoder's paper wants, where it is not 32."""


class _LevelBlock(FPNBlock):
    """A step of the feature pyramid between two maps of one stride."""

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Adds the finer map (B, C, h, w) to the coarser one, which has its size."""
        total: Tensor = x + self.skip_conv(skip)
        return total


def _resize(map_: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(map_, size=(height, width), mode="bilinear", align_corners=False)


def _extend(maps: Sequence[Tensor], strides: Sequence[int]) -> list[Tensor]:
    """Repeats the right and bottom borders until each map is a whole multiple of the last, as doubling decoders need.

    Args:
        maps: (B, C, ceil(H / stride), ceil(W / stride)) each, finest first.
        strides: Strides of the maps.
    """
    rows, columns = (size * strides[-1] for size in maps[-1].shape[-2:])  # of the image, made a multiple
    return [
        repeat_borders(map_, 0, columns // stride - map_.shape[-1], 0, rows // stride - map_.shape[-2])
        for map_, stride in zip(maps, strides, strict=True)
    ]
