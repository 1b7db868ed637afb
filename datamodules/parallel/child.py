"""A process that knows only this room, without torch or Lightning, and the line to it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from ..errors import ProcessEndedError
from .start import start_serving


@contextmanager
def child(module: str, *files: int, patience_s: float = 0.0) -> Iterator[Connection]:
    """A process that runs `serve` of a module, and the line to it.

    It imports that module and what this needs, and nothing else: without torch and Lightning it takes 0.9 s to start
    and holds 62 MB of its own, with them 9 s and 516 MB. It is started afresh, without the caller's threads, open
    readers or main script, so a script needs no `if __name__ == "__main__"`. It ends itself when the caller is killed,
    whatever it is at.

    Args:
        module: Its whole name.
        files: Descriptors of open files; `serve` is given the line's and then these.
        patience_s: At the end the line is closed, on which `serve` shall return; so long it has, then it is killed.
    """
    ours, theirs = Pipe()
    handles = (theirs.fileno(), *files)
    start = f"from {start_serving.__module__} import start_serving; start_serving({module!r}, {os.getpid()}, {handles})"
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path}; {start}"],
            stdin=subprocess.DEVNULL,
            pass_fds=handles,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            process_group=0,  # Ctrl-C reaches the caller alone, which ends this one
        )
    try:
        with ours:
            yield ours
    finally:
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)
        finally:
            process.kill()
            process.wait()


def send(line: Connection, what: object) -> None:
    """Sends; that the other is gone shows when it does not answer."""
    with suppress(ConnectionError):
        line.send(what)


def answer(line: Connection) -> Any:
    """Waits for an answer.

    Raises:
        ChildProcessError: The process has ended.
    """
    try:
        return line.recv()
    except (EOFError, ConnectionError) as error:
        raise ProcessEndedError("a process was ended from outside, perhaps for want of memory: start again") from error


def portable(error: Exception) -> Exception:
    """The error as it can be sent, with its traceback as a note."""
    note = f"In a process of its own:\n{traceback.format_exc()}"
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(note)
    return error
