"""Results as tables to read: on the terminal, in Markdown, in LaTeX."""

from __future__ import annotations

import re

import pandas as pd

from .columns import COLUMNS, UNRANKED, WITH_INTERVAL, best, measured
from .results import over_seeds


def labels(summary: pd.DataFrame) -> list[str]:
    """Names of the rows of `over_seeds`, with the test set and the seeds where these are not the usual ones."""
    names = summary["row"] + summary["test_set"].map(lambda name: f" on {name}" if name else "")
    one = summary["seed"].map(lambda seed: f" (seed {seed})" if seed else "")
    return list(names + one.where(summary["seeds"] == 1, summary["seeds"].map(" ({} seeds)".format)))


def text(table: pd.DataFrame, reference: pd.DataFrame | None = None) -> str:
    """One table for the terminal, a line a row, the best last.

    Args:
        table: Rows of `results`.
        reference: Published figures: `row`, `metric`, `value`, `source`; each source stands beside those measured.
    """
    summary = ranked(over_seeds(table))
    cells = _cells(summary, reference)
    apart = {name: max(len(name), cells[name].str.len().max()) + 1 for name in cells}  # two spaces between columns
    return str(cells.set_axis(labels(summary), axis=0).to_string(col_space=apart))


def markdown(table: pd.DataFrame, reference: pd.DataFrame | None, above: str) -> str:
    """One table as GitHub's Markdown under a line of text, the best of each column in bold; arguments as for `text`."""
    summary = ranked(over_seeds(table))
    cells = _cells(summary, reference)
    for name, marked in best(summary).items():
        cells[COLUMNS[str(name)]] = cells[COLUMNS[str(name)]].where(~marked, "**" + cells[COLUMNS[str(name)]] + "**")
    escaped = cells.set_axis(map(_plain, labels(summary)), axis=0).rename(columns=_plain)
    lines = [["", *escaped], [":--", *["--:"] * len(cells.columns)], *escaped.reset_index().to_numpy().tolist()]
    return "\n".join([_plain(above), "", *(f"| {' | '.join(line)} |" for line in lines), ""])


def latex(table: pd.DataFrame, reference: pd.DataFrame | None, above: str) -> str:
    """One table for LaTeX with booktabs, the best of each column in bold; arguments as for `text`."""
    summary = ranked(over_seeds(table))
    cells = _cells(summary, reference, "$\\pm$")
    marked = best(summary).rename(columns=COLUMNS).reindex(columns=cells.columns, fill_value=False)
    lines = []
    for name, values, bold in zip(labels(summary), cells.to_numpy(), marked.to_numpy(), strict=True):
        shown = [f"\\textbf{{{value}}}" if is_best else value for value, is_best in zip(values, bold, strict=True)]
        lines.append(" & ".join([_tex(name), *shown]) + r" \\")
    return "\n".join(
        [
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{_tex(above)}}}",
            rf"\label{{tab:{table['table'].iloc[0]}}}",
            rf"\begin{{tabular}}{{l{'r' * len(cells.columns)}}}",
            r"\toprule",
            " & ".join(["", *map(_tex, cells.columns)]) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def ranked(summary: pd.DataFrame) -> pd.DataFrame:
    """Rows of `over_seeds` by the first of the columns, the best last, rows without it first."""
    return summary.sort_values(measured(summary)[:1], na_position="first", kind="stable").reset_index(drop=True)


def _cells(summary: pd.DataFrame, reference: pd.DataFrame | None, plus_minus: str = "±") -> pd.DataFrame:
    """What is printed of `over_seeds`: figures as text, over several seeds with their standard deviation."""
    shown = {}
    for key in measured(summary):
        name = COLUMNS[key]
        figures, spread = (summary[column].map("{:.3f}".format) for column in (key, f"{key} sd"))
        if key not in UNRANKED:
            figures = figures.where(summary[f"{key} sd"].isna(), figures + f" {plus_minus} " + spread)
        shown[name] = figures.where(summary[key].notna(), "-")
        if key in WITH_INTERVAL and f"{key} low" in summary:
            ends = summary[f"{key} low"].map("{:.2f} to ".format) + summary[f"{key} high"].map("{:.2f}".format)
            shown[f"{name} 95 %"] = ends.where(summary[f"{key} low"].notna(), "-")
    for (metric, source), figures in reference.groupby(["metric", "source"]) if reference is not None else ():
        values = summary["row"].map(figures.set_index("row")["value"]).where(summary["test_set"] == "")
        shown[f"{COLUMNS.get(metric, metric)} in {source}"] = values.map("{:.3f}".format).where(values.notna(), "-")
    return pd.DataFrame(shown, index=summary.index)


def _plain(name: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_<>|\[\]])", r"\\\1", name)


def _tex(name: str) -> str:
    """Text that LaTeX shows as it is."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return re.sub(r"[\\~^&%$#_{}]", lambda found: special.get(found[0], f"\\{found[0]}"), name)
