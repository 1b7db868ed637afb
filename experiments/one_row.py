"""One row from its training to its last test, in one process: imports alone take ten seconds."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from pytorch_lightning.utilities import rank_zero_only

from datamodules.parallel import one_at_a_time

from .folder import RunFolder
from .further import further_tests, put_aside, take_own
from .row import ForensicsCLI
from .settings import Settings
from .tracking import finish


def run_row(words: Sequence[str]) -> None:
    """Trains, or goes on, tests, and does the row's further tests, each once.

    Another process that is at the same row is waited for.

    Args:
        words: Configuration files and options, as of `fit`.
    """
    row, config = Settings().parse(words)
    named = config["trainer"]["default_root_dir"]
    folder = RunFolder(Path(named) if named else Path("runs", *row, f"seed{config['seed_everything']}"))
    first = getattr(rank_zero_only, "rank", 0) == 0
    with one_at_a_time(folder.lock) if first else nullcontext():
        ForensicsCLI(["fit", *words])
        finish(exit_code=0)
        if row[1].startswith("_"):  # no row, but a training that rows need
            return
        ForensicsCLI(["test", *words])
        finish(exit_code=0)
        cli = ForensicsCLI(words, run=False)  # for the hash of what it started from
        for test in further_tests(cli.resolved):
            if test.lacking:
                print(f"{test.name} is left out: {', '.join(test.lacking)} is not on disk")
            elif not test.due(folder):
                continue
            elif test.same:
                if first:
                    take_own(folder, test)
            else:
                if first:
                    put_aside(folder, test.name)
                ForensicsCLI(["test", *words, *test.options, "--name", test.name])
                finish(exit_code=0)
