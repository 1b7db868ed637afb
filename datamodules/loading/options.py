"""What is read of clips, how it is mixed and shown: the settings that a data module hands on to its loaders."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import DataValueError
from ..video.decoders import Backend

Triple = tuple[float, float, float]
"""A number for each of red, green and blue, in units of 0 to 1."""

LEAST: dict[str, float] = {
    "margin": 0.1,
    "size": 1,
    "frames_per_clip": 1,
    "eval_frames_per_clip": 1,
    "batch_size": 1,
    "num_workers": 0,
    "prefetch": 1,
    "open_clips": 1,
    "pool": 1,
    "seed": 0,
    "cache_gb": 0,
}
"""The smallest value of each number that has one."""


@dataclass(frozen=True)
class StreamOptions:
    """Settings of the loaders of a data module, alike in all its stages.

    A `FrameStream` takes no notice of `size`, `augment`, `mean` and `std`, of which a `CropTransform` is made, of
    `num_workers` and `prefetch`, which are an `EpochLoader`'s, and of `cache_gb`, of which a `CropCache` is made.

    Attributes:
        margin: Side of the crop in sides of the face, 0.1 or more; 1 is the tight square round it.
        size: Side of what the network sees, in pixels.
        frames_per_clip: Frames drawn from each training clip in an epoch.
        eval_frames_per_clip: Evenly spaced frames of each clip of an evaluation.
        balance: Equal numbers of real and fake frames in training, in the epoch and, give or take the pool's luck, in
            every batch.
        redraw: Draw other training frames in each epoch; False visits the first epoch's again, in another order.
        augment: Flip and light photometric changes in training.
        self_blend: Share of the originals' frames shown as fakes, 0 to less than 1, see `SelfBlend`: in training frames
            drawn anew in each epoch, else whole clips, evenly spaced, and the same fakes in every run.
        mean: By which each channel is normalised; None for what the model names, without a model ImageNet's.
        std: By which each channel is divided then; None for what the model names, without a model ImageNet's.
        batch_size: Frames a batch on each device; ranks and workers share an epoch by whole batches.
        num_workers: Processes that decode for each device, 0 for none; as many again for validation in a training.
        prefetch: Batches that each worker prepares ahead.
        open_clips: Clips that a worker has open at once in training.
        pool: Crops that a worker keeps in training to mix batches from.
        backend: What decodes, see `VideoReader`; the pictures are the same.
        seed: Of frames drawn, their order and their augmentation; None for the one given to `seed_everything`, which a
            data module asks for, or else 0.
        cache_gb: Size up to which decoded crops are kept on disk, in 10^9 bytes; 0 keeps none.

    Examples:
        >>> options = StreamOptions(size=128, batch_size=4)
        >>> options.frames_per_clip, options.backend
        (270, 'pyav')

    Raises:
        ValueError: A number is less than `LEAST` names, infinite or none.
    """

    margin: float = 1.3
    size: int = 299
    frames_per_clip: int = 270
    eval_frames_per_clip: int = 100
    balance: bool = False
    redraw: bool = True
    augment: bool = True
    self_blend: float = 0.0
    mean: Triple | None = None
    std: Triple | None = None
    batch_size: int = 32
    num_workers: int = 2
    prefetch: int = 2
    open_clips: int = 16
    pool: int = 128
    backend: Backend = "pyav"
    seed: int | None = None
    cache_gb: float = 0.0

    def __post_init__(self) -> None:
        for name, smallest in LEAST.items():
            value = getattr(self, name)
            if value is not None and not smallest <= value < math.inf:
                raise DataValueError(f"{name} is {value}, wanted {smallest} or more")
