"""The only door to timm: feature pyramids whose maps fit every decoder, and their ImageNet weights."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import timm
import torch
from timm.models import PretrainedCfg
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ModelValueError
from .borders import repeat_borders
from .output_stride import dilate, join, joined_channels, keeps_branches
from .simple_pyramid import SimplePyramid
from .weights import cached_file, make_unreachable_error, require_reachable, server
from .weights_file import Match, load_from_file

OUTPUT_STRIDES = (8, 16, 32)
PYRAMID = (4, 8, 16, 32)
"""Strides made of a flat transformer's map."""


class Encoder(nn.Module):
    """A timm model that turns images into a pyramid of feature maps.

    The map of stride `s` has `ceil(height / s)` by `ceil(width / s)` cells at any input size. Stems without padding
    (legacy_xception: 61 cells where 64 are due) have the missing cells repeated from the nearest border, half on each
    side, which leaves every cell over the pixels it saw. Models that only take multiples of their stride (HRNet, DLA,
    Swin, and all that are dilated here) see the image with zeros to its right and below, and their maps are cut back.

    Flat transformers (ViT, DINOv2) get a pyramid of strides 4, 8, 16 and 32 over their last map, see `SimplePyramid`.

    A last map finer than stride 32 comes from timm where it can give it, by `dilate` from other chains of stages, by
    `join` from HRNet and by the pyramid over a flat transformer; any other model is refused.

    Building never downloads; see `load_weights`.

    Args:
        name: Name of a timm model.
        output_stride: Stride that no map exceeds: 8, 16 or 32.

    Attributes:
        backbone: timm's part, which has ImageNet weights.
        pyramid: What makes a pyramid of a flat transformer's map; none for other models.
        channels: Channels of each map, finest first.
        strides: Input pixels a cell of each map spans, each way; repeated where dilation replaces striding.

    Examples:
        >>> encoder = Encoder("test_resnet")
        >>> encoder.strides
        (2, 4, 8, 16, 32)
        >>> [map_.shape[-1] for map_ in encoder(torch.zeros(1, 3, 64, 64))]
        [32, 16, 8, 4, 2]
    """

    backbone: Any  # timm gives `feature_info` to its pyramids only

    def __init__(self, name: str, output_stride: int = 32) -> None:
        super().__init__()
        _require_known(name)
        if output_stride not in OUTPUT_STRIDES:
            raise ModelValueError(f"output_stride is {output_stride}, wanted one of {list(OUTPUT_STRIDES)}")
        self.name = name
        self.output_stride = output_stride
        self._options, self.backbone = _create(
            name, 32 if _is_misplaced_by_timm(name, output_stride) else output_stride
        )
        self.channels: tuple[int, ...] = tuple(self.backbone.feature_info.channels())
        self.strides: tuple[int, ...] = tuple(self.backbone.feature_info.reduction())
        self._channels_last = str(getattr(self.backbone, "output_fmt", "NCHW")).endswith("NHWC")
        self._to_join: tuple[int, ...] = ()  # strides of the maps that are joined
        self.pyramid: SimplePyramid | None = None
        if self.strides[0] == self.strides[-1]:
            self._multiple = patch = self.strides[-1]
            self.strides = tuple(min(stride, output_stride) for stride in PYRAMID)
            self.pyramid = SimplePyramid(self.channels[-1], patch, self.strides)
            self.channels = (self.pyramid.width,) * len(PYRAMID)
            return
        self._multiple = self._required_multiple()
        if self.strides[-1] > output_stride:
            self._refine()

    def _refine(self) -> None:
        """Brings maps beyond the output stride up to it where timm cannot."""
        last, wanted = self.strides[-1], self.output_stride
        if keeps_branches(self.backbone):
            self._to_join = self.strides
            self.channels = tuple(joined_channels(self.channels, self.strides, wanted))
        elif dilate(self.backbone, wanted, 4 * last, self._channels_last):
            self._multiple = last
        else:
            coarser = f"use `output_stride: {last}`, or" if last in OUTPUT_STRIDES else "use"
            raise ModelValueError(
                f"encoder {self.name!r} has stride {last} and cannot be brought to output stride {wanted}: {coarser} "
                "another encoder, for example 'resnet50'"
            )
        self.strides = tuple(min(stride, wanted) for stride in self.strides)

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
        if self.pyramid is not None:
            scales: list[Tensor] = self.pyramid(maps[-1], height, width)
            return scales
        if self._to_join:
            maps = join(maps, self._to_join, self.output_stride)
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
        raise ModelValueError(f"timm has no ImageNet weights for encoder {self.name!r}: set `pretrained: false`")

    def load_weights(self) -> None:
        """Loads timm's ImageNet weights, from its local cache or from the network; raises as `find_weights` does."""
        source, overlay = self.backbone.pretrained_cfg, self.find_weights()
        try:
            loaded = timm.create_model(
                self.name, features_only=True, pretrained=True, pretrained_cfg_overlay=overlay, **self._options
            )
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EACCES, errno.EPERM):
                raise
            raise make_unreachable_error(server(source), self.name) from error
        self.backbone.load_state_dict(loaded.state_dict())

    def load_file(self, path: str) -> Match:
        """Loads weights from another run's checkpoint or a file of timm's; see `weights_file.load_from_file`."""
        return load_from_file(self, self.name, path, normalisation(self.name))

    def checkpoint_gradients(self) -> None:
        """Keeps fewer activations for the backward pass and computes the others again: less memory, a third slower.

        Raises:
            ValueError: timm cannot do it for this model.
        """
        try:
            self.backbone.set_grad_checkpointing(True)
        except (AssertionError, AttributeError) as error:
            raise ModelValueError(
                f"gradient_checkpointing is true, but timm has none for encoder {self.name!r}: set it to false, or use "
                "another encoder, for example 'resnet50'"
            ) from error

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
        reached = _find_leaves(maps[i] for i in used)
        for parameter in self.parameters():
            parameter.requires_grad_(id(parameter) in reached)

    def _probe_size(self) -> tuple[int, int]:
        """Smallest convenient image this model takes, (height, width) in pixels."""
        config = self.backbone.pretrained_cfg
        fixed = config.get("fixed_input_size") and "dynamic_img_size" not in self._options
        height, width = config["input_size"][-2:] if fixed else (65, 65)
        return height, width

    @torch.no_grad()
    def _required_multiple(self) -> int:
        """1 if the model takes images of any size, else the stride their sides must be a multiple of."""
        training = self.backbone.training
        try:
            self.backbone.eval()(torch.zeros(1, 3, *self._probe_size()))
        except (AssertionError, RuntimeError):  # sizes of two branches or of windows disagree
            return self.strides[-1]
        finally:
            self.backbone.train(training)
        return 1


def _is_misplaced_by_timm(name: str, output_stride: int) -> bool:
    """Whether timm 1.0 dilates a model so that its cells no longer lie where those of the strided model do.

    Its ConvNeXt is moved by one cell at stride 8, because the 2x2 convolution between two stages is padded on all
    sides; the values of its MobileViT change.
    """
    return ("convnext" in name and output_stride == 8) or ("mobilevit" in name and output_stride < 32)


def _create(name: str, output_stride: int) -> tuple[dict[str, Any], Any]:
    """Builds a timm pyramid with what the model takes of: images of any size, else the output stride."""
    wishes: list[dict[str, Any]] = [{"dynamic_img_size": True}]
    if output_stride != 32:
        wishes.append({"output_stride": output_stride})
    for wish in wishes:
        with suppress(AssertionError, TypeError):  # how timm's models answer an argument they do not have
            return wish, timm.create_model(name, features_only=True, **wish)
    return {}, timm.create_model(name, features_only=True)


def normalisation(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of RGB in [0, 1] with which a model's ImageNet weights were trained.

    Args:
        name: Name of a timm model.

    Examples:
        >>> normalisation("resnet50")
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    """
    _require_known(name)
    config = timm.get_pretrained_cfg(name) or PretrainedCfg()
    return tuple(config.mean), tuple(config.std)


def _require_known(name: str) -> None:
    if not timm.is_model(name):
        nearest = difflib.get_close_matches(name, timm.list_models(), n=1, cutoff=0.0)[0]
        raise ModelValueError(
            f"encoder is {name!r}, which timm {timm.__version__} does not know; did you mean {nearest!r}?"
        )


def _align(map_: Tensor, height: int, width: int) -> Tensor:
    """Brings a map (B, C, h, w) to (B, C, height, width) without moving a cell by more than half of what is missing."""
    rows, columns = max(0, height - map_.shape[-2]), max(0, width - map_.shape[-1])
    map_ = repeat_borders(map_, columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
    return map_[..., :height, :width]


def _find_leaves(outputs: Iterable[Tensor]) -> set[int]:
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
