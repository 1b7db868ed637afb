"""An audit as one HTML page that needs neither a network nor another file."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..clips.masks import THRESHOLDS
from ..clips.splits import split_of_identities
from ..files import write_text
from .audit import EVERYWHERE, Audit
from .examples import draw_examples
from .report import depth, people

INK, BAR, MARK = "#333333", "#3b6ea5", "#c0392b"
SIZE_IN = (3.6, 2.1)


def write_page(audit: Audit, path: Path) -> None:
    """Writes the page.

    Args:
        audit: What was found.
        path: Where to.

    Raises:
        ImportError: jinja2 or matplotlib is not installed.
    """
    import jinja2
    import matplotlib  # noqa: F401  asked for here, so that nothing is drawn before it is known to be missing

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    home = split_of_identities(audit.splits) if audit.splits else {}
    looked = bool(audit.looked)
    page = environment.get_template("page.html").render(
        audit=audit,
        everywhere=EVERYWHERE,
        home=home,
        people=people(audit) if audit.pairs else "",
        depth=depth(audit),
        examples=draw_examples(audit.table, home) if looked else [],
        plots={
            method: (_greys(method, greys), _draw_shares(audit.shares[method])) for method, greys in audit.greys.items()
        },
        image=_inline,
    )
    write_text(path, page)


def _greys(method: str, greys: NDArray[np.int64]) -> str:
    def draw(axes: Any) -> None:
        axes.stairs(np.maximum(greys, 0.5), range(257), fill=True, color=BAR)
        axes.axvline(THRESHOLDS[method], color=MARK, linewidth=1)
        axes.set(yscale="log", ylim=(0.5, None), xlim=(-1, 256), xlabel="grey level", ylabel="pixels")

    return _plot(draw)


def _draw_shares(shares: NDArray[np.float64]) -> str:
    def draw(axes: Any) -> None:
        axes.hist(shares, bins=np.linspace(0, 1, 41).tolist(), color=BAR)
        axes.set(xlim=(0, 1), xlabel="forged share of the crop", ylabel="frames")

    return _plot(draw)


def _plot(draw: Callable[[Any], None]) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_IN, layout="constrained")
    axes = figure.add_subplot()
    draw(axes)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, colors=INK)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return _inline(file.getvalue(), "svg+xml")


def _inline(data: bytes, kind: str = "jpeg") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
