"""Looks for the same person in two clips, without any trained model.

A face is set upright by its mask's outline, freed of light and colour cast as far as plain arithmetic can, and
described by five things: its fine structure, its colours against each other, its hair against its skin, the detail of
its hairline and its shape. Two faces are alike when all five are, by the measure of all other pairs of the same tree.

What it can find is a person filmed alike: the same recording cut or encoded otherwise, the same hair, before another
wall or under another light. What it cannot find is a person years later, with another hair style or pose; for that take
a trained face embedding. Nothing here was measured on real faces: what it names is for a human to look at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..clips.masks import Mask
from ..video.decoders import Image
from .portraits import FACE, HAIR, HAIRLINE, HEAD, WINDOW, Plane, axes, blur_within, portrait, small, structure_of

FINE_PX, COARSE_PX = 48, 12
"""Sides of the pictures in which structure and colours are compared."""

FEWEST_FACES = 12
"""Faces without which there is nothing to measure a likeness by."""

FALSE_ALARMS, SLACK = 0.05, 1.85
"""Trees in which one pair of strangers would be named, were their likeness normal, and a factor because it is not: in
25 trees of 24 drawn people the most alike strangers reached 0.98 of the bound, so no pair of 6900 was over it."""

SHOWN_PAIRS = 6
"""Pairs shown to a human whatever their score: of 150 people filmed again, 148 were
in the first pair; over the bound were 69 of 75 at c23, 23 of 25 at raw, 36 of 50 at c40."""

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


class AlikePair(NamedTuple):
    """Two targets of different splits.

    Attributes:
        one: Id.
        other: Id.
        score: How far the pair lies from the median of all pairs, in robust standard deviations, and how far before
            the next pair that one of the two is in.
        suspect: Whether strangers are seldom as alike.
    """

    one: str
    other: str
    score: float
    suspect: bool


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
    frames = [portrait(image, outline) for image, outline in zip(images, outlines, strict=True)]
    levels = np.median([np.log(frame.astype(np.float32) + 6) for frame in frames], axis=0).astype(np.float32)
    light: Plane = levels.mean(axis=2)
    structure = structure_of(light, 5)
    even = (levels + levels[:, ::-1]) / 2
    ratios = np.stack([even[..., 0] - even[..., 1], even[..., 2] - even[..., 1], even.mean(axis=2)], axis=2)
    mean = (ratios * FACE[..., None]).sum((0, 1)) / FACE.sum()
    blurred = np.stack([blur_within(ratios[..., channel], 2.5, HEAD) for channel in range(3)], axis=2)
    slow = blurred - mean.astype(np.float32)
    shapes = [np.log(down / across) for _, _, across, down in map(axes, outlines)]
    return Likeness(
        small((structure + structure[:, ::-1]) / 2 * WINDOW, FINE_PX)[small(WINDOW, FINE_PX) > 0.3],
        small(slow[..., :2], COARSE_PX)[small(HEAD, COARSE_PX) > 0.3].ravel(),
        small(slow, COARSE_PX)[small(HAIR, COARSE_PX) > 0.3].mean(axis=0).astype(np.float32),
        (structure_of(light, 3) * HAIRLINE)[HAIRLINE.any(axis=1)].ravel(),
        np.array([np.median(shapes)], np.float32),
    )


def nearest(faces: Mapping[str, Likeness], home: Mapping[str, str], count: int = SHOWN_PAIRS) -> list[AlikePair]:
    """The pairs of different splits that look most alike.

    Args:
        faces: By target; with fewer than `FEWEST_FACES` there is nothing to measure by, and the answer is empty.
        home: Split of each target; others are only a measure for these.
        count: Pairs to name at least; all over the bound are named.

    Returns:
        The most alike first.
    """
    if len(faces) < FEWEST_FACES:
        return []
    names = sorted(faces)
    scores, bound = scores_of([faces[name] for name in names]), bound_of(len(names))
    scores += _lead(scores)
    splits = np.array([home.get(name, "") for name in names])
    across = (splits[:, None] != splits) & (splits[:, None] != "") & (splits != "")
    rows, columns = np.nonzero(np.triu(across, 1))
    found = scores[rows, columns]
    order = np.argsort(-found, kind="stable")[: max(count, int((found > bound).sum()))]
    return [AlikePair(names[rows[k]], names[columns[k]], float(found[k]), bool(found[k] > bound)) for k in order]


def bound_of(people: int) -> float:
    """The score above which a pair is named; 6.6 for 24 people, 9.2 for 1000."""
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


def _lead(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much each pair is before the best other pair of its two members, (N, N); negative behind it."""
    ranked = np.sort(np.nan_to_num(scores, nan=-np.inf), axis=1)
    best, second = ranked[:, -1:], ranked[:, -2:-1]
    others = np.where(scores == best, second, best)
    return scores - np.maximum(others, others.T)


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    apart = values - np.nanmedian(values)
    return np.asarray(apart / (1.4826 * np.nanmedian(np.abs(apart)) + 1e-9), np.float64)
