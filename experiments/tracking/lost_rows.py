"""Finds what W&B has lost of a training whose process was killed.

It writes to its file every 15 s, the CSV log of the same metrics at each step.
"""

from __future__ import annotations

import csv
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..runs.folder import RunFolder
from ..runs.share import find_home
from .offline import LoggedRows, files_of, id_of

OF_ANOTHER = ("WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH")
"""What the environment may say of another run than the one that is completed."""

OFFLINE = {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}


def lost_rows(folder: RunFolder, rows: LoggedRows, before: float = math.inf) -> list[tuple[int, dict[str, Any]]]:
    """Rows that a training had logged when its process was killed, and that W&B has lost, in the order of their steps.

    Args:
        folder: Of the run.
        rows: What W&B has.
        before: The optimiser step from which on the training itself logs.

    Returns:
        Optimiser step and metrics of each; what was drawn is not among them.
    """
    if not rows.cut or find_home(folder):  # what shares another one's training has not logged it
        return []
    logged = sorted(_csv_rows(folder.path, rows.since).items())
    lacking = [(step, rows.missing_from(step, row)) for step, row in logged if step < before]
    return [(step, row) for step, row in lacking if row.keys() - {"epoch"}]


def drop_test_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What of some metrics is a row's: those of a test come from the files it leaves."""
    return {key: value for key, value in metrics.items() if not key.startswith("test/")}


def complete(file: Path) -> str | None:
    """Has what W&B has lost of a run written to a further offline folder, by a process of its own.

    Args:
        file: The run's newest `.wandb` file, to which no process logs.

    Returns:
        None if nothing lacks any more, else why it does.
    """
    folder, rows = RunFolder(file.parents[2]), LoggedRows()
    try:
        for each in files_of(folder.path, id_of(file)):
            rows.add(each)
    except ValueError:  # of a damaged file, which is told by who sends it
        return None
    if not lost_rows(folder, rows):
        return None
    ended = subprocess.run(
        [sys.executable, "-m", "experiments.tracking.complete", str(file)],
        env={key: value for key, value in os.environ.items() if key not in OF_ANOTHER} | OFFLINE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return [f"status {ended.returncode}", *ended.stdout.splitlines()][-1] if ended.returncode else None


def _csv_rows(folder: Path, since: str) -> dict[int, dict[str, Any]]:
    """What the CSV logs of a training say of each optimiser step.

    What a start had logged beyond the point from which the next one went on is left out, and so are logs that were
    complete before W&B's files here were begun: what was logged with them has been sent and removed.
    """
    found: dict[int, dict[str, Any]] = {}
    logs = folder.glob("logs/version_*/metrics.csv")
    for path in sorted(logs, key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0)):
        with suppress(OSError, csv.Error):
            if time.strftime("%Y%m%d_%H%M%S", time.localtime(path.stat().st_mtime)) < since:
                continue
            part = _csv_part(path)
            found = {step: row for step, row in found.items() if step < min(part, default=math.inf)} | part
    return found


def _csv_part(path: Path) -> dict[int, dict[str, Any]]:
    with path.open(newline="", errors="replace") as file:
        lines = [line for line in file if line.endswith("\n")]  # a killed process may have left half of one
    part: dict[int, dict[str, Any]] = {}
    for line in csv.DictReader(lines):
        row = drop_test_metrics({key: _number(text) for key, text in line.items() if key and text})
        step = row.pop("step", None)
        if isinstance(step, int) and row.keys() - {"epoch"}:
            part.setdefault(step, {}).update(row)
    return part


def _number(text: str) -> Any:
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text
