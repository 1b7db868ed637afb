"""What surrounds a drawn head: the wall behind it and the camera before it."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from ..video.decoders import Image
from .charts import Plane


class Camera(NamedTuple):
    """How a recording looks, the same in all its frames.

    Attributes:
        blur: Standard deviation of the lens's spot, pixels; 0 is in focus.
        gain: Factor a channel, (3,): exposure and white balance.
        gamma: Exponent of the brightness.
        noise: Standard deviation of the sensor's noise, grey levels.
    """

    blur: float
    gain: Plane
    gamma: float
    noise: float

    def expose(self, scene: Plane, rng: np.random.Generator) -> Image:
        """Takes one frame of a scene (H, W, 3), 0 to 255."""
        height, width = scene.shape[:2]
        if self.blur > 0.2:
            scene = np.asarray(cv2.GaussianBlur(scene, (0, 0), self.blur), np.float32)
        levels = 255 * (np.clip(scene * self.gain, 0, 255) / 255) ** self.gamma
        grain = rng.standard_normal((height, width, 1), dtype=np.float32)
        tint = cv2.resize(rng.standard_normal((height // 2, width // 2, 3), dtype=np.float32), (width, height))
        return np.asarray(np.clip(np.rint(levels + self.noise * (grain + 0.4 * tint)), 0, 255), np.uint8)


def random_camera(rng: np.random.Generator) -> Camera:
    """Draws a camera; people differ far more in sharpness, noise and colour than a forgery changes them."""
    return Camera(
        blur=rng.choice([0.0, rng.uniform(0.3, 1.3)]),
        gain=np.asarray(rng.uniform(0.75, 1.2) * rng.uniform(0.88, 1.12, 3), np.float32),
        gamma=rng.uniform(0.8, 1.3),
        noise=rng.uniform(0.5, 3.5),
    )


def random_background(rng: np.random.Generator, width: int, height: int) -> Plane:
    """Draws a wall with shelves, pictures and stripes: (height, width, 3), 0 to 255."""
    wall = np.linspace(_mute(rng), _mute(rng), width, dtype=np.float32)
    scene = np.broadcast_to(wall, (height, width, 3)).copy()
    for _ in range(rng.integers(14, 40)):
        left, top = int(rng.integers(-20, width)), int(rng.integers(-20, height))
        right, bottom = left + int(rng.integers(6, width // 4)), top + int(rng.integers(6, height // 3))
        colour = _mute(rng).tolist()
        if rng.random() < 0.7:
            cv2.rectangle(scene, (left, top), (right, bottom), colour, -1 if rng.random() < 0.7 else 2)
        else:
            cv2.circle(scene, (left, top), max(4, (right - left) // 2), colour, -1)
    scene += 6 * cv2.GaussianBlur(rng.standard_normal(scene.shape, dtype=np.float32), (0, 0), 0.8)
    return np.asarray(cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.4, 2.5)), np.float32)


def _mute(rng: np.random.Generator) -> Plane:
    return np.asarray(rng.uniform(25, 225) + rng.uniform(-1, 1, 3) * rng.choice([12, 25, 60]), np.float32).clip(5, 250)
