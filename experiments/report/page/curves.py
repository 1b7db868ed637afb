"""How rows learnt: what their logs say, joined over all starts of a training."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from ...runs.damage import DamagedFiles, blame_file, read_csv
from ...runs.folder import RunFolder
from ...runs.run import Run
from .plots import Line, draw_lines

POINTS = 200
"""Of a line; longer logs are drawn as means of as many stretches."""

LOGGED = {"val/pixel_iou_balanced": "balanced IoU", "val/frame_auroc": "frame AUROC", "train/loss": "training loss"}
"""What is drawn, by its key in the logs."""

CURVE_COLUMNS = ("epoch", "step", *LOGGED)
REMOVED = "put back a sound copy, or remove it: its part of the curves is lost then"
"""What to do about a damaged log."""


def read_curves(folder: RunFolder) -> pd.DataFrame:
    """Reads the logs of a training.

    What an interrupted start had logged beyond the point from which the next one went on is left out.

    Returns:
        `epoch`, `step`, and those of `LOGGED` that were logged; sorted by step.

    Raises:
        DamagedFileError: A log is damaged.
    """
    logs = folder.path.glob("logs/version_*/metrics.csv")
    parts: list[pd.DataFrame] = []
    for path in sorted(logs, key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0)):
        with blame_file(path, REMOVED):
            if not path.stat().st_size:
                continue
        part = read_csv(path, list(CURVE_COLUMNS), REMOVED, usecols=lambda name: name in CURVE_COLUMNS)
        part = part.dropna(how="all", subset=[name for name in part if name in LOGGED])
        if "step" in part and "train/loss" in part and part["train/loss"].notna().any():  # else nothing was trained
            parts = [earlier[earlier["step"] < part["step"].min()] for earlier in parts] + [part]
    if not parts:
        return pd.DataFrame(columns=["epoch", "step"])
    return pd.concat(parts, ignore_index=True).sort_values("step", kind="stable")


def draw_curves(runs: Iterable[Run], series: dict[str, int], left_out: DamagedFiles) -> dict[str, str]:
    """Draws the curves of a table's rows, all seeds of one in its colour.

    Args:
        runs: Of one table.
        series: Number of each row, which sets its colour.
        left_out: Is told of damaged files, whose runs are not drawn.

    Returns:
        SVG by what it shows; nothing where nothing was logged.
    """
    known = []
    for run in runs:
        with left_out.noted():
            known.append(
                (run, read_curves(run.folder), run.folder.read_provenance("fit"), run.folder.read_provenance("test"))
            )
    drawn = {}
    for key, name in LOGGED.items():
        lines = []
        for run, logged, fit, test in known:
            if key in logged and logged[key].notna().any():
                curve = logged[["epoch", "step", key]].dropna(subset=[key])
                x, y = shorten(curve[["step", key]])
                lines.append(
                    Line(x, y, series[run.row], f"{run.row}, seed {run.seed}", _chosen_point(fit, test, curve))
                )
        if lines:
            low, high = (end(lines, key=lambda line: line.y[-1]) for end in (min, max))
            ends = f"{low.y[-1]:.3f} ({low.name}) to {high.y[-1]:.3f} ({high.name})"
            said = f"{name} of {len(lines)} trainings by optimiser step, which ends at {ends}"
            drawn[name] = draw_lines(lines, name, said)
    return drawn


def shorten(curve: pd.DataFrame, points: int = POINTS) -> tuple[list[float], list[float]]:
    """Two columns as lists; where they are longer than `points`, means of as many stretches of equal length."""
    if len(curve) > points:
        curve = curve.groupby(np.arange(len(curve)) * points // len(curve)).mean()
    return curve.iloc[:, 0].tolist(), curve.iloc[:, 1].tolist()


def _chosen_point(fit: dict[str, Any], test: dict[str, Any], curve: pd.DataFrame) -> int | None:
    """Which point of a curve is the checkpoint that was tested; None where the curve did not choose it."""
    chooser, epoch = fit.get("selected_by"), test.get("epoch")
    there = (curve["epoch"] == epoch).to_list()
    return there.index(True) if chooser == curve.columns[-1] and len(there) <= POINTS and True in there else None
