"""Heads drawn from numbers: no two alike, lit from one side, with eyes and a mouth that move."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from .charts import Face, Plane, hill, shading

HEAD_LEFT, HEAD_TOP, HEAD_RIGHT, HEAD_BOTTOM = -1.45, -1.75, 1.45, 1.3
"""What the picture of a head shows, in half-heights of its face."""

SKINS = np.array([[88, 58, 44], [141, 97, 72], [188, 140, 112], [217, 172, 146], [233, 196, 178]], np.float32)
HAIRS = np.array(
    [[28, 24, 24], [62, 43, 32], [112, 78, 48], [176, 142, 92], [150, 146, 142], [120, 56, 30]], np.float32
)
EYE_COLOURS = np.array([[58, 38, 26], [92, 70, 40], [74, 104, 124], [84, 108, 76]], np.float32)


class PersonLook(NamedTuple):
    """What makes a person: colours 0 to 255, lengths in half-heights of the face."""

    skin: Plane
    hair: Plane
    eye: Plane
    cloth: Plane
    ratio: float
    jaw: float
    eye_size: float
    mouth_width: float
    lip: float
    nose: float
    hairline: float
    hair_volume: float
    hair_length: float
    beard: float
    glasses: bool
    pores: float
    light: tuple[float, float, float]
    ambient: float


def random_look(rng: np.random.Generator) -> PersonLook:
    """Draws a person."""
    tone = rng.uniform(0, len(SKINS) - 1.001)
    skin = SKINS[int(tone)] + (tone % 1) * (SKINS[int(tone) + 1] - SKINS[int(tone)])
    return PersonLook(
        skin=np.asarray(skin * rng.uniform(0.92, 1.06, 3), np.float32),
        hair=np.asarray(HAIRS[rng.integers(len(HAIRS))] * rng.uniform(0.8, 1.15), np.float32),
        eye=EYE_COLOURS[rng.integers(len(EYE_COLOURS))],
        cloth=np.asarray(rng.uniform(20, 200, 3), np.float32),
        ratio=rng.uniform(0.7, 0.82),
        jaw=rng.uniform(0.08, 0.24),
        eye_size=rng.uniform(0.88, 1.12),
        mouth_width=rng.uniform(0.3, 0.38),
        lip=rng.uniform(0.045, 0.075),
        nose=rng.uniform(0.7, 1.3),
        hairline=rng.uniform(-0.95, -0.7),
        hair_volume=rng.uniform(0.04, 0.26),
        hair_length=rng.uniform(-0.4, 0.5),
        beard=max(0.0, rng.uniform(-0.8, 0.8)),
        glasses=bool(rng.random() < 0.2),
        pores=rng.uniform(1.5, 4.0),
        light=(rng.choice([-1, 1]) * rng.uniform(0.2, 0.9), rng.uniform(-0.8, -0.1), rng.uniform(0.7, 1.2)),
        ambient=rng.uniform(0.25, 0.55),
    )


def soften_edge(inside: Plane, width: float) -> Plane:
    """Turns a signed distance, positive inside, into coverage from 0 to 1 with an edge of `width`."""
    return np.asarray(np.clip(inside / width + 0.5, 0, 1), np.float32)


def cover(canvas: Plane, colour: Plane | tuple[float, float, float], coverage: Plane) -> None:
    """Paints a colour over a canvas (H, W, 3), in place."""
    canvas += (np.asarray(colour, np.float32) - canvas) * coverage[..., None]


def noise(rng: np.random.Generator, shape: tuple[int, ...], across: float, down: float) -> Plane:
    """Returns grains of the size `across` x `down` pixels, mean 0, standard deviation 1."""
    grains = cv2.GaussianBlur(rng.standard_normal(shape, dtype=np.float32), (0, 0), across, sigmaY=down)
    return np.asarray((grains - grains.mean()) / grains.std(), np.float32)


class Head:
    """One person's head: a still picture, on which eyes and mouth are painted anew in every frame.

    Args:
        look: The person.
        density: Pixels of the picture a half-height of the face.
        rng: Source of hair and pores.
    """

    def __init__(self, look: PersonLook, density: float, rng: np.random.Generator) -> None:
        self.look, self.density = look, density
        self.edge = 1.5 / density
        width, height = round((HEAD_RIGHT - HEAD_LEFT) * density), round((HEAD_BOTTOM - HEAD_TOP) * density)
        x = HEAD_LEFT + (np.arange(width, dtype=np.float32) + 0.5) / density
        y = HEAD_TOP + (np.arange(height, dtype=np.float32) + 0.5) / density
        self.x, self.y = np.meshgrid(x, y)
        self.u = self.x / look.ratio
        self._draw(rng)

    def _draw(self, rng: np.random.Generator) -> None:
        look, u, v, edge = self.look, self.u, self.y, self.edge
        outline = 1 - look.jaw * np.clip(v, 0, 1.3) ** 2
        skull = soften_edge(1 - np.hypot(self.x / (look.ratio * 1.02 * outline), (v + 0.14) / 1.14), edge)
        ears = soften_edge(1 - np.hypot((np.abs(u) - 1.02) / 0.12, (v + 0.02) / 0.22), 0.1)
        volume = look.hair_volume
        mane = soften_edge(1 - np.hypot(self.x / (look.ratio * 1.04 + volume), (v + 0.42) / (0.98 + volume)), 0.05)
        fringe = look.hairline + 0.1 * u**2 + 0.02 * noise(rng, u.shape, 1.5, 4)
        sides = np.minimum(np.abs(u) - 0.9, look.hair_length - v)
        hair = mane * soften_edge(np.maximum(fringe - v, sides), 0.06)

        grain = [noise(rng, u.shape, size, size) for size in (0.6, 1.3, 5.0)]
        pores = look.pores * (0.6 * grain[0] + 0.8 * grain[1] + 0.25 * grain[2])
        skin = np.broadcast_to(look.skin, (*u.shape, 3)).astype(np.float32)
        for side in (-1, 1):
            cover(skin, look.skin * (1.04, 0.86, 0.84), 0.5 * hill(u, v, (0.5 * side, 0.22), (0.18, 0.15)))
        lit = shading(u, v, look.light, look.ambient, look.nose)
        skin = skin * (0.35 + 0.75 * lit)[..., None] + pores[..., None]
        chin = soften_edge(v - 0.34 - 0.35 * (1 - np.abs(u)) * (v < 0.62), 0.25)
        cover(skin, look.hair + 14 * grain[0][..., None], look.beard * chin * (0.7 + 0.15 * grain[1]).clip(0, 1))
        for side in (-1, 1):
            arch = np.abs(v + 0.43 + 0.5 * (0.02 - (np.abs(u) - 0.4) ** 2))
            brow = soften_edge(0.045 - arch, 0.04) * soften_edge(0.24 - np.abs(u - 0.42 * side), 0.08)
            cover(skin, look.hair, 0.85 * brow * (0.8 + 0.2 * grain[0]).clip(0, 1))
            cover(
                skin,
                look.skin * 0.3,
                0.7 * soften_edge(1 - np.hypot((u - 0.11 * side) / 0.06, (v - 0.31) / 0.028), 0.6),
            )
        strands = noise(rng, u.shape, 0.8, 7)[..., None]
        bright = 0.45 + 0.6 * shading(u * 0.7, (v + 0.3) * 0.8, look.light, look.ambient, 0)[..., None]
        cover(skin, look.skin * 0.8, ears * (1 - skull))
        skin += (look.hair * bright * (1 + 0.22 * strands) - skin) * hair[..., None]
        self.still, self.shade = skin, 0.35 + 0.75 * lit
        self.alpha = np.maximum(np.maximum(skull, ears), hair)

    def picture(self, face: Face, blink: float, gaze: float) -> Plane:
        """Paints one moment.

        Args:
            face: Only its mouth is looked at.
            blink: Openness of the eyes, 0 shut to 1.
            gaze: Sideways look, -1 to 1.

        Returns:
            Premultiplied colours and coverage, (H, W, 4); coverage from 0 to 1.
        """
        canvas = self.still.copy()
        for side in (-1, 1):
            self._eye(canvas, 0.4 * side, blink, gaze)
        self._mouth(canvas, face.mouth)
        if self.look.glasses:
            self._glasses(canvas)
        return np.dstack([canvas * self.alpha[..., None], self.alpha])

    def _window(self, left: float, top: float, right: float, bottom: float) -> tuple[slice, slice]:
        columns = [round((side * self.look.ratio - HEAD_LEFT) * self.density) for side in (left, right)]
        rows = [round((side - HEAD_TOP) * self.density) for side in (top, bottom)]
        return slice(*rows), slice(*columns)

    def _eye(self, canvas: Plane, at: float, blink: float, gaze: float) -> None:
        look, here = self.look, self._window(at - 0.3, -0.42, at + 0.3, 0.02)
        part, u, v, shade = canvas[here], self.u[here] - at, self.y[here] + 0.2, self.shade[here][..., None]
        across = 1 - (u / (0.19 * look.eye_size)) ** 2
        lid = 0.02 + 0.085 * look.eye_size * blink * across
        opening = soften_edge(np.minimum(lid - np.abs(v), 0.1 * across), self.edge) * min(1.0, 4 * blink)
        cover(part, look.skin * 0.55, 0.5 * hill(u, v, (0, -0.02), (0.16, 0.07)))
        inside = np.broadcast_to(np.array([225, 220, 214], np.float32) * shade, part.shape).astype(np.float32)
        radius = np.hypot((u - 0.05 * gaze) * look.ratio, v)
        cover(inside, look.eye, soften_edge(0.068 - radius, self.edge))
        cover(inside, (12, 10, 10), soften_edge(0.032 - radius, self.edge))
        cover(inside, (245, 245, 245), soften_edge(0.015 - np.hypot(u - 0.05 * gaze - 0.02, v + 0.025), self.edge))
        cover(inside, (30, 22, 20), 0.5 * soften_edge(v + lid * 0.4, 0.06)[::-1] * 0.6)
        part += (inside - part) * opening[..., None]
        upper = soften_edge(0.016 - np.abs(v + np.maximum(lid, 0.012)), self.edge) * soften_edge(across, 0.3)
        cover(part, look.skin * 0.18, 0.85 * upper)

    def _mouth(self, canvas: Plane, opening: float) -> None:
        look, here = self.look, self._window(-0.62, 0.34, 0.62, 0.9)
        part, u, v, shade = canvas[here], self.u[here], self.y[here] - 0.52, self.shade[here][..., None]
        across = np.clip(1 - (u / look.mouth_width) ** 2, 0, 1)
        gap = 0.13 * opening * across
        bow = 1 - 0.3 * hill(u, v, (0, 0), (0.05, 9))
        upper, lower = -0.3 * gap - look.lip * across**0.6 * bow, gap + 1.15 * look.lip * across**0.7
        lips = soften_edge(np.minimum(v - upper, lower - v), 2 * self.edge) * soften_edge(across - 0.02, 0.05)
        red = look.skin * (0.86, 0.58, 0.56) * shade
        cover(part, look.skin * 0.75, 0.35 * hill(u, v, (0, 0.14 + 0.13 * opening), (0.2, 0.03)))
        part += (red + 10 * hill(u, v, (0.03, 0.05 + 0.1 * opening), (0.1, 0.02))[..., None] - part) * lips[..., None]
        inner = soften_edge(np.minimum(v + 0.3 * gap, gap - v) + 0.006, self.edge) * soften_edge(across - 0.03, 0.05)
        cover(part, (46, 18, 18), inner)
        cover(part, (205, 198, 186), 0.8 * inner * soften_edge(0.035 - v - 0.3 * gap, 0.02) * min(1.0, 2 * opening))

    def _glasses(self, canvas: Plane) -> None:
        frame = np.abs(np.hypot((np.abs(self.u) - 0.4) / 1.15, (self.y + 0.18) / 0.95) - 0.24) - 0.016
        bridge = np.maximum(np.abs(self.y + 0.22) - 0.014, np.abs(self.u) - 0.14)
        cover(canvas, (24, 22, 24), soften_edge(-np.minimum(frame, bridge), self.edge))
