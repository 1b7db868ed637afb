"""Which errors are the user's to mend, and what is said of them."""

from __future__ import annotations

import dis
import errno
import inspect
import sys
import traceback
from pathlib import Path

from datamodules.errors import DataError
from lightning_modules.errors import ModelError

from .errors import ExperimentError
from .runs.folder import RunFolder

RAISE = dis.opmap["RAISE_VARARGS"]
"""What a `raise` statement is compiled to: of a package of others, errors that it raises itself are no bugs of ours."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Reasons why writing fails that are known when a file is open already, whose name is then not said."""


UNWRITABLE = {
    **dict.fromkeys(FULL, "make room and start again"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "give this user the right to, or name another place"),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR, errno.EISDIR), "move away what is in its place, or name another"),
    errno.ENAMETOOLONG: "give it a shorter name",
}
"""Reasons why a file or folder cannot be written that are the user's to mend, and how."""


def sentence_of(error: BaseException | None) -> str | None:
    """What a check said, also where the parser or a decoding worker wrapped it; None for an error that is a bug.

    Checks raise the errors of this project's own classes, or are Lightning's of what a Trainer and its callbacks are
    given.
    """
    while error is not None:
        if "No supported gpu backend" in str(error):
            return "trainer.accelerator is gpu, but there is none that torch can use here: use cpu, or another machine"
        if _is_of(error, "lightning_fabric.utilities.exceptions", "MisconfigurationException") or _builds_trainer(
            error
        ):
            return " ".join(str(error).split())
        if isinstance(error, DataError | ModelError | ExperimentError):
            return str(error)
        if isinstance(error, ValueError | TypeError | RuntimeError) and _is_check_of_lightning(error):
            return " ".join(str(error).split())
        if _is_of(error, "torch", "OutOfMemoryError"):
            return f"{str(error).partition('. ')[0]}: take a smaller data.init_args.batch_size or data.init_args.size"
        if isinstance(error, OSError) and error.errno and error.errno in (UNWRITABLE if error.filename else FULL):
            place = error.filename or _name_place(error)
            return f"{place} cannot be written ({error.strerror}): {UNWRITABLE[error.errno]}"
        error = error.__cause__ or error.__context__
    return None


def _name_place(error: BaseException) -> str:
    """What an error was at that does not say it itself: the last path, or run's folder, on its way."""
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        for value in frame.f_locals.values():
            if isinstance(value, Path | RunFolder):
                return f"a file of {value.path if isinstance(value, RunFolder) else value}"
    return "a file"


def _is_of(error: BaseException, module: str, name: str) -> bool:
    """Whether an error is of a class of a package that takes seconds to import: where it is not, nobody raised it."""
    return module in sys.modules and isinstance(error, getattr(sys.modules[module], name))


def _builds_trainer(error: BaseException) -> bool:
    """Whether it was raised while a Trainer was built, which sees nothing but settings."""
    if "pytorch_lightning" not in sys.modules:
        return False
    build = inspect.unwrap(sys.modules["pytorch_lightning"].Trainer.__init__).__code__
    return any(frame.f_code is build for frame, _ in traceback.walk_tb(error.__traceback__))


def _is_check_of_lightning(error: BaseException) -> bool:
    """Whether a `raise` statement raised it where Lightning checks settings once it has data and metrics."""
    steps = list(traceback.walk_tb(error.__traceback__))
    if "pytorch_lightning" not in sys.modules or not steps:
        return False
    lightning = Path(str(sys.modules["pytorch_lightning"].__file__)).resolve().parent
    frame, _ = steps[-1]
    file = Path(frame.f_code.co_filename).resolve()
    if not any(file.is_relative_to(place) for place in (lightning / "callbacks", lightning / "loops" / "fit_loop.py")):
        return False
    return frame.f_code.co_code[frame.f_lasti] == RAISE
