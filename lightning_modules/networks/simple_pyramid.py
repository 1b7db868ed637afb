"""A pyramid over flat transformers, whose maps all have the stride of their patches."""

from __future__ import annotations

import math

import torch
from timm.layers import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional as F


class SimplePyramid(nn.Module):
    """Simple feature pyramid: every scale from the last map alone, by deconvolution or pooling.

    After Li et al. 2022, "Exploring Plain Vision Transformer Backbones for Object Detection" (section 3): a stride of 2
    per 2x2 deconvolution or max pooling, with layer norm and GELU between two of them; then 1x1 and 3x3 convolutions to
    256 channels, each with layer norm. Patches of 14 pixels give strides of 3.5, 7, 14, 28, which are then sampled
    bilinearly at the centres of cells of 4, 8, 16 and 32.

    Args:
        channels: Channels of the transformer's map.
        patch: Its stride, in pixels.
        strides: Strides of the pyramid, rising.
        width: Channels of each of its maps.
    """

    def __init__(self, channels: int, patch: int, strides: tuple[int, ...], width: int = 256) -> None:
        super().__init__()
        self.strides = strides
        self.width = width
        doublings = [round(math.log2(patch / stride)) for stride in strides]
        self.scales = nn.ModuleList(_scale(channels, count, width) for count in doublings)
        self.cells = [patch / 2**count for count in doublings]  # pixels that a cell of each scale spans

    def forward(self, map_: Tensor, height: int, width: int) -> list[Tensor]:
        """Computes a map (B, width, ceil(height / stride), ceil(width / stride)) per stride.

        Args:
            map_: (B, channels, h, w), its first cell in the upper left corner of the image.
            height: Of the image, in pixels; at most `h * patch`.
            width: Likewise.
        """
        return [
            _sample(scale(map_), cell, stride, (-(-height // stride), -(-width // stride)))
            for scale, cell, stride in zip(self.scales, self.cells, self.strides, strict=True)
        ]


def _scale(channels: int, doublings: int, width: int) -> nn.Sequential:
    """Brings a map to 2 ** doublings times its cells each way, or halves it as often if that is negative."""
    steps: list[nn.Module] = []
    for step in range(doublings):
        if step:
            steps += [LayerNorm2d(channels), nn.GELU()]
        steps.append(nn.ConvTranspose2d(channels, channels // 2, kernel_size=2, stride=2))
        channels //= 2
    steps += [nn.MaxPool2d(kernel_size=2, ceil_mode=True) for _ in range(-doublings)]
    return nn.Sequential(
        *steps,
        nn.Conv2d(channels, width, kernel_size=1, bias=False),
        LayerNorm2d(width),
        nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False),
        LayerNorm2d(width),
    )


def _sample(map_: Tensor, cell: float, stride: int, size: tuple[int, int]) -> Tensor:
    """Samples a map whose cells span `cell` pixels at the centres of `size` cells of `stride` pixels."""
    if cell == stride:
        return map_[..., : size[0], : size[1]]
    y, x = (
        (torch.arange(count, device=map_.device, dtype=torch.float32) + 0.5) * (2 * stride / (cell * cells)) - 1
        for count, cells in zip(size, map_.shape[-2:], strict=True)
    )
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).expand(map_.shape[0], -1, -1, -1)
    with torch.autocast(map_.device.type, enabled=False):  # positions need more digits than bf16 has
        sampled = F.grid_sample(map_.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled.to(map_.dtype)
