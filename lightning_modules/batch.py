"""What these modules expect of a batch: plain tensors under fixed keys, from whatever loads the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # names and values below are read by reports, which do without torch
    from torch import Tensor

Batch: TypeAlias = "Mapping[str, Tensor]"
"""What a loader yields.

`image`: float32 (B, 3, H, W), RGB, normalised by the `mean` and `std` of the module.
`mask`: int64 (B, H, W), 0 real, 1 forged, 255 not known. Segmentation only.
`label`: int64 (B,), 0 real, 1 fake.
`method`: int64 (B,), position in `METHODS`; without it no metric per method is computed, and `pixel_classes: methods`
is refused.
`clip`: int64 (B,), one number a video, so that four fakes of one pair are four clips; without it no metric per video.
`frame`: int64 (B,), position in the video; it says in what is measured which frame is meant.
`canvas`: int64 (B, h, w), values of `mask`. The truth that pixel metrics take, where that is not `mask` itself.
`canvas_own`: the same of the labels that were trained on, where those are others.
`box`, `canvas_box`: float32 (B, 4), x0 y0 x1 y1 in pixels of the video frame: what image and canvas show of it.

Other keys pass through unread.
"""

UNKNOWN = 255
"""Value of `mask` where the truth is not known: no loss, no gradient, no pixel metric."""

METHODS = (
    "original",
    "Deepfakes",
    "Face2Face",
    "FaceSwap",
    "NeuralTextures",
    "FaceShifter",
    "DeepFakeDetection",
    "SelfBlended",
)
"""Names of the values of `method`, as FaceForensics++ spells them; the last is made of originals while training."""
