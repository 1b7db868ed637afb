"""The frame of a plot as SVG: ticks, names, a grid, and where a value lies. The page's style sheet sets the colours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

WIDTH, HEIGHT = 331.0, 209.0
"""Of a plot, in units of its own."""

LETTER = 5.2
"""Width of a digit of a tick."""

MOST_TICKS = 6
GRID, INK, SMALL = "stroke:var(--line);stroke-width:.7", "stroke:var(--ink);stroke-width:.8", "font-size:9px"


class Axes:
    """A plot's frame.

    Args:
        x: All values across; those that are not finite are passed over.
        y: All values upwards; those that are not finite are passed over.
        across: Name of the axis across.
        up: Name of the axis upwards.
        logarithmic: Whether equal ratios across are equally wide.
    """

    def __init__(self, x: Iterable[float], y: Iterable[float], across: str, up: str, logarithmic: bool = False) -> None:
        self._names = across, up
        self._logarithmic = logarithmic
        self._x = _span([*x], 0.0 if logarithmic else 0.05)
        self._y = _span([*y], 0.05)
        if logarithmic:
            self._x = self._x[0] / 1.5, self._x[1] * 1.5
        places = _ticks(*self._y)
        decimals = max(2, -math.floor(math.log10(places[1] - places[0]) + 1e-9)) if len(places) > 1 else 2
        self._up = [(place, f"{place:.{decimals}f}") for place in places]
        self._across = [(place, f"{place:.12g}") for place in self._places_across()]
        self._left = 24 + LETTER * max((len(text) for _, text in self._up), default=1)
        self._right, self._top, self._bottom = WIDTH - 10, 8.0, HEIGHT - 36

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where values lie, in units of the plot."""
        low, high = self._x
        along = math.log(x / low) / math.log(high / low) if self._logarithmic else (x - low) / (high - low)
        upwards = (y - self._y[0]) / (self._y[1] - self._y[0])
        return (
            round(self._left + along * (self._right - self._left), 2),
            round(self._bottom - upwards * (self._bottom - self._top), 2),
        )

    def draw(self, alternative: str, drawn: Sequence[str]) -> str:
        """The whole plot.

        Args:
            alternative: Said to who cannot see it.
            drawn: What is in it, as SVG.
        """
        parts = []
        for value, text in self._across:
            x, _ = self.at(value, self._y[0])
            parts.append(
                _line(x, self._top, x, self._bottom, GRID) + _line(x, self._bottom, x, self._bottom + 3.5, INK)
            )
            parts.append(_text(x, self._bottom + 13, text, f"{SMALL};text-anchor:middle"))
        for value, text in self._up:
            _, y = self.at(self._x[0], value)
            parts.append(_line(self._left, y, self._right, y, GRID) + _line(self._left - 3.5, y, self._left, y, INK))
            parts.append(_text(self._left - 6, y + 3, text, f"{SMALL};text-anchor:end"))
        parts.append(_line(self._left, self._top, self._left, self._bottom, INK))
        parts.append(_line(self._left, self._bottom, self._right, self._bottom, INK))
        middle = (self._left + self._right) / 2, (self._top + self._bottom) / 2
        named = "font-size:10px;text-anchor:middle"
        parts.append(_text(middle[0], HEIGHT - 6, self._names[0], named))
        parts.append(_text(11, middle[1], self._names[1], named, f' transform="rotate(-90 11 {middle[1]:g})"'))
        opening = f'<svg role="img" aria-label="{escape(alternative)}" viewBox="0 0 {WIDTH:g} {HEIGHT:g}">'
        return "\n".join([opening, *parts, *drawn, "</svg>"])

    def _places_across(self) -> list[float]:
        low, high = self._x
        if not self._logarithmic:
            return _ticks(low, high)
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for factors in ((1, 2, 5), (1,)):
            places = [factor * 10.0**decade for decade in decades for factor in factors]
            inside = [place for place in places if low <= place <= high]
            if len(inside) <= 2 * MOST_TICKS:
                break
        return inside if len(inside) > 2 else _ticks(low, high)


def _span(values: Sequence[float], margin: float) -> tuple[float, float]:
    """Least and largest of the finite values, with a margin; two different numbers in any case."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    apart = margin * ((high - low) or abs(high) or 1.0)
    return low - apart, high + apart


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two others, at most `MOST_TICKS`."""
    unit = 10.0 ** math.floor(math.log10((high - low) / MOST_TICKS))
    step = next(unit * factor for factor in (1, 2, 5, 10, 20) if (high - low) / (unit * factor) <= MOST_TICKS)
    return [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _line(x0: float, y0: float, x1: float, y1: float, style: str) -> str:
    return f'<path d="M{x0:g} {y0:g}L{x1:g} {y1:g}" style="fill:none;{style}"/>'


def _text(x: float, y: float, text: str, style: str, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" style="fill:var(--ink);{style}"{more}>{escape(text)}</text>'
