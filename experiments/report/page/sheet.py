"""What the page's tables, heat-maps and bars show, cell by cell."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from ..columns import BASELINE, LOWER_IS_BETTER, METRIC_COLUMNS, UNRANKED, group_by_data, mark_best
from ..formats import labels
from .grids import headline, sort_key, trained_rows


class Cell(NamedTuple):
    """A metric.

    Attributes:
        value: NaN where there is none.
        spread: Standard deviation over seeds; NaN of one seed.
        low: Lower end of its interval; NaN without one.
        high: Its upper end.
        best: Whether it is the best of its column.
    """

    value: float
    spread: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    best: bool = False


class Column(NamedTuple):
    """A column.

    Attributes:
        name: Its head.
        better: `higher`, `lower`, or "" where no row is better.
        source: Number of the note that says where published metrics are from; 0 for our own.
    """

    name: str
    better: str
    source: int


class SheetRow(NamedTuple):
    """A row: its name without `baseline-`, the data it was tested on, whether it is a baseline, and its cells."""

    name: str
    tested: str
    baseline: bool
    cells: list[Cell]


class Top(NamedTuple):
    """The best trained row of a table, and the best baseline on the same data; "" and NaN where there is none."""

    row: str
    metric: float
    baseline: str
    beside: float


class Sheet(NamedTuple):
    """A table to sort: its columns, its rows, the best first, and the sources of published metrics."""

    columns: list[Column]
    rows: list[SheetRow]
    sources: list[str]


def sheet(summary: pd.DataFrame, reference: pd.DataFrame | None) -> Sheet:
    """Arranges rows of `summarise_seeds`, beside the published metrics of a table."""
    key = headline(summary)
    order = (
        summary.sort_values(key, ascending=key in LOWER_IS_BETTER, kind="stable", ignore_index=True) if key else summary
    )
    marked = mark_best(order)
    columns = [Column(METRIC_COLUMNS[key], _better_direction(key), 0) for key in marked]
    rows = [[_cell(line, key, bool(marked.loc[i, key])) for key in marked] for i, line in order.iterrows()]
    sources: list[str] = []
    for (metric, source), metrics in reference.groupby(["metric", "source"]) if reference is not None else ():
        if source not in sources:
            sources.append(source)
        columns.append(
            Column(
                f"{METRIC_COLUMNS.get(metric, metric)}, published", _better_direction(metric), sources.index(source) + 1
            )
        )
        values = order["row"].map(metrics.set_index("row")["value"]).where(order["test_set"] == "")
        for cells, value in zip(rows, values, strict=True):
            cells.append(Cell(value))
    trained = ~order["row"].str.startswith(BASELINE)
    names = [label.removeprefix(BASELINE) for label in labels(order.assign(test_set=""))]
    return Sheet(
        columns, [SheetRow(*row) for row in zip(names, order["test_set"], ~trained, rows, strict=True)], sources
    )


def find_best_rows(summary: pd.DataFrame) -> Top:
    """Finds who is best on the data on which most trained rows were tested, their own before others.

    Where no two rows were tested on the same data nobody is best: then the one with the lowest stands for all.
    """
    nobody = ("", float("nan"))
    key = headline(summary)
    if key is None:
        return Top(*nobody, *nobody)
    order = summary.dropna(subset=[key]).sort_values(key, ascending=key in LOWER_IS_BETTER, kind="stable")
    of_data = [rows for _, rows in trained_rows(order).groupby(group_by_data(trained_rows(order)))]
    if len(of_data) > 1 and all(rows["row"].nunique() == 1 for rows in of_data):
        least = trained_rows(order).iloc[-1]
        return Top(f"{least['row']}, the least of {len(of_data)}, each on data of its own", float(least[key]), *nobody)
    names = [min(rows["test_set"].mode(), key=sort_key) for rows in of_data]
    rows, name = min(zip(of_data, names, strict=True), key=lambda one: (-one[0]["row"].nunique(), sort_key(one[1])))
    beside = order[order["row"].str.startswith(BASELINE) & group_by_data(order).isin(group_by_data(rows))]
    best_row = (rows["row"].iloc[0] + (f" on {name}" if name else ""), float(rows[key].iloc[0]))
    baseline = nobody if beside.empty else (beside["row"].iloc[0].removeprefix(BASELINE), float(beside[key].iloc[0]))
    return Top(*best_row, *baseline)


def _better_direction(key: str) -> str:
    return "" if key in UNRANKED else "lower" if key in LOWER_IS_BETTER else "higher"


def _cell(line: pd.Series, key: str, is_best: bool) -> Cell:
    spread, low, high = (float(line.get(f"{key} {kind}", float("nan"))) for kind in ("sd", "low", "high"))
    return Cell(line[key], float("nan") if key in UNRANKED else spread, low, high, is_best)
