"""Says of an error inside a network whether the number or the size of the images is its reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ..errors import ModelValueError
from .network import Network

SIZES = (32, 48, 64, 96, 128, 192, 224, 256, 299, 320, 384, 448, 512)
"""Sides, in pixels, of which the nearest that a network takes is named instead of one that it does not."""

ONE_VALUE = "Expected more than 1 value per channel"
"""What torch says where a batch norm in training sees one value of each channel, which it would make 0."""


@contextmanager
def explain_failure(network: Network, images: Tensor) -> Iterator[None]:
    """Names the size of the images, or their number, where a network fails by it; other errors pass.

    Args:
        network: What computes.
        images: (B, 3, H, W), what it computes on.

    Raises:
        ValueError: The network takes no images of this size, though it takes others; or in training it has to normalise
            a single value.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (AssertionError, IndexError, RuntimeError, ValueError) as error:
        height, width = images.shape[-2:]
        decoder = f" with {type(network.decoder).__name__}" if network.decoder is not None else ""
        of = f"encoder {network.encoder.name!r}{decoder}"
        if ONE_VALUE in str(error):
            raise ModelValueError(
                f"a training batch has {len(images)} frame of {height} x {width} pixels, of which a batch norm of {of} "
                "sees one value a channel and can learn nothing: use data.init_args.batch_size 2 or more for each "
                "device, or another decoder"
            ) from error
        fitting = _fitting_size(network, images)
        if fitting is None:
            raise
        raise ModelValueError(
            f"data.init_args.size is {max(height, width)}, but {of} takes no images of {height} x {width} pixels: "
            f"use {fitting}"
        ) from error


def _fitting_size(network: Network, images: Tensor) -> int | None:
    """The nearest side that a network takes; None if it takes this one as well, or none at all."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        if _accepts(network, images[:1]):
            return None
        near = sorted(SIZES, key=lambda side: abs(side - max(images.shape[-2:])))
        return next(
            (side for side in near if _accepts(network, images.new_zeros(1, *images.shape[1:-2], side, side))), None
        )
    finally:
        for module, mode in modes:
            module.training = mode


@torch.no_grad()
def _accepts(network: Network, images: Tensor) -> bool:
    try:
        network(images)
    except (AssertionError, IndexError, RuntimeError, ValueError):
        return False
    return True
