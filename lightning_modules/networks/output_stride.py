"""Finer last maps from encoders that were built to stride on: dilation by rearranging, and joined branches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from timm.models import FeatureHookNet, FeatureListNet
from timm.models.hrnet import HighResolutionNetFeatures
from torch import Tensor, nn
from torch.nn import functional as F

WINDOWED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
"""Layers that see more than one cell at once; all others can be left alone."""


def dilate(backbone: Any, output_stride: int, size: int, channels_last: bool) -> bool:
    """Turns the strides of a timm pyramid that lie beyond `output_stride` into dilation; its weights stay as they are.

    A strided layer visits every second cell; a dilated one visits all, each with the neighbours it would have had. That
    is the same layer run on each phase of its map (every second cell from the first, every second from the second), the
    results put back in their places: the "algorithme à trous" that Chen et al. 2017 (DeepLabV3) name as the origin of
    dilated convolution. Run as such it serves pooling and the windows of a transformer as well, and the cells that the
    strided model has keep their values. What lies beyond the map's last row and column counts as zero.

    Args:
        backbone: What timm's `features_only` built: a chain of stages, or convolutions and pooling in any order.
        output_stride: Stride that no map may exceed.
        size: Side of a square image that the model takes, a multiple of its own last stride, as the sides of every
            image must be from now on.
        channels_last: Whether maps are (B, H, W, C).

    Returns:
        Whether the backbone is of such a kind; if not, it is of no more use.
    """
    if isinstance(backbone, FeatureListNet):
        units = [child for child in backbone.children() if isinstance(child, WINDOWED) or any(child.children())]
    elif isinstance(backbone, FeatureHookNet):  # reads maps from inside its stages, so these must not be rearranged
        units = [module for module in backbone.modules() if isinstance(module, WINDOWED)]
    else:
        return False
    axis = 1 if channels_last else 2
    try:
        strides = _strides(backbone, units, size, axis)
    except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError):  # maps are not all it passes on
        return False
    for unit, (stride, factor) in strides.items():
        rate, phases = max(1, stride // output_stride), max(1, stride * factor // output_stride)
        if phases > 1:
            empty = -math.inf if isinstance(unit, nn.MaxPool2d) else 0.0
            unit.register_forward_pre_hook(partial(_split, rate=rate, phases=phases, axis=axis, empty=empty))
            unit.register_forward_hook(partial(_unite, phases=phases, axis=axis), prepend=True)  # before timm reads it
    return _fits(backbone, output_stride, size, axis)


def keeps_branches(backbone: nn.Module) -> bool:
    """Whether maps of all strides are computed side by side, as in HRNet, so that `join` loses no detail."""
    return isinstance(backbone, HighResolutionNetFeatures)


def join(maps: Sequence[Tensor], strides: Sequence[int], output_stride: int) -> list[Tensor]:
    """Brings maps coarser than `output_stride` up to it, each joined to those between, as HRNetV2 joins its branches.

    Bilinear and concatenated, after Wang et al. 2020 (Deep High-Resolution Representation Learning).

    Args:
        maps: (B, C, H / stride, W / stride) each, finest first; the sides are multiples of the last stride.
        strides: Their strides.
        output_stride: Stride that no map may exceed.
    """
    joined = [map_ for map_, stride in zip(maps, strides, strict=True) if stride <= output_stride]
    size = joined[-1].shape[-2:]
    for map_ in maps[len(joined) :]:
        joined.append(torch.cat([joined[-1], F.interpolate(map_, size=size, mode="bilinear")], dim=1))
    return joined


def joined_channels(channels: Sequence[int], strides: Sequence[int], output_stride: int) -> list[int]:
    """Channels of the maps that `join` makes."""
    fine = sum(stride <= output_stride for stride in strides)
    return [*channels[:fine], *(sum(channels[fine - 1 : i + 1]) for i in range(fine, len(channels)))]


@torch.no_grad()
def _strides(backbone: nn.Module, units: Sequence[nn.Module], size: int, axis: int) -> dict[nn.Module, tuple[int, int]]:
    """For each unit the stride of the map it is given and the factor by which it strides on, by looking on."""
    found: dict[nn.Module, tuple[int, int]] = {}

    def look(unit: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        (given,), came = inputs, output
        rows = given.shape[2 if given.shape[1] == 3 else axis], came.shape[axis]  # the image is always (B, 3, H, W)
        stride, reached = (2 ** round(math.log2(size / count)) for count in rows)
        found[unit] = stride, reached // stride

    handles = [unit.register_forward_hook(look) for unit in units]
    training = backbone.training
    try:
        backbone.eval()(torch.zeros(1, 3, size, size))
    finally:
        backbone.train(training)
        for handle in handles:
            handle.remove()
    return found


@torch.no_grad()
def _fits(backbone: Any, output_stride: int, size: int, axis: int) -> bool:
    """Whether maps have as many cells as their strides say, but for the few that an unpadded stem lacks.

    Unpadded layers further on (Inception) lose so many that a phase cannot be put back in its place.
    """
    training = backbone.training
    try:
        maps = backbone.eval()(torch.zeros(1, 3, size, size))
    except RuntimeError:
        return False
    finally:
        backbone.train(training)
    due = [size // min(stride, output_stride) for stride in backbone.feature_info.reduction()]
    return all(0.9 * cells <= map_.shape[axis] <= cells for map_, cells in zip(maps, due, strict=True))


def _split(unit: nn.Module, inputs: tuple[Tensor, ...], *, rate: int, phases: int, axis: int, empty: float) -> Tensor:
    """Lays the phases of a map side by side along the batch: (B, ...) becomes (phases * phases * B, ...).

    Args:
        unit: Not read.
        inputs: The map, whose sides are multiples of `phases`.
        rate: Distance of the cells that are neighbours for the unit.
        phases: Distance of the cells that come out of one phase: `rate` times the unit's own stride.
        axis: Axis of the rows; the columns follow.
        empty: What lies beyond the last row and column.
    """
    (map_,) = inputs
    height, width = map_.shape[axis : axis + 2]
    beyond = phases - rate
    map_ = F.pad(map_, (0, 0) * (2 - axis) + (0, beyond, 0, beyond), value=empty)
    before = (slice(None),) * axis
    return torch.cat(
        [
            map_[*before, i : i + height - rate + 1 : rate, j : j + width - rate + 1 : rate]
            for i in range(phases)
            for j in range(phases)
        ]
    )


def _unite(unit: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, *, phases: int, axis: int) -> Tensor:
    """Puts the phases of a map back in their places: (phases * phases * B, ...) becomes (B, ...)."""
    cells: Tensor = output.unflatten(0, (phases, phases, -1)).movedim((0, 1), (axis + 1, axis + 3))
    return cells.flatten(axis + 2, axis + 3).flatten(axis, axis + 1)
