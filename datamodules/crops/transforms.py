"""From a crop to what the network sees; image and mask are moved together. The only door to albumentations."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np

from ..batch import CANVAS_SIZE, Batch
from ..clips.masks import Mask
from ..video.decoders import Image

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else its import asks PyPI for a newer release, and waits
import albumentations as A

from ..errors import DataValueError


class CropTransform:
    """Resizes and augments one crop; `finish` then normalises whole batches.

    In between, images and masks are bytes: a fifth of what the finished batch takes, to be passed between processes
    and to a GPU.

    Random draws are a pure function of the key a sample is called with, so a sample looks the same whichever worker
    makes it, and another key (the next epoch's) gives another look.

    Args:
        size: Side of the square that the network sees, in pixels.
        mean: Of red, green and blue, 0 to 1.
        std: Standard deviation of red, green and blue, above 0 and up to 1.
        augment: Horizontal flip, and light changes of brightness, contrast and colour.

    Raises:
        ValueError: Mean or standard deviation are none of normal images.

    Examples:
        >>> transform = CropTransform(96, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), augment=True)
        >>> image, mask = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8)
        >>> [array.shape for array in transform(image, mask, key=(0, 0, 0, 0))]
        [(3, 96, 96), (96, 96)]
    """

    def __init__(self, size: int, mean: Sequence[float], std: Sequence[float], augment: bool = False) -> None:
        for name, values, sound in (("mean", mean, mean), ("std", std, [value or math.nan for value in std])):
            if not all(0 <= value <= 1 for value in sound):
                raise DataValueError(f"{name} is {list(values)}, wanted three numbers in units of 0 to 1, such as 0.5")
        steps: list[A.BasicTransform] = [
            A.Resize(size, size, interpolation=cv2.INTER_LINEAR, mask_interpolation=cv2.INTER_NEAREST)
        ]
        if augment:
            steps += [
                A.HorizontalFlip(p=0.5),
                A.RandomBrightnessContrast(brightness_limit=0.1, contrast_limit=0.1, p=0.5),
                A.HueSaturationValue(hue_shift_limit=5, sat_shift_limit=10, val_shift_limit=0, p=0.3),
            ]
        self._steps = A.Compose(steps)
        self.mean = tuple(mean)
        self.std = tuple(std)

    def __call__(self, image: Image, mask: Mask, key: Sequence[int]) -> tuple[Image, Mask]:
        """Makes one crop what the network sees, in bytes.

        Args:
            image: (h, w, 3), RGB, 0 to 255.
            mask: (h, w), 0 real, 1 forged, 255 not known.
            key: Integers from 0 that name the sample: seed, epoch, clip, frame.

        Returns:
            Image uint8 (3, size, size), 0 to 255, mask uint8 (size, size).
        """
        # Compose would give every step the same seed, and so the same draw: all of them would be applied, or none.
        seeds = np.random.SeedSequence(key).generate_state(len(self._steps.transforms))
        for step, seed in zip(self._steps.transforms, seeds.tolist(), strict=True):
            step.set_random_seed(seed)
        moved = self._steps(image=image, mask=mask)
        pixels = np.empty((3, *moved["mask"].shape), np.uint8)
        cv2.split(moved["image"], list(pixels))  # five times as fast as NumPy's transpose, of which this is the result
        return pixels, moved["mask"]

    def finish(self, batch: Batch) -> Batch:
        """Makes of bytes what a network takes, wherever the batch lies: image float32, normalised, masks int64."""
        image = batch["image"].float().div_(255)
        mean, std = (image.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        normalised = image.sub_(mean).div_(std)  # in place: a batch of 32 at 299 pixels is 34 MB
        finished: Batch = {**batch, "image": normalised, "mask": batch["mask"].long()}
        if "canvas" in batch:
            finished["canvas"] = batch["canvas"].long()
        if "canvas_own" in batch:
            finished["canvas_own"] = batch["canvas_own"].long()
        return finished


def on_canvas(truth: Mask) -> Mask:
    """Resizes a truth (h, w) by nearest to uint8 (256, 256), as `CropTransform` does masks."""
    return cast("Mask", cv2.resize(truth, (CANVAS_SIZE, CANVAS_SIZE), interpolation=cv2.INTER_NEAREST))
