"""The command `collect`: from the metrics of all runs to tables on the terminal, to files, and to a page."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from datamodules.files import write_text

from ..errors import ExperimentMissingError
from ..runs.damage import DamagedFiles
from ..runs.run import scale_of
from .columns import heading, read_published, split_by_table, title
from .formats import latex, markdown, text
from .page.write import write_results_page
from .results import results, timings


def collect(arguments: Sequence[str]) -> None:
    """Prints the tables and writes `results.csv`, `timings.csv`, `tables/<table>.md` and `.tex`, and `index.html`.

    Args:
        arguments: Folder of runs (default `runs`) and, optionally, `--table NAME`.

    Raises:
        FileNotFoundError: There is no result.
        SystemExit: Status 1 where damaged files were left out; they are named on stderr, and all else is written.
    """
    parser = argparse.ArgumentParser("python -m experiments collect", description="Prints the tables of a runs folder.")
    parser.add_argument("runs", type=Path, nargs="?", default=Path("runs"), help="folder of runs (default runs)")
    parser.add_argument("--table", help="print this one only")
    options = parser.parse_args(arguments)
    left_out = DamagedFiles()
    found = results(options.runs, left_out)
    printed = found[found.table == options.table] if options.table else found
    if printed.empty:
        left_out.tell()
        raise ExperimentMissingError(
            f"{options.runs} holds no metrics.json of {options.table or 'any table'}: train and test a row first, "
            "such as make train EXP=demo/segmentation DATA=data/mini"
        )
    for name, table in split_by_table(found):
        facts = heading(table, scale_of(options.runs))
        if name in set(printed.table):
            print(f"\n{name}{f', {facts}' if facts else ''}\n{text(table, read_published(name))}")
        for form, suffix in ((markdown, "md"), (latex, "tex")):
            write_text(
                options.runs / "tables" / f"{name}.{suffix}", form(table, read_published(name), title(name, facts))
            )
    write_text(options.runs / "results.csv", found.to_csv(index=False))
    write_text(options.runs / "timings.csv", timings(options.runs, left_out).to_csv(index=False))
    size = write_results_page(options.runs, found, left_out)
    print(f"\nall {len(found)} results with every metric: {options.runs / 'results.csv'}")
    print(f"as a page, with curves and pictures ({size / 1e6:.1f} MB): {options.runs / 'index.html'}")
    if left_out.sentences:
        left_out.tell()
        raise SystemExit(1)
