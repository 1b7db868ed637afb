"""Maps made larger by repeating their borders."""

from __future__ import annotations

import torch
from torch import Tensor


def repeat_borders(map_: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """Repeats the outermost columns and rows of a map (B, C, h, w) as often as said.

    As `torch.nn.functional.pad` with "replicate" does, whose backward pass torch 2.14 cannot compile for maps that lie
    channels last.
    """
    if left or right:
        first, last = map_[..., :1].expand(-1, -1, -1, left), map_[..., -1:].expand(-1, -1, -1, right)
        map_ = torch.cat([first, map_, last], dim=3)
    if top or bottom:
        first, last = map_[..., :1, :].expand(-1, -1, top, -1), map_[..., -1:, :].expand(-1, -1, bottom, -1)
        map_ = torch.cat([first, map_, last], dim=2)
    return map_
