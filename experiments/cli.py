"""The command line: which command runs, and how wrong input is answered."""

from __future__ import annotations

import errno
import inspect
import logging
import os
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException

import datamodules
import lightning_modules

from .at_work import is_first
from .folder import RunFolder
from .keys import check_keys, read_layers
from .parser import fail
from .row import ForensicsCLI
from .signals import PATIENCE_S, end_if_told, end_with_starter, leading, listening, status_of
from .tracking import finish

ROOMS = [Path(str(room.__file__)).resolve().parent for room in (datamodules, lightning_modules)] + [
    Path(__file__).resolve().parent
]

LIGHTNING = Path(str(pytorch_lightning.__file__)).resolve().parent

LIGHTNINGS = (LIGHTNING / "callbacks", LIGHTNING / "loops" / "fit_loop.py")
"""Where Lightning checks settings once it has data and figures."""

BUILDS_TRAINER = inspect.unwrap(pytorch_lightning.Trainer.__init__).__code__
"""What of Lightning's code sees nothing but settings."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Reasons why writing fails that are known when a file is open already, whose name is then not said."""

UNWRITABLE = {
    **dict.fromkeys(FULL, "make room and start again"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "give this user the right to, or name another place"),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR, errno.EISDIR), "move away what is in its place, or name another"),
    errno.ENAMETOOLONG: "give it a shorter name",
}
"""Reasons why a file or folder cannot be written that are the user's to mend, and how."""

# Advertisements, and calls of Lightning 2.6 that torch 2.14 and jsonargparse 4.53 deprecate.
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(lambda record: "Tip:" not in record.getMessage())
warnings.filterwarnings("ignore", message="The `srun` command is available")  # on a login node
warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)")

USAGE = """python -m experiments COMMAND ...

fit        trains a row:   -c experiments/base.yaml -c experiments/table-1/resnet50-unet.yaml [--any.option value]
validate   its best checkpoint on the validation split
test       its best checkpoint on the test split, once; --name NAME for other test data
predict    writes predictions of its best checkpoint; status 1 where clips could not be read whole
row        fit, test and the row's further tests, in one start
baselines  what a row's table stands beside: all-fake, all-real, centre box, mean mask, colour statistics
plan       what run would do, and how long it takes: table-3 ablation-loss [--seeds 0 1 2] [--quick] [-- --any.option x]
run        rows and tables, whole: needed rows first, each training once, on from where it stopped [--jobs 2]
collect    prints the tables of runs/ and writes results.csv: [FOLDER] [--table NAME]
compare    two tested runs: differences, intervals, p: runs/table-2/a/seed0 runs/table-2/b/seed0 [--all]
cost       parameters, FLOPs and time a frame, without data: table-1 table-2/resnet50-joint [--batch_size 8]
doctor     what is in a data folder, what is wrong with it, what each table lacks: ROOT [--frames 8] [--out runs/doctor]
export     a checkpoint as ONNX or torch.export file: --checkpoint runs/.../best.ckpt --out model.onnx [model.pt2]
"""

PATIENCE_OF_OTHERS_S = 5.0
"""Seconds that a process of a training has to end by itself once the first one, which alone writes, is gone."""

COMMANDS = tuple(line.split()[0] for line in USAGE.splitlines()[2:])


def with_table_base(arguments: Sequence[str]) -> list[str]:
    """Puts a table's `_base.yaml` before each of its rows."""
    words: list[str] = []
    for position, word in enumerate(arguments):
        option, equals, value = word.partition("=")
        row = Path(value) if equals else Path(arguments[position + 1]) if position + 1 < len(arguments) else None
        if option in ("-c", "--config") and row is not None:
            base = row.with_name("_base.yaml")
            if base.is_file() and row != base and str(base) not in words:
                words += ["-c", str(base)]
        words.append(word)
    return words


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command; wrong input ends with one sentence and exit status 2, Ctrl-C with 130, SIGTERM with 143.

    `predict` ends with status 1 where it had to leave out frames that cannot be read, after all else was written, and
    a training whose time is up before its end.

    Args:
        arguments: What stands on the command line; by default the program's own.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = words[0] if words else "--help"
    if command in ("-h", "--help"):
        print(USAGE)
        return
    if command not in COMMANDS:
        fail(f"unknown command {command!r}: use {', '.join(COMMANDS[:-1])} or {COMMANDS[-1]}")
    with listening():
        _run(command, words[1:])


def _run(command: str, words: list[str]) -> None:
    try:
        end_with_starter(PATIENCE_S if is_first() else PATIENCE_OF_OTHERS_S)
        _carry_out(command, words)
        finish(exit_code=0)
        end_if_told()
    except (KeyboardInterrupt, SystemExit) as end:
        finish(exit_code=1)
        if status := status_of(end):
            _say_ended(status)
            raise SystemExit(status if is_first() else 0) from None  # for any other Lightning kills the first at once
        raise
    except Exception as error:
        finish(exit_code=1)
        if status := status_of(error):  # what a signal has broken off
            _say_ended(status)
            raise SystemExit(status if is_first() else 0) from error
        sentence = _our_sentence(error)
        if sentence is None:
            raise
        fail(sentence)


def _say_ended(status: int) -> None:
    try:
        if is_first():
            print(f"error: ended by {signal.Signals(status - 128).name}", file=sys.stderr)
        sys.stdout.flush()
    except OSError:  # the terminal was closed, and what waits to be written to it would spoil the status
        with open(os.devnull, "w") as nowhere:
            for stream in (sys.stdout, sys.stderr):
                os.dup2(nowhere.fileno(), stream.fileno())


def _carry_out(command: str, words: list[str]) -> None:
    """Runs a command; each imports what it alone needs."""
    match command:
        case "plan":
            from .run import show

            show(words)
        case "run":
            from .run import run

            run(words)
        case "collect":
            from .collect import collect

            collect(words)
        case "compare":
            from .compare import compare

            compare(words)
        case "cost":
            from .cost import cost

            cost(words)
        case "doctor":
            from .doctor import doctor

            raise SystemExit(doctor(words))
        case "export":
            from .export import export

            export(words)
        case _:
            _carry_out_on_a_row(command, with_table_base(words))


def _carry_out_on_a_row(command: str, words: list[str]) -> None:
    check_keys(read_layers(words))
    with leading():
        match command:
            case "row":
                from .one_row import run_row

                run_row(words)
            case "baselines":
                from .trivial import run_baselines

                run_baselines(ForensicsCLI(words, run=False))
            case _:
                ForensicsCLI([command, *words])


def _our_sentence(error: BaseException | None) -> str | None:
    """What a check said, also where the parser or a decoding worker wrapped it; None for an error that is a bug.

    Checks are this project's own `raise` statements, and Lightning's of what a Trainer and its callbacks are given.
    """
    while error is not None:
        if "No supported gpu backend" in str(error):
            return "trainer.accelerator is gpu, but there is none that torch can use here: use cpu, or another machine"
        if isinstance(error, MisconfigurationException) or _builds_trainer(error):
            return " ".join(str(error).split())
        if isinstance(error, ValueError | OSError) and _is_check(ROOMS, *_raised_at(error)):
            return str(error)
        if isinstance(error, ValueError | TypeError | RuntimeError) and _is_check(LIGHTNINGS, *_raised_at(error)):
            return " ".join(str(error).split())
        if isinstance(error, torch.OutOfMemoryError):
            return f"{str(error).partition('. ')[0]}: take a smaller data.init_args.batch_size or data.init_args.size"
        if isinstance(error, OSError) and error.errno and error.errno in (UNWRITABLE if error.filename else FULL):
            return (
                f"{error.filename or _written(error)} cannot be written ({error.strerror}): {UNWRITABLE[error.errno]}"
            )
        error = error.__cause__ or error.__context__
    return None


def _written(error: BaseException) -> str:
    """What an error was at that does not say it itself: the last path, or run's folder, on its way."""
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        for value in frame.f_locals.values():
            if isinstance(value, Path | RunFolder):
                return f"a file of {value.path if isinstance(value, RunFolder) else value}"
    return "a file"


def _builds_trainer(error: BaseException) -> bool:
    return any(frame.f_code is BUILDS_TRAINER for frame, _ in traceback.walk_tb(error.__traceback__))


NOTED = re.compile(r'File "(?P<file>[^"]+)", line \d+, in \w+\n\s+(?P<line>[^\n]+)\n')
"""A frame of a traceback as a process of its own notes it."""


def _raised_at(error: BaseException) -> tuple[str, str]:
    """File and line that raised an error, in whichever process."""
    frames = [frame for note in getattr(error, "__notes__", ()) for frame in NOTED.findall(note)]
    if frames:
        return str(frames[-1][0]), str(frames[-1][1])
    last = traceback.extract_tb(error.__traceback__)[-1]
    return last.filename, last.line or ""


def _is_check(places: Sequence[Path], file: str, line: str) -> bool:
    return line.startswith("raise ") and any(Path(file).resolve().is_relative_to(place) for place in places)
