"""The command line: which commands there are, and which runs."""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NamedTuple

from .signals import END_PATIENCE_S, end_if_told, end_with_starter, fail, is_first, listen_to_signals, status_of

# Advertisements, and calls of Lightning 2.6 that torch 2.14 and jsonargparse 4.53 deprecate.
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(lambda record: "Tip:" not in record.getMessage())
warnings.filterwarnings("ignore", message="The `srun` command is available")  # on a login node
warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)")


class Command(NamedTuple):
    """A command.

    Attributes:
        home: Module and function that carry it out, imported when it runs: `training.commands:fit`.
        text: What it does, and options.
    """

    home: str
    text: str

    def function(self) -> Callable[[list[str]], int | None]:
        """What takes the words behind the command's name, and returns an exit status."""
        module, _, name = self.home.partition(":")
        function: Callable[[list[str]], int | None] = getattr(import_module(f".{module}", __package__), name)
        return function


COMMANDS = {
    "fit": Command(
        "training.commands:fit",
        "trains a row: -c experiments/tables/base.yaml -c experiments/tables/table-1/resnet50-unet.yaml [--option x]",
    ),
    "validate": Command("training.commands:validate", "its best checkpoint on the validation split"),
    "test": Command(
        "training.commands:test", "its best checkpoint on the test split, once; --name NAME for other test data"
    ),
    "predict": Command(
        "training.commands:predict",
        "writes predictions of its best checkpoint; status 1 where clips could not be read whole",
    ),
    "row": Command("training.commands:row", "fit, test and the row's further tests, in one start"),
    "baselines": Command(
        "training.commands:baselines",
        "what a row's table stands beside: all-fake, all-real, centre box, mean mask, colour statistics",
    ),
    "plan": Command(
        "launch.command:show",
        "what run would do, and how long it takes: table-3 ablation-loss [--seeds 0 1 2] [--quick] [-- --any.option x]",
    ),
    "run": Command(
        "launch.command:run_request",
        "rows and tables, whole: needed rows first, each training once, on from where it stopped [--jobs 2]",
    ),
    "collect": Command(
        "report.collect:collect", "prints the tables of runs/ and writes results.csv: [FOLDER] [--table NAME]"
    ),
    "compare": Command(
        "report.compare:compare",
        "two tested runs: differences, intervals, p: runs/table-2/a/seed0 runs/table-2/b/seed0 [--all]",
    ),
    "cost": Command(
        "cost:cost", "parameters, FLOPs and time a frame, without data: table-1 table-2/resnet50-joint [--batch_size 8]"
    ),
    "doctor": Command(
        "doctor:doctor",
        "what is in a data folder, what is wrong with it, what each table lacks: ROOT [--frames 8] [--out runs/doctor]",
    ),
    "export": Command(
        "export:export",
        "a checkpoint as ONNX or torch.export file: --checkpoint runs/.../best.ckpt --out model.onnx [model.pt2]",
    ),
    "sync": Command("tracking.sync:main", "sends to W&B what was logged offline: [RUNS]"),
    "sweep": Command("tracking.sweep:main", "writes a table as a W&B sweep for any number of agents: TABLE"),
}

PATIENCE_OF_OTHERS_S = 5.0
"""Seconds that a process of a training has to end by itself once the first one, which alone writes, is gone."""


def usage() -> str:
    """What the program's help says."""
    width = max(map(len, COMMANDS)) + 2
    lines = [f"{name:{width}}{command.text}" for name, command in COMMANDS.items()]
    return "\n".join(["python -m experiments COMMAND ...", "", *lines, ""])


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command; wrong input ends with one sentence and exit status 2, Ctrl-C with 130, SIGTERM with 143.

    `predict` ends with status 1 where it had to leave out frames that cannot be read, after all else was written, and
    a training whose time is up before its end.

    Args:
        arguments: What stands on the command line; by default the program's own.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = words[0] if words else "--help"
    if name in ("-h", "--help"):
        print(usage())
        return
    if name not in COMMANDS:
        *others, last = COMMANDS
        fail(f"unknown command {name!r}: use {', '.join(others)} or {last}")
    with listen_to_signals():
        _run(COMMANDS[name], words[1:])


def _run(command: Command, words: list[str]) -> None:
    try:
        function = command.function()
        end_with_starter(END_PATIENCE_S if is_first() else PATIENCE_OF_OTHERS_S)
        status = function(words)
        _finish_logging(0)
        end_if_told()
    except (KeyboardInterrupt, SystemExit) as end:
        _finish_logging(1)
        if told := status_of(end):
            _say_ended(told)
            raise SystemExit(told if is_first() else 0) from None  # for any other Lightning kills the first at once
        raise
    except Exception as error:
        _finish_logging(1)
        if told := status_of(error):  # what a signal has broken off
            _say_ended(told)
            raise SystemExit(told if is_first() else 0) from error
        from .sentences import sentence_of

        sentence = sentence_of(error)
        if sentence is None:
            raise
        fail(sentence)
    if status is not None:
        raise SystemExit(status)


def _finish_logging(status: int) -> None:
    if mode := sys.modules.get(f"{__package__}.tracking.mode"):  # else nothing was logged
        mode.finish(exit_code=status)


def _say_ended(status: int) -> None:
    try:
        if is_first():
            print(f"error: ended by {signal.Signals(status - 128).name}", file=sys.stderr)
        sys.stdout.flush()
    except OSError:  # the terminal was closed, and what waits to be written to it would spoil the status
        with open(os.devnull, "w") as nowhere:
            for stream in (sys.stdout, sys.stderr):
                os.dup2(nowhere.fileno(), stream.fileno())
