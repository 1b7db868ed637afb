"""One canvas for all: what any crop, size or margin predicts, laid over the pixels on which everything is measured."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

EXACT_UP_TO = 80.0
"""Logits up to which 1 - p is still told from 0 in float32."""


def paste(logit: Tensor, box: Tensor, canvas_box: Tensor, size: tuple[int, int]) -> Tensor:
    """Lays masks predicted for one crop of a frame over another crop of it. What the first does not see is real.

    Each pixel of the canvas takes the bilinear value of the probabilities at its centre. Where both crops and sizes are
    the same, nothing is changed.

    Args:
        logit: Log-odds that each pixel is forged, (B, H, W).
        box: Crops that they were predicted for, (B, 4), x0 y0 x1 y1 in pixels of the frame.
        canvas_box: Crops that they are laid over, likewise.
        size: Height and width of the canvas in its own pixels.

    Returns:
        Log-odds, (B, height, width), float32; minus infinity for what the crop does not see.

    Examples:
        >>> logit = torch.zeros(1, 4, 4)  # of the left half of a frame, laid over all of it
        >>> left, all_of_it = torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([[0.0, 0, 8, 4]])
        >>> paste(logit, left, all_of_it, (1, 4))
        tensor([[[0., 0., -inf, -inf]]])
    """
    if logit.shape[-2:] == size and torch.equal(box, canvas_box):
        return logit
    horizontal = _positions(size[1], box[:, 0::2], canvas_box[:, 0::2])
    vertical = _positions(size[0], box[:, 1::2], canvas_box[:, 1::2])
    seen = (vertical.abs() <= 1)[:, :, None] & (horizontal.abs() <= 1)[:, None, :]
    sure = (logit.abs() > EXACT_UP_TO) & logit.isfinite()
    laid = (_interpolate_exact if sure.any() else _interpolate)(logit.float(), horizontal, vertical)
    return torch.where(seen, laid, -torch.inf)


def _interpolate(logit: Tensor, horizontal: Tensor, vertical: Tensor) -> Tensor:
    """Log-odds of bilinear probabilities: of those that a pixel is forged, over those that it is not."""
    count = horizontal.shape[1], vertical.shape[1]
    grid = torch.stack(
        [horizontal[:, None, :].expand(-1, count[1], -1), vertical[:, :, None].expand(-1, -1, count[0])], dim=-1
    )
    both = torch.stack([logit.sigmoid(), (-logit).sigmoid()], dim=1)
    forged, real = F.grid_sample(both, grid, padding_mode="border", align_corners=False).unbind(1)
    return forged.log() - real.log()


def _interpolate_exact(logit: Tensor, horizontal: Tensor, vertical: Tensor) -> Tensor:
    """As `_interpolate`, by sums of logarithms: for probabilities nearer to 0 and 1 than a number can say."""
    (left, right, along), (top, bottom, down) = (
        _neighbours(position, length) for position, length in ((horizontal, logit.shape[2]), (vertical, logit.shape[1]))
    )
    frame = torch.arange(len(logit), device=logit.device)[:, None, None]
    corners = [
        (logit[frame, y[:, :, None], x[:, None, :]].double(), (high[:, :, None] * wide[:, None, :]).log())
        for y, high in ((top, 1 - down), (bottom, down))
        for x, wide in ((left, 1 - along), (right, along))
    ]
    forged, real = (
        torch.stack([F.logsigmoid(sign * corner) + weight for corner, weight in corners]).logsumexp(0)
        for sign in (1, -1)
    )
    return (forged - real).float()


def _neighbours(position: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pixels on both sides of positions (B, N), -1 to 1 over a length, and the share of the second, float64."""
    place = (((position.double() + 1) * length - 1) / 2).clamp(0, length - 1)
    first = place.floor().long()
    return first, (first + 1).clamp(max=length - 1), place - first


def _positions(count: int, span: Tensor, canvas_span: Tensor) -> Tensor:
    """Where the centres of the canvas's pixels lie along one axis of a crop, (B, count): -1 and 1 are its edges."""
    centres = (torch.arange(count, device=span.device, dtype=torch.float32) + 0.5) / count
    start, end = canvas_span[:, :1], canvas_span[:, 1:]
    position: Tensor = (start + centres * (end - start) - span[:, :1]) / (span[:, 1:] - span[:, :1])
    return 2 * position - 1
