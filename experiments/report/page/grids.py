"""Heat-maps and bars: metrics of trained rows by test data and by method."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from ..columns import BASELINE, METRIC_COLUMNS, UNRANKED

ORDER = ["raw", "c23", "c40", "mixed", "original", "deepfakes", "face2face", "faceshifter", "faceswap"]
"""What comes first, in this order, where rows or test sets are qualities or methods; the rest follow by name."""


class Grid(NamedTuple):
    """Metrics by two names.

    Attributes:
        title: What they are.
        across: Heads of the columns.
        rows: Name and metrics of each row; NaN where there is none.
        low: Of what the colour scale or the bars begin with.
        high: What they end with.
    """

    title: str
    across: list[str]
    rows: list[tuple[str, list[float]]]
    low: float
    high: float


def grid_of_tests(summary: pd.DataFrame) -> Grid | None:
    """Trained rows by the data they were tested on; None where that is their own only.

    Where rows differ in the methods of their own test, test sets of several methods are shown by method, too.
    """
    trained = trained_rows(summary)
    key = headline(trained)
    if key is None or set(trained["test_set"]) <= {""}:
        return None
    columns = {name or "own test split": (name, key) for name in sort_names(set(trained["test_set"]))}
    methods = columns_of_methods(trained, key)
    by_row = trained[trained["test_set"] == ""].set_index("row")[list(methods)].notna()
    if len(by_row.drop_duplicates()) > 1:
        for name in [name for name in columns.values() if name[0]]:
            measured = trained[trained["test_set"] == name[0]][list(methods)].notna().any()
            several = measured[measured].index if measured.sum() > 1 else []
            columns |= {f"{name[0]}: {methods[each]}": (name[0], each) for each in several}
    metrics = trained.set_index(["row", "test_set"])
    values = {
        row: [float(metrics[each].get((row, name), float("nan"))) for name, each in columns.values()]
        for row in sort_names(set(trained["row"]))
    }
    known = [value for row in values.values() for value in row if value == value]
    return Grid(METRIC_COLUMNS[key], list(columns), list(values.items()), min(known), max(known))


def columns_of_methods(trained: pd.DataFrame, metric: str) -> dict[str, str]:
    """Methods by the column that holds a metric of theirs, in order."""
    keys = [key for key in trained if key.startswith(f"{metric}/") and not key.endswith((" sd", " low", " high"))]
    methods = {key.removeprefix(f"{metric}/"): key for key in keys if trained[key].notna().any()}
    return {methods[name]: name for name in sort_names(methods)}


def grids_of_methods(summary: pd.DataFrame) -> list[Grid]:
    """Trained rows by the method of the fakes, one grid a metric; none where there is one method only.

    Of the data a row was tested on, those with most methods are taken, its own before others.
    """
    trained, grids = trained_rows(summary), []
    for metric in ("test/pixel_iou_balanced", "test/frame_auroc"):
        methods = columns_of_methods(trained, metric)
        if len(methods) < 2:
            continue
        metrics = trained[list(methods)]
        widest = metrics.notna().sum(axis=1).groupby(trained["row"]).idxmax()
        rows = [(row, [float(value) for value in metrics.loc[widest[row]]]) for row in sort_names(widest.index)]
        rows = [(row, values) for row, values in rows if any(value == value for value in values)]
        grids.append(Grid(METRIC_COLUMNS[metric], list(methods.values()), rows, 0, 1))
    return grids


def headline(summary: pd.DataFrame) -> str | None:
    """Finds what trained rows are ordered by: the first of the columns that every one has on its own test data.

    Where there is none, the first that any row has; None if nothing is measured.
    """
    trained = trained_rows(summary)
    own = trained[trained["test_set"] == ""] if (trained["test_set"] == "").any() else trained
    keys = [key for key in METRIC_COLUMNS if key in trained and key not in UNRANKED]
    of_all = [key for key in keys if own[key].notna().all()]
    return next((key for key in [*of_all, *keys] if trained[key].notna().any()), None)


def sort_names(names: Iterable[str]) -> list[str]:
    """Names as `ORDER` has them, the empty one first, unknown ones last and by the alphabet."""
    return sorted(names, key=sort_key)


def sort_key(name: str) -> tuple[int, str, str]:
    """What `sort_names` sorts a name by."""
    known, plain = ["", *ORDER], name.lower()
    return (known.index(plain) if plain in known else len(known), plain, name)


def trained_rows(summary: pd.DataFrame) -> pd.DataFrame:
    """Rows of `summarise_seeds` but for the baselines."""
    return summary[~summary["row"].str.startswith(BASELINE)].reset_index(drop=True)
