"""One run for rows that ask for the same: the others' folders link to its files. What is stale is moved aside."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from datamodules.files import write_atomically

from .damage import DamagedFiles
from .folder import RunFolder
from .run import Run, all_runs

SHARED = (
    "checkpoints",
    "data.parquet",
    "logs",
    "overlays",
    "frames.parquet",
    "histograms.npz",
    "intervals.json",
    "metrics.json",
    "provenance.json",
    "config.yaml",
)
"""What rows share, the last being what says that all is there. A further test of a row is its own: it writes there, and
provenance, once written to, is a file of its own."""


def runs_by_key(runs: Path, left_out: DamagedFiles | None = None) -> dict[str, list[RunFolder]]:
    """Finds finished trainings under a folder of runs, also those moved aside, by the hash of their settings.

    Args:
        runs: The folder.
        left_out: Is told of damaged files, whose runs are passed over.
    """
    found: dict[str, list[RunFolder]] = {}
    for run in (each.folder for each in all_runs(runs)):
        with (left_out or DamagedFiles()).noted():
            if not run.config.is_symlink() and run.is_trained and (key := run.key):
                found.setdefault(key, []).append(run)
    return found


def find_home(folder: RunFolder) -> Path | None:
    """Where the run lies whose files a folder links to; None for a run of its own."""
    if not folder.config.is_symlink():
        return None
    return Path(os.path.normpath(folder.path / os.readlink(folder.config))).parent


def link(home: Path, folder: RunFolder) -> None:
    """Makes a row's folder show the run that lies in another, by relative links, one a file."""
    folder.path.mkdir(parents=True, exist_ok=True)
    _link(home, folder.path, [name for name in SHARED if (home / name).exists()])


def _link(home: Path, folder: Path, names: Iterable[str]) -> None:
    for name in names:
        with write_atomically(folder / name) as unfinished:
            unfinished.symlink_to(os.path.relpath(home / name, folder))


def move_aside(folder: RunFolder) -> Path:
    """Renames a run's folder to one that no table reads, `seed0-stale-1`: nothing is lost, and who shares it follows.

    Returns:
        Where it lies now.
    """
    number = 1
    while (aside := folder.path.with_name(f"{folder.path.name}-stale-{number}")).exists():
        number += 1
    sharing = [other.folder for other in all_runs(Run.at(folder.path).runs) if find_home(other.folder) == folder.path]
    folder.path.rename(aside)
    for other in sharing:
        _link(aside, other.path, [name for name in SHARED if (other.path / name).is_symlink()])
    return aside
