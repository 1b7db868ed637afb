"""Draws with matplotlib, as SVG whose colours the page's style sheet sets: light or dark."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

INK, GRID, CARD = "#010101", "#020202", "#030303"
HUES = 8
"""Colours of the style sheet; rows beyond that many are dashed, and so on."""

DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
PLOT_SIZE_IN = (4.6, 2.9)


class Line(NamedTuple):
    """A curve.

    Attributes:
        x: Optimiser steps.
        y: As many metrics.
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
    """A row's cost and metric.

    Attributes:
        x: Cost.
        y: Metric.
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
    figure, axes = _axes("optimiser step", name)
    tips: list[str] = []
    for line in lines:
        style: dict[str, Any] = {"color": hue(line.series), "linestyle": DASHES[line.series // HUES % len(DASHES)]}
        single = "o" if len(line.x) == 1 else None
        (drawn,) = axes.plot(line.x, line.y, linewidth=1.5, marker=single, markersize=4, **style)
        drawn.set_gid(f"tip{len(tips)}")
        tips.append(line.name)
        if line.marked is not None:
            at = (line.x[line.marked], line.y[line.marked])
            (dot,) = axes.plot(*at, "o", color=hue(line.series), markeredgecolor=CARD, markersize=7)
            dot.set_gid(f"tip{len(tips)}")
            tips.append(f"{line.name}: the checkpoint that was tested, {at[1]:.3f}")
    return _svg(figure, alternative, tips)


def draw_points(points: Sequence[Point], across: str, up: str) -> str:
    """Draws metrics against costs as SVG, with steps along the rows that none as cheap reaches."""
    figure, axes = _axes(across, up)
    front, highest = [], float("-inf")
    for point in sorted(points, key=lambda point: (point.x, -point.y)):
        if point.y > highest:
            highest = point.y
            front.append(point)
    steps: dict[str, Any] = {"drawstyle": "steps-post", "linestyle": (0, (3, 3))}
    axes.plot([point.x for point in front], [point.y for point in front], color=INK, linewidth=0.8, alpha=0.6, **steps)
    for number, point in enumerate(points):
        if point.low == point.low:
            axes.plot([point.x] * 2, [point.low, point.high], color=hue(point.series), linewidth=1.2, alpha=0.7)
        marker = "osD^"[point.series // HUES % 4]
        (dot,) = axes.plot(point.x, point.y, marker, color=hue(point.series), markeredgecolor=CARD, markersize=9)
        dot.set_gid(f"tip{number}")
    axes.set_xscale("log")
    axes.set_xlim(min(point.x for point in points) / 1.5, max(point.x for point in points) * 1.5)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    names = [point.name for point in points]
    return _svg(figure, f"{up} by {across}. {'; '.join(names)}", names)


def hue(series: int) -> str:
    """A colour that stands for the style sheet's."""
    return f"#0a0a{series % HUES:02x}"


def _axes(across: str, up: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=PLOT_SIZE_IN, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(across, color=INK)
    axes.set_ylabel(up, color=INK)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(which="both", colors=INK, labelsize=9)
    axes.patch.set_visible(False)
    figure.patch.set_visible(False)
    return figure, axes


def _svg(figure: Figure, alternative: str, tips: Sequence[str]) -> str:
    file = io.StringIO()
    salt = hashlib.sha256(repr((alternative, tips)).encode()).hexdigest()  # no two plots of a page share ids
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    drawn = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", file.getvalue(), flags=re.DOTALL)
    drawn = re.sub(r"\s*\n\s*", "\n", re.sub(r"font-family: [^;]*; ", "", drawn[drawn.index("<svg") :]))
    drawn = re.sub(r"#0a0a(\d\d)", lambda found: f"var(--hue{int(found[1])})", drawn)
    for colour, name in ((INK, "ink"), (GRID, "line"), (CARD, "card")):
        drawn = drawn.replace(colour, f"var(--{name})")
    drawn = re.sub(r'<g id="tip(\d+)">', lambda tip: f"<g><title>{escape(tips[int(tip[1])])}</title>", drawn)
    drawn = re.sub(r'<g id="[^"]*">', "<g>", drawn)
    width, height = (72 * inches for inches in figure.get_size_inches())
    opening = f'<svg role="img" aria-label="{escape(alternative)}" viewBox="0 0 {width:g} {height:g}">'
    return opening + drawn[drawn.index(">") + 1 :]
