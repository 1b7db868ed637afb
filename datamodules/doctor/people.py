"""Looks for the same person in two clips, without any trained model.

A face is set upright by its mask's outline, freed of light and colour cast as far as plain arithmetic can, and described
by five things: its fine structure, its colours against each other, its hair against its skin, the detail of its hairline
and its shape. Two faces are alike when all five are, by the measure of all other pairs of the same tree.

What it can find is a person filmed alike: the same recording cut or encoded otherwise, the same hair, before another
wall or under another light. What it cannot find is a person years later, with another hair style or pose; for that take
a trained face embedding. Nothing here was measured on real faces: what it names is for a human to look at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..masks import Mask
from ..video import Image

Plane = NDArray[np.float32]

ALIGNING = ("Face2Face", "NeuralTextures", "DeepFakeDetection", "FaceSwap", "Deepfakes")
"""Whose mask shows how a face lies: a rendered model follows it best, a rectangle worst."""

SIDE = 72
"""Pixels of a portrait in both directions."""

LEFT, TOP, BOTTOM = -1.45, -1.6, 1.15
"""What a portrait shows, in half-axes of the face's outline: it ends 1.45 to the left and the right of its centre."""

FINE, COARSE = 48, 12
"""Sides of the pictures in which structure and colours are compared."""

FEWEST = 12
"""Faces without which there is nothing to measure a likeness by."""

FALSE_ALARMS, SLACK = 0.05, 1.2
"""Trees in which one pair of strangers would be named, were the likeness of strangers normal, and what is added
because it is not. In fifteen trees of 24 drawn people the most alike strangers reached 0.96 of this bound."""

WEIGHTS = (1.0, 1.0, 1.0, 2.0, 1.0)
"""Of the five descriptions; the hairline's detail told drawn people apart best."""


class Likeness(NamedTuple):
    """What tells a person from others, the median of some frames.

    Attributes:
        structure: Brightness without its slow changes, made symmetric: light from one side cancels.
        colours: Logarithms of red and blue over green against the face's mean: no white balance changes them.
        hair: Colour and brightness above the forehead against the face.
        detail: Brightness without its slow changes at the hairline.
        shape: Logarithm of the outline's height over its width.
    """

    structure: Plane
    colours: Plane
    hair: Plane
    detail: Plane
    shape: Plane


class Suspicion(NamedTuple):
    """Two targets of different splits that look alike.

    Attributes:
        one: Id.
        other: Id.
        score: How far the pair lies from the median of all pairs, in robust standard deviations.
    """

    one: str
    other: str
    score: float


def describe(images: Sequence[Image], outlines: Sequence[Mask]) -> Likeness | None:
    """Describes the person of a clip.

    Args:
        images: Frames.
        outlines: Where the face is in each, (H, W), 1 inside.

    Returns:
        None without a frame.
    """
    if not images:
        return None
    frames = [_portrait(image, outline) for image, outline in zip(images, outlines, strict=True)]
    levels = np.median([np.log(frame.astype(np.float32) + 6) for frame in frames], axis=0).astype(np.float32)
    light = levels.mean(axis=2)
    structure = _structure(light, 5)
    even = (levels + levels[:, ::-1]) / 2
    ratios = np.stack([even[..., 0] - even[..., 1], even[..., 2] - even[..., 1], even.mean(axis=2)], axis=2)
    mean = (ratios * FACE[..., None]).sum((0, 1)) / FACE.sum()
    slow = np.stack([_blur(ratios[..., channel], 2.5, HEAD) for channel in range(3)], axis=2) - mean
    shapes = [np.log(down / across) for _, _, across, down in map(_axes, outlines)]
    return Likeness(
        _small((structure + structure[:, ::-1]) / 2 * WINDOW, FINE)[_small(WINDOW, FINE) > 0.3],
        _small(slow[..., :2], COARSE)[_small(HEAD, COARSE) > 0.3].ravel(),
        _small(slow, COARSE)[_small(HAIR, COARSE) > 0.3].mean(axis=0),
        (_structure(light, 3) * HAIRLINE)[HAIRLINE.any(axis=1)].ravel(),
        np.array([np.median(shapes)], np.float32),
    )


def suspicions(faces: Mapping[str, Likeness], home: Mapping[str, str]) -> list[Suspicion]:
    """Names pairs of different splits that look more alike than strangers do, the most alike first.

    Args:
        faces: By target; at least `FEWEST`, or nothing is said.
        home: Split of each target; others are only a measure for these.
    """
    if len(faces) < FEWEST:
        return []
    names = sorted(faces)
    scores = scores_of([faces[name] for name in names])
    bound = bound_of(len(names))
    rows, columns = np.nonzero(np.triu(scores > bound, 1))
    pairs = [Suspicion(names[a], names[b], float(scores[a, b])) for a, b in zip(rows, columns, strict=True)]
    across = [pair for pair in pairs if {pair.one, pair.other} <= home.keys() and home[pair.one] != home[pair.other]]
    return sorted(across, key=lambda pair: -pair.score)


def bound_of(people: int) -> float:
    """The score above which a pair is named; it rises with the number of pairs, from 4.3 for 24 people to 6 for 1000."""
    return SLACK * NormalDist().inv_cdf(1 - FALSE_ALARMS / (people * (people - 1) / 2))


def scores_of(faces: Sequence[Likeness]) -> NDArray[np.float64]:
    """How alike the faces are, (N, N), in robust standard deviations of all pairs."""
    total = np.zeros((len(faces), len(faces)))
    for number, weight in enumerate(WEIGHTS):
        those = np.array([face[number] for face in faces], np.float64)
        if Likeness._fields[number] == "detail":  # a pattern, more or less sharp
            those -= those.mean(axis=0)
            those /= np.linalg.norm(those, axis=1, keepdims=True) + 1e-9
            nearness = -np.log(np.maximum(1 - those @ those.T, 0) + 0.1)
        else:
            squares = (those**2).sum(axis=1)
            apart = np.maximum(squares[:, None] + squares - 2 * those @ those.T, 0)
            nearness = -np.log(apart + 0.02 * np.median(apart) + 1e-12)
        np.fill_diagonal(nearness, np.nan)
        usual = np.nanmean(nearness, axis=1)  # an average face is near to many
        total += weight * _standard(nearness - (usual[:, None] + usual) / 2)
    return _standard(total)


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    median = np.nanmedian(values)
    return (values - median) / (1.4826 * np.nanmedian(np.abs(values - median)) + 1e-9)


def _axes(outline: Mask) -> tuple[NDArray[np.float64], NDArray[np.float64], float, float]:
    """The ellipse of an outline's second moments: centre, direction downwards, half-axes across and down."""
    m = cv2.moments(outline, binaryImage=True)
    centre = np.array([m["m10"], m["m01"]]) / m["m00"]
    spread = np.array([[m["mu20"], m["mu11"]], [m["mu11"], m["mu02"]]]) / m["m00"]
    (least, most), directions = np.linalg.eigh(spread)
    down = directions[:, 1] * np.sign(directions[1, 1])
    if most < 1.2 * least or down[1] < 0.75:  # too round to say, or lying
        return centre, np.array([0.0, 1.0]), 2 * np.sqrt(spread[0, 0] + 1e-3), 2 * np.sqrt(spread[1, 1] + 1e-3)
    return centre, down, 2 * np.sqrt(least + 1e-3), 2 * np.sqrt(most)


def _portrait(image: Image, outline: Mask) -> Image:
    """A face set upright, (SIDE, SIDE, 3), all outlines made the same circle."""
    centre, down, across, tall = _axes(outline)
    right = np.array([down[1], -down[0]])
    x, y = right * across * -2 * LEFT / SIDE, down * tall * (BOTTOM - TOP) / SIDE
    corner = centre + right * across * LEFT + down * tall * TOP + (x + y) / 2
    step = max(np.linalg.norm(x), np.linalg.norm(y))
    soft = cv2.GaussianBlur(image, (0, 0), 0.4 * step) if step > 1.2 else image
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    turn = np.column_stack([x, y, corner])
    return np.asarray(cv2.warpAffine(soft, turn, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _structure(light: Plane, radius: float) -> Plane:
    """Brightness against its surroundings, in units of the contrast there."""
    fine = cv2.GaussianBlur(light, (0, 0), 0.8) - _blur(light, radius, WINDOW)
    return np.asarray(fine / (np.sqrt(_blur(fine**2, radius, WINDOW)) + 0.02), np.float32)


def _blur(plane: Plane, radius: float, window: Plane) -> Plane:
    """A blur that sees nothing outside a window."""
    weight = cv2.GaussianBlur(window, (0, 0), radius) + 1e-3
    return np.asarray(cv2.GaussianBlur(plane * window, (0, 0), radius) / weight, np.float32)


def _small(plane: Plane, side: int) -> Plane:
    return np.asarray(cv2.resize(plane, (side, side), interpolation=cv2.INTER_AREA), np.float32)


def _windows() -> tuple[Plane, Plane, Plane, Plane]:
    """Weights over a portrait, 0 to 1: the face, the hair above it, the face with its hairline, the hairline."""
    middle = (np.arange(SIDE) + 0.5) / SIDE
    u, v = np.meshgrid(LEFT - 2 * LEFT * middle, TOP + (BOTTOM - TOP) * middle)

    def ramp(inside: NDArray[np.float64], width: float) -> NDArray[np.float64]:
        return np.clip(inside / width, 0, 1)

    face = ramp(1 - np.hypot(u, v), 0.12)
    hair = ramp(1 - np.hypot(u / 1.1, (v + 0.35) / 1.1), 0.12) * (v < -0.8)
    window = np.maximum(face, ramp(0.75 - np.abs(u), 0.12) * ramp(v + 1.1, 0.1) * (v < -0.5))
    hairline = ramp(0.8 - np.abs(u), 0.1) * ramp(v + 1.15, 0.05) * ramp(-0.55 - v, 0.05)
    return face.astype(np.float32), hair.astype(np.float32), window.astype(np.float32), hairline.astype(np.float32)


FACE, HAIR, WINDOW, HAIRLINE = _windows()
HEAD = np.maximum(FACE, HAIR)
