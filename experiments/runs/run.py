"""A run of a row with one seed, and where it lies: `<runs>/<table>/<row>/seed<n>`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from ..config.rows import Row
from .damage import blame_file
from .folder import RunFolder


class Run(NamedTuple):
    """One row with one seed.

    Attributes:
        table: It belongs to.
        row: Name of the row.
        seed: Of the training.
        folder: Of the row; what it shares with another one are links, see `share.find_home`.
    """

    table: str
    row: str
    seed: int
    folder: RunFolder

    def __str__(self) -> str:
        """As sentences name it, `table-2/resnet50-joint/seed0`; of a run moved aside the last part says so."""
        return f"{self.row_name}/{self.folder.path.name}"

    @classmethod
    def of_row(cls, runs: Path, row: Row, seed: int) -> Run:
        """The run of a row, there or not.

        Args:
            runs: Folder of runs.
            row: The row.
            seed: Of the training.
        """
        return cls(row.table, row.name, seed, RunFolder(runs / row.table / row.name / f"seed{seed}"))

    @classmethod
    def at(cls, path: Path) -> Run:
        """The run in a folder, by its place; the seed is 0 where the folder's name tells none."""
        table, row, name = path.absolute().parts[-3:]
        seed = re.match(r"seed(\d+)", name)
        return cls(table, row, int(seed[1]) if seed else 0, RunFolder(path))

    @property
    def runs(self) -> Path:
        """The folder of runs that it lies in."""
        return self.folder.path.parent.parent.parent

    @property
    def row_name(self) -> str:
        """Its row as other rows and the command line name it, `table-2/resnet50-joint`."""
        return f"{self.table}/{self.row}"

    @property
    def title(self) -> str:
        """What W&B calls it beside its table, `resnet50-joint-seed0`."""
        return f"{self.row}-seed{self.seed}"

    @property
    def test_sets(self) -> list[str]:
        """Names of the data it was tested on, sorted; the table's own, "", is the first."""
        with blame_file(self.folder.path, "let it be read"):
            names = os.listdir(self.folder.path) if self.folder.path.exists() else []
        found = [re.fullmatch(r"metrics(?:-(.+))?\.json", name) for name in names]
        return sorted(match[1] or "" for match in found if match)

    def stage(self, test_set: str) -> str:
        """What `provenance.json` calls a test."""
        return f"test-{test_set}" if test_set else "test"


def run_folders(runs: Path) -> list[Run]:
    """Finds the runs in a folder of runs, sorted by table, row and seed."""
    found = [run for run in all_runs(runs) if run.folder.path.name == f"seed{run.seed}"]
    return sorted(found, key=lambda run: run[:3])


def all_runs(runs: Path) -> list[Run]:
    """Finds the runs in a folder of runs, also those moved aside, sorted by their folders."""
    return [Run.at(path) for path in sorted(runs.glob("*/*/seed*")) if path.is_dir()]


def scale_of(runs: Path) -> str:
    """What the headings must say of all runs in a folder, where `heading.txt` is there: that it was a quick try."""
    path = runs / "heading.txt"
    return path.read_text("utf-8", "replace").strip() if path.is_file() else ""
