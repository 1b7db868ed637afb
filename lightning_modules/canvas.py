"""One canvas for all: what any crop, size or margin predicts, laid over the pixels on which everything is measured."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def paste(probability: Tensor, box: Tensor, canvas_box: Tensor, size: tuple[int, int]) -> Tensor:
    """Lays masks predicted for one crop of a frame over another crop of it. What the first does not see is 0: real.

    Each pixel of the canvas takes the bilinear value at its centre. Where both crops and sizes are the same, nothing is
    changed.

    Args:
        probability: Forged probability of each pixel, (B, H, W).
        box: Crops that they were predicted for, (B, 4), x0 y0 x1 y1 in pixels of the frame.
        canvas_box: Crops that they are laid over, likewise.
        size: Height and width of the canvas in its own pixels.

    Returns:
        (B, height, width), of the same type.
    """
    if probability.shape[-2:] == size and torch.equal(box, canvas_box):
        return probability
    horizontal = _positions(size[1], box[:, 0::2], canvas_box[:, 0::2])
    vertical = _positions(size[0], box[:, 1::2], canvas_box[:, 1::2])
    grid = torch.stack(
        [horizontal[:, None, :].expand(-1, size[0], -1), vertical[:, :, None].expand(-1, -1, size[1])], dim=-1
    )
    laid = F.grid_sample(probability[:, None].float(), grid, padding_mode="border", align_corners=False)[:, 0]
    seen = (vertical.abs() <= 1)[:, :, None] & (horizontal.abs() <= 1)[:, None, :]
    return torch.where(seen, laid.clamp(0, 1), 0.0).to(probability.dtype)


def _positions(count: int, span: Tensor, canvas_span: Tensor) -> Tensor:
    """Where the centres of the canvas's pixels lie along one axis of a crop, (B, count): -1 and 1 are its edges."""
    centres = (torch.arange(count, device=span.device, dtype=torch.float32) + 0.5) / count
    start, end = canvas_span[:, :1], canvas_span[:, 1:]
    position: Tensor = (start + centres * (end - start) - span[:, :1]) / (span[:, 1:] - span[:, :1])
    return 2 * position - 1
