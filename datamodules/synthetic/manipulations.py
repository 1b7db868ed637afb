"""Four ways to forge a face, each leaving its own trace inside the face and not a bit changed outside it.

None of them shows in the colour or the sharpness of a crop: colours are fitted to the target's, and a trace gives
back the fine detail that resampling took away. What betrays a forgery is the order of that detail.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..video.decoders import Image
from .charts import CHART_PX, REACH, Face, Plane, grid, hill, paste, project, shading, unroll

U, V = grid()
OVAL = np.asarray(np.hypot(U / (0.92 * (1 - 0.16 * np.clip(V, 0, 1) ** 2)), (V - 0.08) / 0.9) < 1, np.float32)
"""What a rendered face model covers, (CHART_PX, CHART_PX), 0 or 1: forehead to chin."""

HULL = OVAL * (V > -0.52 + 0.15 * U**2)
"""What lies between the landmarks, (CHART_PX, CHART_PX), 0 or 1: brows to chin."""

TILE = np.asarray((np.abs(U) / 0.9) ** 3 + (np.abs(V - 0.12) / 0.86) ** 3 < 1, np.float32)
"""What an autoencoder redraws, (CHART_PX, CHART_PX), 0 or 1: forehead to chin, rounded."""

LOWER = OVAL * np.clip((V + 0.08) / 0.2, 0, 1)
"""How much of the face a learnt texture changes, (CHART_PX, CHART_PX), 0 to 1: nose to chin."""

RENDER = OVAL * (40 + 190 * shading(U, V, (-0.3, -0.5, 1.0), 0.25))
"""The shaded model of a face on black, (CHART_PX, CHART_PX), 0 to 255."""

JAW = 0.13 * hill(U, V, (0, 0.68), (0.3, 0.13)) - 0.04 * hill(U, V, (0, 0.46), (0.3, 0.06))
"""How far an opening mouth moves the skin downwards, (CHART_PX, CHART_PX), in half-heights of the face."""

EYES = sum(
    hill(U, V, (0.4 * side, at), size) for side in (-1, 1) for at, size in ((-0.2, (0.12, 0.05)), (-0.42, (0.16, 0.03)))
)
"""Eyes and brows, which a coloured rendering shows dark, (CHART_PX, CHART_PX), 0 to 1."""

ROW_NUMBERS, COLUMN_NUMBERS = np.indices((CHART_PX, CHART_PX), np.float32)

DETAIL_MOST, DETAIL_LEAST = 12.0, 8.0
"""Strength of a trace, standard deviation in grey levels: strong enough for crf 23, too weak to strike the eye."""


class Style(NamedTuple):
    """What all frames of one forged clip share.

    Attributes:
        trace: Pattern left in the face, (CHART_PX, CHART_PX), mean 0, standard deviation 1.
        margins: How far the rectangle of a Deepfakes mask exceeds the edit: left, top, right, bottom, in half-heights.
    """

    trace: Plane
    margins: tuple[float, ...]


class Forgery(NamedTuple):
    """One forged frame.

    Attributes:
        frame: (H, W, 3), RGB, 0 to 255.
        mask: What the data set's mask video shows for it, (H, W, 3).
    """

    frame: Image
    mask: Image


def coverage(region: Plane, face: Face, feather: float) -> Plane:
    """Returns weights (CHART_PX, CHART_PX) that are 0 outside a region and within 3 pixels of its edge, then rise to 1.

    Args:
        region: 0 or 1, (CHART_PX, CHART_PX).
        face: Its size says how many pixels of the chart make a pixel of the frame.
        feather: Width of the rise, pixels of the chart.
    """
    margin = 3 * CHART_PX / (2 * REACH * face.width)
    depth = cv2.distanceTransform(np.pad(region, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    return np.asarray(np.clip((depth - margin) / feather, 0, 1), np.float32)


def blur_chart(chart: Plane, radius: float) -> Plane:
    """Softens a chart; `radius` is a standard deviation in its pixels."""
    return np.asarray(cv2.GaussianBlur(chart, (0, 0), radius), np.float32)


def recolour(chart: Plane, reference: Plane, region: Plane) -> Plane:
    """Gives a chart the mean and standard deviation a channel of another one, both measured inside a region."""
    inside = region.astype(np.uint8)
    (mean, deviation), (wanted, spread) = (cv2.meanStdDev(colours, mask=inside) for colours in (chart, reference))
    return np.asarray((chart - mean[:, 0]) * (spread / (deviation + 1))[:, 0] + wanted[:, 0], np.float32)


def sharpness(chart: Plane, region: Plane) -> float:
    """Returns the variance of the Laplacian of a chart, (CHART_PX, CHART_PX) or with 3 channels, inside a region."""
    grey = cv2.cvtColor(chart, cv2.COLOR_RGB2GRAY) if chart.ndim == 3 else chart
    return float(cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_32F), mask=region.astype(np.uint8))[1][0, 0] ** 2)


def retrace(smooth: Plane, trace: Plane, reference: Plane, region: Plane) -> Plane:
    """Adds a trace to a smooth face until it is as sharp as the original.

    Args:
        smooth: The redrawn face, (CHART_PX, CHART_PX, 3), without the pores of the original.
        trace: Pattern, mean 0, standard deviation 1, (CHART_PX, CHART_PX).
        reference: Chart of the original.
        region: Where to compare.
    """
    pores = reference - blur_chart(reference, 1.2)
    smooth = smooth + 0.35 * pores
    missing = max(0.0, sharpness(reference, region) - sharpness(smooth, region))
    strength = np.clip(np.sqrt(missing / sharpness(trace, region)), DETAIL_LEAST, DETAIL_MOST)
    return np.asarray(smooth + strength * trace[..., None], np.float32)


def unit(pattern: NDArray[Any]) -> Plane:
    """Shifts and scales a pattern to mean 0 and standard deviation 1."""
    return np.asarray((pattern - pattern.mean()) / pattern.std(), np.float32)


def lattice() -> Plane:
    """Returns the checkerboard an upsampling network leaves, 8 pixels of the chart wide."""
    wave = np.sin(2 * np.pi * np.arange(CHART_PX) / 8)
    return unit(np.sign(wave)[:, None] * np.sign(wave)[None] + 0.3 * (wave[:, None] + wave[None]))


def ripple() -> Plane:
    """Returns the slanting waves of a network that renders a learnt texture."""
    return unit(np.sin(2 * np.pi * (U + 0.6 * V) * CHART_PX / (2 * REACH) / 9))


def facets(rng: np.random.Generator) -> Plane:
    """Returns the flat triangles of a coarse mesh, turned alternately to the light and away from it."""
    cell = 12
    row, column = ROW_NUMBERS.astype(int), COLUMN_NUMBERS.astype(int)
    upper = row % cell + column % cell < cell
    levels = rng.uniform(0.6, 1.4, (2, CHART_PX // cell + 1, CHART_PX // cell + 1))[:, row // cell, column // cell]
    return unit(np.where(upper, levels[0], -levels[1]))


def texels(rng: np.random.Generator) -> Plane:
    """Returns the rows of a texture map seen too near: bars of 14 x 5 pixels of the chart, every other row set off."""
    row = ROW_NUMBERS.astype(int) // 5
    column = (COLUMN_NUMBERS.astype(int) + 7 * (row % 2)) // 14
    levels = rng.uniform(0.7, 1.3, (row.max() + 1, column.max() + 1)) * (-1) ** np.arange(row.max() + 1)[:, None]
    return unit(levels[row, column])


def move_mouth(chart: Plane, by: float) -> Plane:
    """Opens (positive) or shuts the mouth of a chart by a fraction of its widest opening."""
    shift = by * CHART_PX / (2 * REACH) * JAW
    moved = cv2.remap(chart, COLUMN_NUMBERS, ROW_NUMBERS - shift, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def grey_render(face: Face, shape: tuple[int, ...]) -> Image:
    """Draws the shaded model of a face on black, as the masks of Face2Face and NeuralTextures show it."""
    return np.repeat(np.rint(project(RENDER, face, shape[1], shape[0])).astype(np.uint8)[..., None], 3, 2)


def deepfakes(target: Image, face: Face, source: Image, donor: Face, style: Style) -> Forgery:
    """Redraws the face from a small picture of the source's and blends it in; the mask is a rectangle around it."""
    original, region = unroll(target, face), TILE
    small = cv2.resize(recolour(unroll(source, donor), original, region), (32, 32), interpolation=cv2.INTER_AREA)
    redrawn = np.asarray(cv2.resize(small, (CHART_PX, CHART_PX), interpolation=cv2.INTER_CUBIC), np.float32)
    weight = coverage(region, face, 6)
    frame = paste(target, retrace(redrawn, style.trace, original, region), weight, face)
    height, width = target.shape[:2]
    rows, columns = np.nonzero(project(weight, face, width, height))
    left, top, right, bottom = (round(3 + share * face.height) for share in style.margins)
    mask = np.zeros_like(target)
    across = slice(max(0, columns.min() - left), columns.max() + right)
    mask[max(0, rows.min() - top) : rows.max() + bottom, across] = 255
    return Forgery(frame, mask)


def face2face(target: Image, face: Face, source: Image, donor: Face, style: Style) -> Forgery:
    """Renders the target anew with the source's expression on a mesh."""
    original, region = unroll(target, face), OVAL
    rendered = blur_chart(move_mouth(original, donor.mouth - face.mouth), 1.0)
    weight = coverage(region, face, 4)
    frame = paste(target, retrace(rendered, style.trace, original, region), weight, face)
    return Forgery(frame, grey_render(face, target.shape))


def faceswap(target: Image, face: Face, source: Image, donor: Face, style: Style) -> Forgery:
    """Lays the source's face, colours fitted, over the target's, with a seam; the mask is the coloured rendering."""
    original, region = unroll(target, face), HULL
    texture = recolour(unroll(source, donor), original, region)
    weight = coverage(region, face, 2)
    rim = (weight > 0) & (cv2.erode(weight, np.ones((7, 7))) < 1)
    seam = np.where(rim, 12 * np.sign(np.sin(weight * 6)), 0)[..., None]
    laid = retrace(blur_chart(texture, 1.0), style.trace, original, region) - seam
    frame = paste(target, laid.astype(np.float32), weight, face)
    render = np.maximum(texture, 48) * (region * np.clip(1 - 1.6 * EYES, 0, 1))[..., None]
    rendered = project(np.clip(render, 0, 255), face, target.shape[1], target.shape[0])
    return Forgery(frame, np.rint(rendered).astype(np.uint8))


def neural_textures(target: Image, face: Face, source: Image, donor: Face, style: Style) -> Forgery:
    """Renders the lower face with the source's mouth; the mask shows the whole face all the same."""
    original, region = unroll(target, face), OVAL
    rendered = blur_chart(move_mouth(original, donor.mouth - face.mouth), 1.0)
    weight = coverage(region, face, 4) * LOWER
    frame = paste(target, retrace(rendered, style.trace, original, LOWER > 0), weight, face)
    return Forgery(frame, grey_render(face, target.shape))


FORGERS: dict[str, Callable[[Image, Face, Image, Face, Style], Forgery]] = {
    "Deepfakes": deepfakes,
    "Face2Face": face2face,
    "FaceSwap": faceswap,
    "NeuralTextures": neural_textures,
}
"""Method to the function that forges one frame from target, its face, source, its face and the clip's style."""


def random_style(method: str, rng: np.random.Generator) -> Style:
    """Draws what is the same in all frames of one clip."""
    if method in ("Face2Face", "FaceSwap"):
        trace = facets(rng) if method == "Face2Face" else texels(rng)
    else:
        trace = lattice() if method == "Deepfakes" else ripple()
    return Style(trace, tuple(rng.uniform(0.02, 0.26, 4).tolist()))
