"""Reads a folder of runs: what every tested row measured, and how long it took."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd

from ..runs.damage import DamagedFiles, blame_file, read_intervals, read_metrics
from ..runs.run import Run, run_folders
from ..runs.share import find_home

TEST_COLUMNS = ["table", "row", "seed", "test_set", "faces", "data"]
"""Columns of `results` beside metrics and the ends of their intervals."""


NO_METRIC = ("seed", "seeds")


TIMED = ["seconds", "device", "processes", "epochs", "steps", "frames"]


def results(runs: Path, left_out: DamagedFiles | None = None) -> pd.DataFrame:
    """Reads the metrics files of all runs in a folder.

    Args:
        runs: The folder.
        left_out: Is told of damaged files, whose tests have no row then.

    Returns:
        One row a file, sorted by table, row, seed and test set: `table`, `row`, `seed`, `test_set` ("" for the table's
        own), `faces` (source of the crops), `data` (the same for all that was tested on the same clips and as many
        frames; "" where it is not known), then the metrics and the ends of their intervals; NaN where a metric is not
        defined or not measured.

    Raises:
        DamagedFileError: A file is damaged, and nobody is to be told.
    """
    rows, each = [], left_out.noted if left_out else nullcontext
    for run in run_folders(runs):
        with each():
            for test_set in run.test_sets:
                with each():
                    rows.append(_result_row(run, test_set))
    return pd.DataFrame(rows, columns=None if rows else TEST_COLUMNS)


def _result_row(run: Run, test_set: str) -> dict[str, Any]:
    """A row of `results`."""
    noted = run.folder.read_provenance(run.stage(test_set))
    with blame_file(run.folder.provenance):
        data = f"{noted['index']}-{noted['frames']}" if "index" in noted else ""
        faces = str((noted.get("faces") or {}).get("source", ""))
    names = dict(zip(TEST_COLUMNS, (*run[:3], test_set, faces, data), strict=True))
    path, of_intervals = run.folder.metrics(test_set), run.folder.file("intervals", test_set, "json")
    pairs = read_intervals(of_intervals, path) if of_intervals.exists() else {}
    ends = {f"{key} {end}": pair[place] for key, pair in pairs.items() for place, end in enumerate(("low", "high"))}
    return {**names, **read_metrics(path), **ends, **names}


def timings(runs: Path, left_out: DamagedFiles | None = None) -> pd.DataFrame:
    """Reads how long trainings and tests took: what differs from run to run.

    Args:
        runs: Folder of runs.
        left_out: Is told of damaged files, whose runs have no rows then.

    Returns:
        One row a stage: `table`, `row`, `seed`, `stage` (`fit`, `test`, `test-NAME`), `run` (folder in which it ran;
        rows that share a run name the same), then `seconds` (of the last start, where it was interrupted), `device`,
        `processes`, `epochs`, `steps`, `frames`; NaN where a stage has none.

    Raises:
        DamagedFileError: A file is damaged, and nobody is to be told.
    """
    rows, each = [], left_out.noted if left_out else nullcontext
    for run in run_folders(runs):
        path = find_home(run.folder) or run.folder.path
        where = path.relative_to(runs) if path.is_relative_to(runs) else path
        names = {"table": run.table, "row": run.row, "seed": run.seed}
        with each():
            for stage in ["fit", *map(run.stage, run.test_sets)]:
                noted = run.folder.read_provenance(stage)
                if "seconds" in noted:
                    rows.append({**names, "stage": stage, "run": str(where), **{key: noted.get(key) for key in TIMED}})
    return pd.DataFrame(rows, columns=["table", "row", "seed", "stage", "run", *TIMED])


def summarise_seeds(found: pd.DataFrame) -> pd.DataFrame:
    """Joins the seeds of each row and test set.

    Args:
        found: Rows of `results`.

    Returns:
        One row for each `table`, `row` and `test_set`: `seeds` (how many), `seed` and `data` (of the first), of each
        metric and each end of an interval the mean, and `<metric> sd`, the standard deviation (divisor n - 1; NaN of
        one seed). What is not defined for every seed is NaN. The mean of the ends is, if anything, too wide an interval
        for the mean.
    """
    keys = [key for key in ("table", "row", "test_set") if key in found]
    metrics = [key for key in found if key not in (*TEST_COLUMNS, *NO_METRIC)]
    numbers = pd.concat([found[[*keys, "seed"]], found[metrics].astype(float)], axis=1)
    groups = numbers.groupby(keys, sort=False)
    seeds = groups["seed"].agg(["size", "min"]).set_axis(["seeds", "seed"], axis=1)
    means, deviations = groups[metrics].mean(), groups[metrics].std()
    seeds["data"] = found.groupby(keys, sort=False)["data"].first() if "data" in found else ""
    everywhere = groups[metrics].count().eq(seeds["seeds"], axis=0)
    plain = [key for key in metrics if not key.endswith((" low", " high"))]
    parts = [seeds, means.where(everywhere), deviations.where(everywhere)[plain].add_suffix(" sd")]
    return pd.concat(parts, axis=1).reset_index()
