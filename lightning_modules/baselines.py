"""What every result stands beside: predictions that need no network, and features that need no training."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .batch import UNKNOWN, Batch
from .errors import ModelValueError

BOX_SIDE = 0.5
"""Side of the centre box in sides of the crop: a quarter of its area, where masks cover 24 to 31 % of a common crop."""


def all_fake(batch: Batch) -> tuple[Tensor, Tensor]:
    """Calls every pixel forged and every frame fake: probabilities (B, H, W) and (B,).

    Examples:
        >>> masks, scores = all_fake({"image": torch.zeros(2, 3, 8, 8)})
        >>> masks.shape, scores.tolist()
        (torch.Size([2, 8, 8]), [1.0, 1.0])
    """
    return _constant(torch.ones(batch["image"].shape[-2:]), batch)


def all_real(batch: Batch) -> tuple[Tensor, Tensor]:
    """Calls every pixel and every frame real: probabilities (B, H, W) and (B,).

    Examples:
        >>> masks, scores = all_real({"image": torch.zeros(2, 3, 8, 8)})
        >>> masks.shape, scores.tolist()
        (torch.Size([2, 8, 8]), [0.0, 0.0])
    """
    return _constant(torch.zeros(batch["image"].shape[-2:]), batch)


def centre_box(batch: Batch) -> tuple[Tensor, Tensor]:
    """Calls the pixels of a central box forged; every frame scores its area: probabilities (B, H, W) and (B,).

    Examples:
        >>> masks, scores = centre_box({"image": torch.zeros(2, 3, 8, 8)})
        >>> masks[0, 2].tolist(), scores.tolist()
        ([0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0], [0.25, 0.25])
    """
    height, width = batch["image"].shape[-2:]
    top, left = round(height * (1 - BOX_SIDE) / 2), round(width * (1 - BOX_SIDE) / 2)
    mask = torch.zeros(height, width)
    mask[top : height - top, left : width - left] = 1
    return _constant(mask, batch)


class MeanMask:
    """Predicts for every frame the mean of the training masks, real frames included.

    Examples:
        >>> mean = MeanMask()
        >>> mean.update({"mask": torch.tensor([[[0, 1]], [[1, 1]]])})
        >>> mean({"image": torch.zeros(1, 3, 1, 2)})
        (tensor([[[0.5000, 1.0000]]]), tensor([0.7500]))
    """

    def __init__(self) -> None:
        self.forged: Tensor | int = 0
        self.known: Tensor | int = 0

    def update(self, batch: Batch) -> None:
        """Adds the masks of a training batch, all of one size; unknown pixels count neither way."""
        mask = batch["mask"]
        self.forged = self.forged + ((mask > 0) & (mask != UNKNOWN)).sum(0).cpu()
        self.known = self.known + (mask != UNKNOWN).sum(0).cpu()

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Gives each pixel the part of the training frames that are forged there: (B, H, W) and its mean (B,)."""
        if not isinstance(self.forged, Tensor) or not isinstance(self.known, Tensor):
            raise ModelValueError("the mean mask has seen no training batch: call `update` with each of them first")
        return _constant(self.forged / self.known.clamp(min=1), batch)


def colour_features(images: Tensor) -> Tensor:
    """Describes crops by colour and sharpness alone: what a detector could know without looking for forgeries.

    Args:
        images: (B, 3, H, W), normalised.

    Returns:
        (B, 7): mean and standard deviation of each channel, logarithm of the mean squared Laplacian of the grey image.

    Examples:
        >>> colour_features(torch.rand(4, 3, 16, 16)).shape
        torch.Size([4, 7])
    """
    grey = images.mean(1, keepdim=True)
    kernel = images.new_tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
    energy = F.conv2d(grey, kernel[None, None]).square().mean((1, 2, 3))
    features = [images.mean((2, 3)), images.std((2, 3)), (energy + 1e-12).log()[:, None]]
    return torch.cat(features, dim=1)


def _constant(mask: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Predicts one mask (H, W) for every frame, and its mean as the frame's score."""
    image = batch["image"]
    masks = mask.to(image).expand(len(image), -1, -1)
    return masks, masks.flatten(1).mean(1)
