"""A fake made of one real face crop: a changed copy of it, blended into it inside a face-shaped mask."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from cv2.typing import MatLike

from ..clips.index import METHODS
from ..clips.masks import Mask
from ..video.decoders import Image
from .read import Crop

RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)
"""How much of the copy is seen where most of it is, drawn evenly, as in [1]."""

SHIFT = (0.03, 0.015)
"""Farthest the copy is moved, in widths and in heights of the crop, as in [1]."""

SCALE = 0.95
"""The copy is shrunk to this or enlarged to its inverse at most, as in [1]."""

OUTLINE_POINTS = 64

RIPPLES = np.arange(2, 6)
"""Waves round the outline; one wave would only move it."""


class SelfBlend:
    """Forges a real face crop with itself, after [1].

    A copy of the crop is moved, blurred or sharpened, recoloured, and blended in where an outline like a face's lies
    round the crop's middle. The seam, and colours and sharpness that differ on its two sides, are what face swaps
    have in common; what one method alone leaves behind is not there to be learnt.

    In [1] either of the two pictures is changed, here always the copy: outside the mask every pixel is the real
    frame's, to the bit. Inside, the soft edge runs inwards from the outline, and every pixel with any weight of the
    copy is forged.

    Random draws are a pure function of the key, as those of `CropTransform`, and independent of them.

    [1] Shiohara and Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR 2022.

    Args:
        margin: Side of the crop in sides of the face, which lies in its middle but at a frame's border.

    Examples:
        >>> image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        >>> fake, mask = SelfBlend()(image, key=(0, 0, 0, 0))
        >>> bool((fake == image)[mask == 0].all()), bool((fake == image)[mask == 1].all())
        (True, False)
    """

    def __init__(self, margin: float = 1.3) -> None:
        self.margin = max(1.0, margin)

    def __call__(self, image: Image, key: Sequence[int]) -> tuple[Image, Mask]:
        """Makes a fake.

        Args:
            image: A real crop, (h, w, 3), RGB, 0 to 255.
            key: Integers from 0 that name the sample: seed, epoch, clip, frame.

        Returns:
            Image uint8 (h, w, 3), mask uint8 (h, w), 1 where forged, else 0 and the image unchanged.
        """
        random = _random(key, 1)
        height, width = image.shape[:2]
        weight = self._weight(height, width, random)
        mask: Mask = (weight > 0).astype(np.uint8)
        x, y, across, down = cv2.boundingRect(mask)
        here = np.s_[y : y + down, x : x + across]
        copy = _recolour(_refocus(_move(image, (x, y, across, down), random), random), random)
        ratio = weight[here] * np.float32(random.choice(RATIOS) / 255)
        blended = cv2.blendLinear(copy, image[here].copy(), ratio, 1 - ratio)
        fake = image.copy()
        fake[here] = cv2.copyTo(blended, mask[here], image[here].copy())  # what has no weight is not even rounded
        return fake, mask

    def _weight(self, height: int, width: int, random: np.random.Generator) -> MatLike:
        """How much of the copy is seen, 0 to 255: a rippled ellipse whose inside fades towards the outline.

        Measured in sides of the face, whose square is as high as it and wider; the fade takes up to 0.08 of it. One
        outline in four holds only mouth and chin, for that is where NeuralTextures edits most.
        """
        face = np.array([width, height]) / self.margin
        if random.random() < 0.25:
            middle, half = random.uniform((-0.04, 0.18), (0.04, 0.26)), random.uniform((0.22, 0.18), (0.36, 0.26))
        else:
            middle, half = random.uniform((-0.04, -0.04), (0.04, 0.04)), random.uniform((0.34, 0.4), (0.44, 0.5))
        angle = np.linspace(0, 2 * np.pi, OUTLINE_POINTS, endpoint=False)
        waves = np.cos(RIPPLES * angle[:, None] + random.uniform(0, 2 * np.pi, len(RIPPLES)))
        radius = 1 + waves @ (random.uniform(0, 0.2, len(RIPPLES)) / RIPPLES)
        ellipse = np.stack([np.cos(angle), np.sin(angle)], axis=1) * half * radius[:, None]
        points = np.array([width, height]) / 2 + (middle + ellipse) * face
        inside: Mask = np.zeros((height, width), np.uint8)
        cv2.fillPoly(inside, [np.round(points * 16).astype(np.int32)], 255, shift=4)  # in sixteenths of a pixel
        size = 2 * round(random.uniform(0.005, 0.04) * min(face)) + 1
        soft = cv2.blur(cv2.blur(inside, (size, size)), (size, size))
        return cv2.addWeighted(soft, 2, soft, 0, -255)  # a half, as on the outline, becomes 0


def _move(image: Image, box: tuple[int, int, int, int], random: np.random.Generator) -> MatLike:
    """Shifts and scales about the middle; cuts a box, x y width height, out of the outcome."""
    height, width = image.shape[:2]
    x, y, across, down = box
    scale = random.uniform(SCALE, 1 / SCALE)
    shift = random.uniform(-1, 1, 2) * SHIFT * (width, height)
    left, top = (1 - scale) * np.array([width, height]) / 2 + shift - (x, y)
    there = np.array([[scale, 0, left], [0, scale, top]])
    return cv2.warpAffine(image, there, (across, down), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _refocus(image: MatLike, random: np.random.Generator) -> MatLike:
    """Leaves it as it is, blurs it, takes resolution from it, or sharpens it, each as often.

    By half a pixel to one and a half; by a factor of one and a half to three, as a face drawn at 128 pixels has less
    than one filmed at 300 ([1]: 2 or 4); by half to one and a half of what a blur of one pixel takes.
    """
    height, width = image.shape[:2]
    kind, strength = random.integers(4), random.uniform(0.5, 1.5)
    if kind == 1:
        return cv2.GaussianBlur(image, (5, 5), strength)
    if kind == 2:
        factor = 1.5 * strength + 0.75
        coarse = (max(1, round(width / factor)), max(1, round(height / factor)))
        return cv2.resize(cv2.resize(image, coarse, interpolation=cv2.INTER_AREA), (width, height))
    if kind == 3:
        return cv2.addWeighted(image, 1 + strength, cv2.GaussianBlur(image, (5, 5), 1), -strength, 0)
    return image


def _recolour(image: MatLike, random: np.random.Generator) -> MatLike:
    """Changes hue, saturation, contrast and brightness, and each channel's level, all in one matrix.

    Hue turns about the grey axis by up to 6 degrees, saturation and contrast change by up to a fifth and a tenth,
    brightness and each channel by up to 10 and 8 of 255: seen beside the seam, not beyond what cameras do.
    """
    turn, saturation, contrast = random.uniform((-0.1, 0.8, 0.9), (0.1, 1.2, 1.1))
    level = random.uniform(-10, 10) + random.uniform(-8, 8, 3)
    grey = np.full((3, 3), 1 / 3)
    aside = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)  # at right angles to grey and to the colour
    colour = np.cos(turn) * (np.eye(3) - grey) + np.sin(turn) * aside
    matrix = contrast * (grey + saturation * colour)
    mean = np.array(cv2.mean(image)[:3])
    offset = mean + level - matrix @ mean
    return cv2.transform(image, np.column_stack([matrix, offset]))


def blend_with_itself(crop: Crop, blend: SelfBlend, key: Sequence[int]) -> Crop:
    """The fake made of an original's crop; its method is SelfBlended."""
    image, mask = blend(crop.image, key)
    canvas = crop.canvas and crop.canvas.from_mask(mask, crop.box)
    return crop._replace(image=image, mask=mask, label=1, method=METHODS.index("SelfBlended"), canvas=canvas)


def is_blended(key: Sequence[int], share: float) -> bool:
    """Whether the sample of a key is one of a share of all; a pure function, independent of all other draws."""
    return bool(_random(key, 0).random() < share)


def _random(key: Sequence[int], stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(key, spawn_key=(stream,)))
