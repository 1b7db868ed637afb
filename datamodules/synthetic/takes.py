"""Recordings of drawn people: how they move, what they wear, how they are filmed."""

from __future__ import annotations

import cv2
import numpy as np

from .charts import Face, Plane, Take, hill
from .heads import HEAD_LEFT, HEAD_TOP, Head, PersonLook, cover, noise, random_look, soften_edge
from .scenes import random_background, random_camera


def drift(rng: np.random.Generator, frames: int, slowest: float) -> Plane:
    """Returns a smooth wandering number a frame, about -1 to 1; `slowest` is the longest wave in frames."""
    t = np.arange(frames)
    waves = [np.sin(2 * np.pi * (t / slowest * n + rng.random())) / n for n in (1, 2.3, 4.1)]
    return np.asarray(np.sum(waves, axis=0) / 1.4, np.float32)


def speech(rng: np.random.Generator, frames: int) -> Plane:
    """Returns the opening of a talking mouth, one number a frame, 0 to 1."""
    opening = 0.35 + 0.45 * drift(rng, frames, rng.uniform(13, 19)) + 0.25 * drift(rng, frames, 37)
    return np.asarray(np.clip(opening, 0, 1), np.float32)


def blinks(rng: np.random.Generator, frames: int) -> Plane:
    """Returns the openness of the eyes, one number a frame, 0 to 1; shut for two frames every second or two."""
    since = (np.arange(frames) + rng.integers(40)) % rng.integers(24, 48)
    return np.asarray(np.clip(np.abs(since - 2.5) / 2 - 0.25, 0.05, 1), np.float32)


def film(rng: np.random.Generator, frames: int, width: int, height: int, head: Head | None = None) -> Take:
    """Draws a person and films it talking.

    Args:
        rng: Decides on everything.
        frames: Length.
        width: Pixels.
        height: Pixels.
        head: A person to film once more; by default a new one.
    """
    look, camera = random_look(rng), random_camera(rng)
    size = height * rng.uniform(0.225, 0.265)
    background = random_background(rng, width, height)
    head = Head(look, 1.3 * size, rng) if head is None else head
    look = head.look
    x = width * (rng.uniform(0.44, 0.56) + 0.025 * drift(rng, frames, 70))
    y = height * (rng.uniform(0.5, 0.55) + 0.015 * drift(rng, frames, 50))
    scale = size * (1 + 0.03 * drift(rng, frames, 90))
    roll = np.radians(rng.uniform(-7, 7) + 4 * drift(rng, frames, 60))
    mouth, open_eyes, gaze = speech(rng, frames), blinks(rng, frames), drift(rng, frames, 80)
    body = shoulders(look, size, x[0], y[0], width, height, rng)
    cover(background, body[..., :3], body[..., 3])
    faces, images = [], np.empty((frames, height, width, 3), np.uint8)
    for t in range(frames):
        face = Face(x[t], y[t], scale[t] * look.ratio, scale[t], roll[t], mouth[t])
        picture = place(head.picture(face, open_eyes[t], gaze[t]), face, head.density, width, height)
        images[t] = camera.expose(background * (1 - picture[..., 3:]) + picture[..., :3], rng)
        faces.append(face)
    return Take(images, faces)


def place(picture: Plane, face: Face, density: float, width: int, height: int) -> Plane:
    """Lays the picture of a head, (h, w, 4), where the face is in a frame: (height, width, 4)."""
    scale = face.height / density
    cos, sin = scale * np.cos(face.roll), scale * np.sin(face.roll)
    turn = np.array([[cos, -sin], [sin, cos]])
    shift = np.array([face.x, face.y]) + turn @ np.array([HEAD_LEFT, HEAD_TOP]) * density
    return np.asarray(cv2.warpAffine(picture, np.column_stack([turn, shift]), (width, height)), np.float32)


def shoulders(
    look: PersonLook, size: float, x: float, y: float, width: int, height: int, rng: np.random.Generator
) -> Plane:
    """Paints neck and clothes under a head: (height, width, 4), coverage last."""
    u, v = np.meshgrid(
        (np.arange(width, dtype=np.float32) - x) / size, (np.arange(height, dtype=np.float32) - y) / size
    )
    neck = soften_edge(0.48 + 0.3 * np.clip(v - 1.2, 0, 1) ** 2 - np.abs(u), 0.03) * (v > 0)
    cloth = soften_edge(v - 1.35 - 0.16 * np.abs(u) ** 1.6 + 0.25 * hill(u, v, (0, 1.3), (0.3, 9)), 0.03)
    folds = 1 + 0.12 * noise(rng, (height, width), 9, 14) + 0.06 * noise(rng, (height, width), 0.9, 0.9)
    canvas = np.zeros((height, width, 3), np.float32)
    cover(canvas, look.skin * 0.62, neck)
    cover(canvas, (0, 0, 0), 0.45 * neck * hill(u, v, (0, 0.95), (0.5, 0.16)))
    canvas += (look.cloth * (folds * (0.75 - 0.25 * np.sign(look.light[0]) * -u / 2))[..., None] - canvas) * cloth[
        ..., None
    ]
    return np.dstack([canvas, np.maximum(neck, cloth)])
