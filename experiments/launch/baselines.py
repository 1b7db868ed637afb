"""The baselines that stand beside a table's rows: computed once for each setting of the data, shared by links."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ..config.rows import Row
from ..doctor import PIXEL_FREE
from ..runs.damage import DamagedFileError
from ..runs.folder_lock import AtWorkError, hold_folder
from ..runs.run import run_folders
from ..training.baseline_folders import BASELINES, Asked, baseline_folders, lock_of_baselines
from .launcher import PROGRAM, Resources
from .plan import WantedRun
from .steps import Step


def baseline_steps(jobs: Sequence[WantedRun], runs: Path, options: Mapping[Row, list[str]]) -> list[Step]:
    """Steps that leave the baselines in the folder of every table that has a row with masks.

    Where a table's rows differ in their data, those of the row are taken whose data most rows of all tables have.

    Args:
        jobs: Of whose tables.
        runs: Folder of runs.
        options: Of each row's command.
    """
    chosen = _choose(jobs)
    first: dict[Asked, str] = {}
    steps = []
    for job in chosen:
        key = _describe(job)
        name = f"baselines of {job.row.table} seed{job.seed}"
        if done(runs, job.row.table, job.seed, key):
            first.setdefault(key, name)
            continue
        home = _home(runs, job.seed, key)
        waits = (first[key],) if home is None and key in first else ()
        first.setdefault(key, name)
        steps.append(_step(job, key, name, runs, waits, options[job.row]))
    return steps


def _choose(jobs: Sequence[WantedRun]) -> list[WantedRun]:
    counted = Counter(_describe(job) for job in jobs if job.row.is_listed)
    tables: dict[tuple[str, int], list[WantedRun]] = {}
    for job in jobs:
        if job.row.is_listed:
            tables.setdefault((job.row.table, job.seed), []).append(job)
    return [
        max(rows, key=lambda job: counted[_describe(job)])
        for rows in tables.values()
        if any(job.config["model"]["class_path"] != PIXEL_FREE for job in rows)
    ]


def _describe(job: WantedRun) -> Asked:
    return Asked.of(job.config, job.data)


def done(runs: Path, table: str, seed: int, asked: Asked) -> bool:
    """Whether all baselines of a table are there, of some data."""
    try:
        return all(asked.lies_in(folder) for folder in baseline_folders(runs, table, seed).values())
    except DamagedFileError:  # which the command that makes them will name
        return False


def _home(runs: Path, seed: int, key: Asked) -> str | None:
    """A table that has them already; none where nobody can tell which data are wanted."""
    for run in run_folders(runs) if key.known else ():
        if (run.row, run.seed) == (BASELINES[0], seed) and not run.folder.path.is_symlink():
            if done(runs, run.table, seed, key):
                return run.table
    return None


def _step(job: WantedRun, key: Asked, name: str, runs: Path, waits: tuple[str, ...], options: Sequence[str]) -> Step:
    table, seed = job.row.table, job.seed
    at_work = lock_of_baselines(runs, table, seed)

    def command() -> list[str] | None:
        with suppress(AtWorkError), hold_folder(at_work, wait=False):
            folders = baseline_folders(runs, table, seed)
            for folder in folders.values():
                if folder.path.is_symlink():
                    folder.path.unlink()
            if home := _home(runs, seed, key):
                for baseline, shared in baseline_folders(runs, home, seed).items():
                    _link(shared.path, folders[baseline].path)
                return None
        alone = ["--trainer.devices=1", "--trainer.num_nodes=1"]
        words = [*job.row.files, *options, *alone, f"--seed_everything={seed}"]
        return [*PROGRAM, "baselines", *words, f"--trainer.default_root_dir={job.folder(runs).path}"]

    def lacking() -> str:
        return "" if done(runs, table, seed, key) else "ended, but not all baselines are there"

    resources = Resources(workers=job.config["data"]["init_args"]["num_workers"])
    return Step(name, waits, command, lacking, at_work.path.with_suffix(".txt"), resources)


def _link(home: Path, folder: Path) -> None:
    """Puts a link to a baseline's folder in the place of what other data have left there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while folder.exists():
        aside = folder.with_name(f"{folder.name}-stale-{number}")
        if not aside.exists():
            folder.rename(aside)
        number += 1
    folder.symlink_to(os.path.relpath(home, folder.parent))
