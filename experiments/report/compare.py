"""Two runs on the same frames: is one better, or were the people in the test set kind to it?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..errors import ExperimentValueError
from ..evaluation.intervals import REPLICATES, Comparison, compare_evaluations
from ..evaluation.sound import sound_result
from ..runs.folder import RunFolder
from .columns import METRIC_COLUMNS


def compare(arguments: Sequence[str]) -> None:
    """Prints the differences of two runs, first minus second, with intervals and p-values.

    Args:
        arguments: Two folders of runs; optionally `--name NAME` of other test data, `--all`, `--out FILE.csv`.

    Raises:
        FileNotFoundError: A folder holds no test.
        ValueError: The runs were tested on different frames, or a file of theirs is damaged.
    """
    parser = argparse.ArgumentParser("python -m experiments compare", description="Compares two tested runs.")
    parser.add_argument("first", type=Path, help="folder of a run, such as runs/table-2/resnet50-joint/seed0")
    parser.add_argument("second", type=Path, help="folder of another run, tested on the same data")
    parser.add_argument("--name", help="compare metrics-NAME.json, of other test data, instead")
    parser.add_argument("--all", action="store_true", help="every metric, also of each method")
    parser.add_argument("--replicates", type=int, default=REPLICATES, help=f"test sets drawn (default {REPLICATES})")
    parser.add_argument("--out", type=Path, help="write every metric to this CSV file as well")
    options = parser.parse_args(arguments)
    if options.replicates < 1:
        raise ExperimentValueError(
            f"--replicates is {options.replicates}, but at least one test set must be drawn: say 1000"
        )
    first, second = (sound_result(RunFolder(folder), options.name) for folder in (options.first, options.second))
    printed = [key.removeprefix("test/") for key in METRIC_COLUMNS if "always" not in key]
    comparisons = compare_evaluations(
        first, second, options.replicates, None if options.all or options.out else printed
    )
    by_key = {one.key: one for one in comparisons}
    shown = comparisons if options.all else [by_key[key] for key in printed if key in by_key]
    pairs = first.frames["pair"].nunique()
    print(f"A {options.first}\nB {options.second}\n{format_comparisons(shown)}")
    print(
        f"95 % intervals and p of A - B by paired bootstrap over {pairs} identity pairs, {options.replicates} "
        f"replicates; p is not corrected for {len(shown)} comparisons"
    )
    if pairs < 20:
        print(f"{pairs} pairs are few: intervals and p are rough")
    if options.out:
        pd.DataFrame(comparisons).to_csv(options.out, index=False)


def format_comparisons(comparisons: Sequence[Comparison]) -> str:
    """Comparisons as a table, a line each."""
    names = [METRIC_COLUMNS.get(f"test/{one.key}", one.key) for one in comparisons]
    table = pd.DataFrame(comparisons, index=names).drop(columns="key")
    table = table.rename(columns={"first": "A", "second": "B", "difference": "A - B", "low": "2.5 %", "high": "97.5 %"})
    return str(table.to_string(float_format="{:.3f}".format, na_rep="-"))
