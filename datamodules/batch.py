"""The batch: the contract between what reads the data and what learns from it."""

from __future__ import annotations

from typing import TypedDict

from torch import Tensor


class Batch(TypedDict):
    """What a loader yields.

    A sample is the same without the first axis, its image and mask still bytes: see `CropTransform`.

    Attributes:
        image: float32 (B, 3, H, W), RGB, normalised by the mean and standard deviation of the encoder's weights.
        mask: int64 (B, H, W), 0 real, 1 forged, 255 not known. A frame wholly 255 still counts for frame and video.
        label: int64 (B,), 0 real, 1 fake.
        method: int64 (B,), position in `METHODS`. A self-blended fake keeps clip, frame and box of its original.
        clip: int64 (B,), row of the index, so that four fakes of one pair are four clips.
        frame: int64 (B,), position in the clip.
        box: float32 (B, 4), x0 y0 x1 y1 of the crop in pixels of the video frame.
    """

    image: Tensor
    mask: Tensor
    label: Tensor
    method: Tensor
    clip: Tensor
    frame: Tensor
    box: Tensor


Sample = Batch
"""One sample: a `Batch` without its first axis, image and mask still uint8."""
