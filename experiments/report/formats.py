"""Results as tables to read: on the terminal, in Markdown, in LaTeX."""

from __future__ import annotations

import re

import pandas as pd

from .columns import METRIC_COLUMNS, UNRANKED, WITH_INTERVAL, mark_best, measured_columns
from .results import summarise_seeds


def labels(summary: pd.DataFrame) -> list[str]:
    """Names of the rows of `summarise_seeds`, with the test set and the seeds where these are not the usual ones."""
    names = summary["row"] + summary["test_set"].map(lambda name: f" on {name}" if name else "")
    one = summary["seed"].map(lambda seed: f" (seed {seed})" if seed else "")
    return list(names + one.where(summary["seeds"] == 1, summary["seeds"].map(" ({} seeds)".format)))


def text(table: pd.DataFrame, reference: pd.DataFrame | None = None) -> str:
    """One table for the terminal, a line a row, the best last.

    Args:
        table: Rows of `results`.
        reference: Published metrics: `row`, `metric`, `value`, `source`; each source stands beside those measured.
    """
    summary = sort_rows(summarise_seeds(table))
    cells = _cells(summary, reference)
    apart = {name: max(len(name), cells[name].str.len().max()) + 1 for name in cells}  # two spaces between columns
    return str(cells.set_axis(labels(summary), axis=0).to_string(col_space=apart))


def markdown(table: pd.DataFrame, reference: pd.DataFrame | None, above: str) -> str:
    """One table as GitHub's Markdown under a line of text, the best of each column in bold; arguments as for `text`."""
    summary = sort_rows(summarise_seeds(table))
    cells = _cells(summary, reference)
    for name, marked in mark_best(summary).items():
        cells[METRIC_COLUMNS[str(name)]] = cells[METRIC_COLUMNS[str(name)]].where(
            ~marked, "**" + cells[METRIC_COLUMNS[str(name)]] + "**"
        )
    escaped = cells.set_axis(map(_escape_markdown, labels(summary)), axis=0).rename(columns=_escape_markdown)
    lines = [["", *escaped], [":--", *["--:"] * len(cells.columns)], *escaped.reset_index().to_numpy().tolist()]
    return "\n".join([_escape_markdown(above), "", *(f"| {' | '.join(line)} |" for line in lines), ""])


def latex(table: pd.DataFrame, reference: pd.DataFrame | None, above: str) -> str:
    """One table for LaTeX with booktabs, the best of each column in bold; arguments as for `text`."""
    summary = sort_rows(summarise_seeds(table))
    cells = _cells(summary, reference, "$\\pm$")
    marked = mark_best(summary).rename(columns=METRIC_COLUMNS).reindex(columns=cells.columns, fill_value=False)
    bold = marked.map(lambda is_best: "textbf:--rwrap;" if is_best else "")
    unique = [f"{number}" for number in range(len(cells))]
    style = cells.set_axis(unique, axis=0).style.apply(lambda _: bold.set_axis(unique, axis=0), axis=None)
    style = style.format_index(lambda number: _tex(labels(summary)[int(number)]), axis=0).format_index(_tex, axis=1)
    return str(
        style.to_latex(
            hrules=True,
            column_format="l" + "r" * len(cells.columns),
            caption=_tex(above),
            label=f"tab:{table['table'].iloc[0]}",
            position="t",
            position_float="centering",
        )
    )


def sort_rows(summary: pd.DataFrame) -> pd.DataFrame:
    """Rows of `summarise_seeds` by the first of the columns, the best last, rows without it first."""
    return summary.sort_values(measured_columns(summary)[:1], na_position="first", kind="stable").reset_index(drop=True)


def _cells(summary: pd.DataFrame, reference: pd.DataFrame | None, plus_minus: str = "±") -> pd.DataFrame:
    """What is printed of `summarise_seeds`: metrics as text, over several seeds with their standard deviation."""
    shown = {}
    for key in measured_columns(summary):
        name = METRIC_COLUMNS[key]
        metrics, spread = (summary[column].map("{:.3f}".format) for column in (key, f"{key} sd"))
        if key not in UNRANKED:
            metrics = metrics.where(summary[f"{key} sd"].isna(), metrics + f" {plus_minus} " + spread)
        shown[name] = metrics.where(summary[key].notna(), "-")
        if key in WITH_INTERVAL and f"{key} low" in summary:
            ends = summary[f"{key} low"].map("{:.2f} to ".format) + summary[f"{key} high"].map("{:.2f}".format)
            shown[f"{name} 95 %"] = ends.where(summary[f"{key} low"].notna(), "-")
    for (metric, source), metrics in reference.groupby(["metric", "source"]) if reference is not None else ():
        values = summary["row"].map(metrics.set_index("row")["value"]).where(summary["test_set"] == "")
        shown[f"{METRIC_COLUMNS.get(metric, metric)} in {source}"] = values.map("{:.3f}".format).where(
            values.notna(), "-"
        )
    return pd.DataFrame(shown, index=summary.index)


def _escape_markdown(name: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_<>|\[\]])", r"\\\1", name)


def _tex(name: str) -> str:
    """Text that LaTeX shows as it is."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return re.sub(r"[\\~^&%$#_{}]", lambda found: special.get(found[0], f"\\{found[0]}"), name)
