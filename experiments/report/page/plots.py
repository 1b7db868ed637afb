"""Draws curves and costs as SVG, whose colours the page's style sheet sets: light or dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from .axes import Axes

HUES = 8
"""Colours of the style sheet; rows beyond that many are dashed, and so on."""

DASHES = ("none", "7.5 3", "2.25 2.25", "9 2.4 2.25 2.4")
DOT = "stroke:var(--card);stroke-width:1"


class Line(NamedTuple):
    """A curve.

    Attributes:
        x: Optimiser steps.
        y: As many figures.
        series: Number of the row.
        name: Said when the pointer rests on it.
        marked: Position of the point with a dot, or None.
    """

    x: list[float]
    y: list[float]
    series: int
    name: str
    marked: int | None


class Point(NamedTuple):
    """A row's cost and figure.

    Attributes:
        x: Cost.
        y: Figure.
        low: Lower end of its interval; NaN without one.
        high: Its upper end.
        series: Number of the row.
        name: Said when the pointer rests on it.
    """

    x: float
    y: float
    low: float
    high: float
    series: int
    name: str


def draw_lines(lines: Sequence[Line], name: str, alternative: str) -> str:
    """Draws curves over optimiser steps as SVG; `alternative` is said to who cannot see it."""
    axes = Axes([x for line in lines for x in line.x], [y for line in lines for y in line.y], "optimiser step", name)
    drawn = []
    for line in lines:
        style = (
            f"stroke:{hue(line.series)};stroke-width:1.5;stroke-dasharray:{DASHES[line.series // HUES % len(DASHES)]}"
        )
        shape = f'<path d="{_path(axes, line)}" style="fill:none;{style};stroke-linejoin:round"/>'
        if len(line.x) == 1:
            shape = _marker(axes.at(line.x[0], line.y[0]), 0, 2, f"fill:{hue(line.series)}")
        drawn.append(_told(line.name, shape))
        if line.marked is not None:
            at = (line.x[line.marked], line.y[line.marked])
            shape = _marker(axes.at(*at), 0, 3.5, f"fill:{hue(line.series)};{DOT}")
            drawn.append(_told(f"{line.name}: the checkpoint that was tested, {at[1]:.3f}", shape))
    return axes.draw(alternative, drawn)


def draw_points(points: Sequence[Point], across: str, up: str) -> str:
    """Draws figures against costs as SVG, with steps along the rows that none as cheap reaches."""
    ends = [end for point in points for end in (point.low, point.y, point.high)]
    axes = Axes([point.x for point in points], ends, across, up, logarithmic=True)
    front, highest = [], -math.inf
    for point in sorted(points, key=lambda point: (point.x, -point.y)):
        if point.y > highest:
            highest = point.y
            front.append(axes.at(point.x, point.y))
    steps = "".join(f"H{x:g}V{y:g}" for x, y in front[1:])
    style = "fill:none;stroke:var(--ink);stroke-width:.8;stroke-opacity:.6;stroke-dasharray:2.4 2.4"
    drawn = [f'<path d="M{front[0][0]:g} {front[0][1]:g}{steps}" style="{style}"/>'] if front else []
    for point in points:
        if not math.isnan(point.low):
            (x, low), (_, high) = axes.at(point.x, point.low), axes.at(point.x, point.high)
            style = f"stroke:{hue(point.series)};stroke-width:1.2;stroke-opacity:.7"
            drawn.append(f'<path d="M{x:g} {low:g}V{high:g}" style="{style}"/>')
        style = f"fill:{hue(point.series)};{DOT}"
        drawn.append(_told(point.name, _marker(axes.at(point.x, point.y), point.series // HUES % 4, 4.5, style)))
    return axes.draw(f"{up} by {across}. {'; '.join(point.name for point in points)}", drawn)


def hue(series: int) -> str:
    """A colour of the style sheet."""
    return f"var(--hue{series % HUES})"


def _path(axes: Axes, line: Line) -> str:
    """A curve, broken where a figure is not finite."""
    words, pen = [], "M"
    for x, y in zip(line.x, line.y, strict=True):
        if math.isfinite(x) and math.isfinite(y):
            words.append("{}{:g} {:g}".format(pen, *axes.at(x, y)))
            pen = "L"
        else:
            pen = "M"
    return "".join(words)


def _marker(at: tuple[float, float], shape: int, r: float, style: str) -> str:
    """A circle, square, diamond or triangle of radius `r`."""
    x, y = at
    outlines = {
        1: f"M{x - r:g} {y - r:g}h{2 * r:g}v{2 * r:g}h{-2 * r:g}z",
        2: f"M{x:g} {y - 1.3 * r:g}l{1.3 * r:g} {1.3 * r:g}l{-1.3 * r:g} {1.3 * r:g}l{-1.3 * r:g} {-1.3 * r:g}z",
        3: f"M{x:g} {y - r:g}l{r:g} {2 * r:g}h{-2 * r:g}z",
    }
    if shape not in outlines:
        return f'<circle cx="{x:g}" cy="{y:g}" r="{r:g}" style="{style}"/>'
    return f'<path d="{outlines[shape]}" style="{style}"/>'


def _told(name: str, shape: str) -> str:
    """A shape with what is said when the pointer rests on it."""
    return f"<g><title>{escape(name)}</title>{shape}</g>"
