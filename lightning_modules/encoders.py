"""The only door to timm: feature pyramids whose maps fit every decoder, and their ImageNet weights."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from typing import Any

import timm
import torch
from timm.models import PretrainedCfg
from torch import Tensor, nn
from torch.nn import functional as F

from .weights import cached_file, out_of_reach, require_reachable, server


class Encoder(nn.Module):
    """A timm model that turns images into a pyramid of feature maps.

    The map of stride `s` has `ceil(height / s)` by `ceil(width / s)` cells at any input size. Stems without padding
    (legacy_xception: 61 cells where 64 are due) have the missing cells repeated from the nearest border, half on each
    side, which leaves every cell over the pixels it saw. Models that only take multiples of their stride (HRNet, DLA)
    see the image with zeros to its right and below, and their maps are cut back.

    Building never downloads; see `load_weights`.

    Args:
        name: Name of a timm model with feature maps at several strides.
        output_stride: Stride wanted of the last map; a model to which timm cannot give it keeps its own.

    Attributes:
        channels: Channels of each map, finest first.
        strides: Input pixels a cell of each map spans, each way; repeated where dilation replaces striding.
    """

    backbone: Any  # timm gives `feature_info` to its pyramids only

    def __init__(self, name: str, output_stride: int = 32) -> None:
        super().__init__()
        _require_known(name)
        self.name = name
        self._options: dict[str, Any] = {"features_only": True}
        if output_stride != 32:
            self._options["output_stride"] = output_stride
        try:
            self.backbone = timm.create_model(name, **self._options)
        except (AssertionError, TypeError):  # how timm's models answer an `output_stride` they do not have
            self._options.pop("output_stride", None)
            self.backbone = timm.create_model(name, **self._options)
        self.channels: tuple[int, ...] = tuple(self.backbone.feature_info.channels())
        self.strides: tuple[int, ...] = tuple(self.backbone.feature_info.reduction())
        if self.strides[0] == self.strides[-1]:
            raise ValueError(
                f"encoder {name!r} is flat: its maps all have stride {self.strides[0]}, but decoders need a pyramid "
                "such as [4, 8, 16, 32]; use a convolutional or hierarchical model, for example 'resnet50'"
            )
        self._channels_last = str(getattr(self.backbone, "output_fmt", "NCHW")).endswith("NHWC")
        self._multiple = self._required_multiple()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Computes the pyramid.

        Args:
            images: (B, 3, H, W), normalised by `normalisation(name)`.

        Returns:
            One map (B, channels[i], ceil(H / strides[i]), ceil(W / strides[i])) per stride, finest first.
        """
        height, width = images.shape[-2:]
        if self._multiple > 1:
            images = F.pad(images, (0, -width % self._multiple, 0, -height % self._multiple))
        maps = self.backbone(images)
        if self._channels_last:
            maps = [map_.permute(0, 3, 1, 2).contiguous() for map_ in maps]
        return [
            _align(map_, -(-height // stride), -(-width // stride))
            for map_, stride in zip(maps, self.strides, strict=True)
        ]

    def find_weights(self) -> dict[str, str]:
        """Makes sure that timm's ImageNet weights can be had, and says what timm must be told to have them.

        Raises:
            ValueError: timm has no weights for this model.
            ConnectionError: They are not in the cache and their server cannot be reached; known within 10 seconds.
        """
        source = self.backbone.pretrained_cfg
        if file := cached_file(source):
            return {"file": file}
        if host := server(source):
            require_reachable(host, self.name)
            return {}
        raise ValueError(f"timm has no ImageNet weights for encoder {self.name!r}: set `pretrained: false`")

    def load_weights(self) -> None:
        """Loads timm's ImageNet weights, from its local cache or from the network; raises as `find_weights` does."""
        source, overlay = self.backbone.pretrained_cfg, self.find_weights()
        try:
            loaded = timm.create_model(self.name, pretrained=True, pretrained_cfg_overlay=overlay, **self._options)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EACCES, errno.EPERM):
                raise
            raise out_of_reach(server(source), self.name) from error
        self.backbone.load_state_dict(loaded.state_dict())

    @torch.enable_grad()
    def freeze_unreached(self, used: Iterable[int]) -> None:
        """Excludes from training what the given maps do not depend on, such as HRNet's branches to other maps.

        Parameters that get no gradient would stop distributed training, and weight decay would shrink them.

        Args:
            used: Positions of the maps that a head reads.
        """
        training = self.training
        maps = self.eval()(torch.zeros(1, 3, *self._probe_size()))
        self.train(training)
        reached = _leaves(maps[i] for i in used)
        for parameter in self.backbone.parameters():
            parameter.requires_grad_(id(parameter) in reached)

    def _probe_size(self) -> tuple[int, int]:
        """Smallest convenient image this model takes, (height, width) in pixels."""
        config = self.backbone.pretrained_cfg
        height, width = config["input_size"][-2:] if config.get("fixed_input_size") else (65, 65)
        return height, width

    @torch.no_grad()
    def _required_multiple(self) -> int:
        """1 if the model takes images of any size, else the stride their sides must be a multiple of."""
        training = self.backbone.training
        try:
            self.backbone.eval()(torch.zeros(1, 3, *self._probe_size()))
        except RuntimeError:  # sizes of two branches disagree
            return self.strides[-1]
        finally:
            self.backbone.train(training)
        return 1


def normalisation(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of RGB in [0, 1] with which a model's ImageNet weights were trained.

    Args:
        name: Name of a timm model.
    """
    _require_known(name)
    config = timm.get_pretrained_cfg(name) or PretrainedCfg()
    return tuple(config.mean), tuple(config.std)


def _require_known(name: str) -> None:
    if not timm.is_model(name):
        nearest = difflib.get_close_matches(name, timm.list_models(), n=1, cutoff=0.0)[0]
        raise ValueError(f"encoder is {name!r}, which timm {timm.__version__} does not know; did you mean {nearest!r}?")


def _align(map_: Tensor, height: int, width: int) -> Tensor:
    """Brings a map (B, C, h, w) to (B, C, height, width) without moving a cell by more than half of what is missing."""
    rows, columns = max(0, height - map_.shape[-2]), max(0, width - map_.shape[-1])
    if rows or columns:
        map_ = F.pad(map_, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2), mode="replicate")
    return map_[..., :height, :width]


def _leaves(outputs: Iterable[Tensor]) -> set[int]:
    """Ids of the parameters that the outputs depend on, read from autograd's graph."""
    nodes = [output.grad_fn for output in outputs]
    seen, leaves = set(nodes), set()
    while nodes:
        node = nodes.pop()
        if node is None:
            continue
        if hasattr(node, "variable"):
            leaves.add(id(node.variable))
        following = {next_node for next_node, _ in node.next_functions} - seen
        seen |= following
        nodes.extend(following)
    return leaves
