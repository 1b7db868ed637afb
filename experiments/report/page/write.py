"""Puts the page of a runs folder together."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd
from tqdm import tqdm

from datamodules.files import write_text

from ...runs.damage import DamagedFiles, read_csv
from ...runs.run import Run, run_folders, scale_of
from ...runs.share import find_home
from ..columns import BASELINE, METRIC_COLUMNS, QUESTIONS, heading, read_published, split_by_table
from ..results import summarise_seeds
from .curves import draw_curves
from .gallery import BUDGET, JudgedPicture, embed_pictures, find_pictures
from .grids import Grid, grid_of_tests, grids_of_methods, headline, trained_rows
from .plots import HUES, Point, draw_points
from .sheet import Sheet, Top, find_best_rows, sheet


class Gallery(NamedTuple):
    """Pictures of a row.

    Attributes:
        row: Its name.
        same_as: Table and row, shown before, whose run it shares; "" if none.
        ends: Pictures by `best` and `worst`; none where nothing was drawn.
    """

    row: str
    same_as: str
    ends: dict[str, list[JudgedPicture]]


class Section(NamedTuple):
    """A table and all that is drawn of it.

    Attributes:
        name: Of the table.
        question: It asks; "" of tables of one's own.
        facts: Its heading.
        headline: What rows are ordered by.
        top: Who is first.
        sheet: Its metrics.
        series: Number of each trained row, which sets its colour.
        curves: SVG by what it shows.
        costs: Metrics against GFLOPs, SVG by name.
        tests: Rows by the data they were tested on.
        methods: Rows by the method of the fakes.
        galleries: Of its rows, the best first.
    """

    name: str
    question: str
    facts: str
    headline: str
    top: Top
    sheet: Sheet
    series: dict[str, int]
    curves: dict[str, str]
    costs: dict[str, str]
    tests: Grid | None
    methods: list[Grid]
    galleries: list[Gallery]


def write_results_page(runs: Path, found: pd.DataFrame, left_out: DamagedFiles | None = None) -> int:
    """Writes `index.html` into a folder of runs.

    Its size is bounded: pictures by `BUDGET`, curves by their number of points.

    Args:
        runs: The folder.
        found: Its `results`.
        left_out: Is told of damaged files, whose curves, costs or pictures are not drawn.

    Returns:
        Size of the page in bytes.
    """
    left_out = left_out or DamagedFiles()
    folders, sections, homes = run_folders(runs), [], dict[Path, str]()
    for name, table in (progress := tqdm(list(split_by_table(found)), "drawing the page", unit="table", leave=False)):
        progress.set_postfix_str(name)
        of_table = [run for run in folders if run.table == name]
        sections.append(_section(runs, name, table, of_table, homes, left_out))
    galleries = (gallery.ends for section in sections for gallery in section.galleries)
    pictures, beyond = embed_pictures(galleries, left_out=left_out)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("page.html").render(
        runs=runs,
        scale=scale_of(runs),
        sections=sections,
        results=len(found),
        pictures=pictures,
        left_out=beyond,
        budget=BUDGET,
        hues=HUES,
        has_costs=(runs / "cost.csv").is_file(),
    )
    write_text(runs / "index.html", page)
    return (runs / "index.html").stat().st_size


def _section(
    runs: Path, name: str, table: pd.DataFrame, folders: list[Run], homes: dict[Path, str], left_out: DamagedFiles
) -> Section:
    summary = summarise_seeds(table)
    shown = sheet(summary, read_published(name))
    trained = trained_rows(summary)
    series = {row: number for number, row in enumerate(sorted(set(trained["row"])))}
    of_rows = [run for run in folders if run.row in series]
    key, costs = headline(summary), dict[str, str]()
    with left_out.noted():
        costs = _draw_costs(runs / "cost.csv", name, trained, series)
    return Section(
        name,
        QUESTIONS.get(name, ""),
        heading(table, scale_of(runs)),
        METRIC_COLUMNS[key] if key else "",
        find_best_rows(summary),
        shown,
        series,
        draw_curves(of_rows, series, left_out),
        costs,
        grid_of_tests(summary),
        grids_of_methods(summary),
        _galleries(of_rows, summary, homes, left_out),
    )


def _draw_costs(path: Path, table: str, trained: pd.DataFrame, series: dict[str, int]) -> dict[str, str]:
    """Draws balanced IoU and headline of rows against their GFLOPs, by name; nothing where no cost is known."""
    if not path.is_file():
        return {}
    costs = read_csv(path, ["flops", "parameters", "ms", "size"], "measure again, by make cost")
    costs = costs[costs["table"] == table].drop_duplicates("row", keep="last").drop(columns="table")
    joined = trained[trained["test_set"] == ""].merge(costs, on="row")
    drawn_costs = {}
    for key in dict.fromkeys(["test/pixel_iou_balanced", headline(trained) or ""]):
        there = joined.dropna(subset=[key]).to_dict("records") if key in joined else []
        points = [_point(line, key, series) for line in there]
        if points:
            name = METRIC_COLUMNS[key]
            drawn_costs[name] = draw_points(points, "GFLOPs a frame", name)
    return drawn_costs


def _point(line: dict[str, Any], key: str, series: dict[str, int]) -> Point:
    gflops = line["flops"] / 1e9
    name = (
        f"{line['row']}: {METRIC_COLUMNS[key]} {line[key]:.3f}, {gflops:.2f} GFLOPs at {line['size']} pixels, "
        f"{line['parameters'] / 1e6:.1f} M parameters, {line['ms']:.1f} ms a frame on {line['device']}"
    )
    low, high = (line.get(f"{key} {end}", float("nan")) for end in ("low", "high"))
    return Point(gflops, line[key], low, high, series[line["row"]], name)


def _galleries(
    folders: list[Run], summary: pd.DataFrame, homes: dict[Path, str], left_out: DamagedFiles
) -> list[Gallery]:
    """Pictures of the first seed of each row, the best row first; those of a shared run once."""
    key = headline(summary)
    own = summary[(summary["test_set"] == "") & ~summary["row"].str.startswith(BASELINE)]
    order = own.sort_values(key, ascending=False, kind="stable")["row"] if key else own["row"]
    galleries = []
    for row in order:
        run = min((run for run in folders if run.row == row), key=lambda run: run.seed)
        here = run.row_name
        earlier = homes.setdefault(find_home(run.folder) or run.folder.path, here)
        ends: dict[str, list[JudgedPicture]] = {}
        with left_out.noted():
            ends = find_pictures(run) if earlier == here else {}
        galleries.append(Gallery(row, "" if earlier == here else earlier, ends))
    return galleries
