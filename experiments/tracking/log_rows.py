"""`python -m experiments.tracking.log_rows FOLDER...`: logs to W&B what it lacks of tested rows.

These are above all the rows that share a run: a table there would lack those whose training another table has done.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from datamodules.parallel.pool import lock_file

from ..runs.damage import DamagedFiles
from ..runs.run import Run
from ..runs.share import find_home
from .mode import finish, leave_sweep, settle_mode
from .run_ids import list_unlogged, logger_of, run_id
from .sync import list_waiting


def log_missing(runs: Sequence[Run]) -> None:
    """Logs what W&B lacks of these rows, in a process of its own; W&B never stands in the way of a result.

    Args:
        runs: Those that are not tested, or logged, are left alone.
    """
    lacking, left_out = [], DamagedFiles()
    for run in runs:
        with left_out.noted():
            if list_unlogged(run):
                lacking.append(run.folder.path)
    left_out.tell()
    if lacking:
        status = subprocess.run([sys.executable, "-m", "experiments.tracking.log_rows", *map(str, lacking)]).returncode
        if status:
            print("W&B lacks some rows, as said above: the same command tries again", file=sys.stderr)


def log_row(run: Run) -> None:
    """Logs a row's configuration, metrics and frames as a run of its own, under its own table."""
    from .logger import ResumableWandbLogger  # here, for Lightning takes seconds

    given, home = logger_of(run.folder) or {}, find_home(run.folder)
    group = given.get("group")
    if home is None or group in (None, Run.at(home).table):  # else of the user's own choice
        group = run.table
    logger = ResumableWandbLogger(
        **{key: given[key] for key in ("project", "entity", "tags") if given.get(key)},
        save_dir=str(run.folder.path),
        name=run.title,
        group=group,
        id=run_id(run.folder.path),
    )
    for name in list_unlogged(run):
        logger.log_test(run.folder, name or None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Logs the rows in the folders given, each `<runs>/<table>/<row>/seed<n>`.

    Returns:
        Exit status: 1 where one could not be logged; each such is told with its reason.
    """
    paths = [Path(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    runs = [Run.at(path) for path in paths]
    runs.sort(key=lambda run: run.row_name != os.environ.get("SWEEP_ROW"))  # `leave_sweep` is for good
    os.environ.setdefault("WANDB_SILENT", "true")
    settle_mode(sum(len(list_waiting(path)) for path in paths))
    failed = 0
    for run in tqdm(runs, "logging to W&B", unit="row", disable=None):
        leave_sweep(run.row_name)
        try:
            with lock_file(run.folder.lock):
                log_row(run)
                finish(exit_code=0)
        except Exception as error:  # whatever is wrong with W&B or with one row's files, the others are logged
            finish(exit_code=1)
            failed += 1
            tqdm.write(f"not logged to W&B: {run.folder.path}: {error}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
