"""Reads a folder of runs: what every tested row measured, and how long it took."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from .folder import RunFolder
from .reading import reading


class Run(NamedTuple):
    """One row with one seed.

    Attributes:
        table: It belongs to.
        row: Name of the row.
        seed: Of the training.
        folder: Of the row; what it shares with another one are links, see `share.home_of`.
    """

    table: str
    row: str
    seed: int
    folder: RunFolder

    @property
    def test_sets(self) -> list[str]:
        """Names of the data it was tested on, sorted; the table's own, "", is the first."""
        with reading(self.folder.path, "let it be read"):
            names = os.listdir(self.folder.path) if self.folder.path.exists() else []
        found = [re.fullmatch(r"metrics(?:-(.+))?\.json", name) for name in names]
        return sorted(match[1] or "" for match in found if match)

    def stage(self, test_set: str) -> str:
        """What `provenance.json` calls a test."""
        return f"test-{test_set}" if test_set else "test"


def run_folders(runs: Path) -> list[Run]:
    """Finds the runs `<table>/<row>/seed<n>` in a folder, sorted by table, row and seed."""
    found = []
    for path in runs.glob("*/*/seed*"):
        seed = re.fullmatch(r"seed(\d+)", path.name)
        if seed and path.is_dir():
            found.append(Run(path.parts[-3], path.parts[-2], int(seed[1]), RunFolder(path)))
    return sorted(found, key=lambda run: run[:3])


def scale_of(runs: Path) -> str:
    """What the headings must say of all runs in a folder, where `heading.txt` is there: that it was a quick try."""
    path = runs / "heading.txt"
    return path.read_text("utf-8", "replace").strip() if path.is_file() else ""
