"""One row from its training to its last test, in one process: imports alone take ten seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..runs.folder import RunFolder
from ..runs.folder_lock import hold_folder
from ..runs.run import Run
from ..signals import end_if_told, is_first
from ..tracking.mode import finish
from .further_tests import further_tests, put_aside, take_own
from .lightning_cli import ForensicsCLI
from .settings import Settings
from .stages import StagesCLI


def run_row(words: Sequence[str]) -> None:
    """Trains, or goes on, tests, and does the row's further tests, each once.

    Another process that is at the same row is waited for.

    Args:
        words: Configuration files and options, as of `fit`.
    """
    settings = Settings()
    row, config = settings.parse(words)
    named = config["trainer"]["default_root_dir"]
    folder = RunFolder(Path(named)) if named else Run.of_row(Path("runs"), row, config["seed_everything"]).folder
    with hold_folder(folder):
        _carry_out(["fit", *words])
        if not row.is_listed:
            return
        _carry_out(["test", *words])
        cli = ForensicsCLI(words, run=False)  # for the hash of what it started from
        for test in further_tests(cli.resolved, settings.apply):
            if test.lacking:
                print(f"{test.name} is left out: {', '.join(test.lacking)} is not on disk")
            elif not test.is_due(folder):
                continue
            elif test.same:
                if is_first():
                    take_own(folder, test)
            else:
                if is_first():
                    put_aside(folder, test.name)
                _carry_out(["test", *words, *test.options, "--name", test.name])
                if is_first():  # what it is known by, also where another class reads its settings in its own way
                    stage = f"test-{test.name}"
                    folder.note(stage, {**folder.read_provenance(stage), "measured_by": test.key})


def _carry_out(words: Sequence[str]) -> None:
    StagesCLI(words)
    finish(exit_code=0)
    end_if_told()
