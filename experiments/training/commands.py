"""Commands on one row, given by configuration files and options."""

from __future__ import annotations

from functools import partial

from ..config.keys import check_keys
from ..config.layers import add_table_base, read_layers
from ..signals import lead_processes
from .baselines import run_baselines
from .lightning_cli import ForensicsCLI
from .row import run_row
from .stages import StagesCLI


def _run_stage(stage: str, words: list[str]) -> None:
    words = _check(words)
    with lead_processes():
        StagesCLI([stage, *words])


fit, validate, test, predict = (partial(_run_stage, stage) for stage in ("fit", "validate", "test", "predict"))


def row(words: list[str]) -> None:
    """Trains a row, or goes on, tests it, and does its further tests."""
    words = _check(words)
    with lead_processes():
        run_row(words)


def baselines(words: list[str]) -> None:
    """Tests the baselines that a row's table stands beside."""
    words = _check(words)
    with lead_processes():
        run_baselines(ForensicsCLI(words, run=False))


def _check(words: list[str]) -> list[str]:
    """With the table's own settings; every key is known."""
    words = add_table_base(words)
    check_keys(read_layers(words))
    return words
