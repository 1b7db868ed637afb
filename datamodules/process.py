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
from pathlib import Path
from typing import Any

_CODE = """
import os, sys, threading, time, types
def end_with_caller():
    while os.getppid() == {caller}:
        time.sleep(1)
    os._exit(1)
threading.Thread(target=end_with_caller, daemon=True).start()
sys.path[:] = {path!r}
room = types.ModuleType({room!r})
room.__path__ = [{folder!r}]
def whole(name):
    if name[:2] == "__":
        raise AttributeError(name)
    del room.__getattr__
    with open({folder!r} + "/__init__.py") as file:
        exec(compile(file.read(), file.name, "exec"), room.__dict__)
    return getattr(room, name)
room.__getattr__ = whole
sys.modules[{room!r}] = room
from {module} import serve
serve(*{handles!r})
"""
"""What a process runs. The room's `__init__` is passed over, until a module of somebody else's asks for a name in it:
with torch and Lightning a process takes 9 s to start and holds 516 MB of its own, without them 0.9 s and 62 MB."""


@contextmanager
def child(module: str, *files: int, patience_s: float = 0.0) -> Iterator[Connection]:
    """A process that runs `serve` of a module of this room, and the line to it.

    It is started afresh, without the caller's threads, open readers or main script, so a script needs no
    `if __name__ == "__main__"`. It ends itself when the caller is killed, whatever it is at.

    Args:
        module: Its whole name.
        files: Descriptors of open files; `serve` is given the line's and then these.
        patience_s: At the end the line is closed, on which `serve` shall return; so long it has, then it is killed.
    """
    ours, theirs = Pipe()
    handles = (theirs.fileno(), *files)
    room = __name__.rpartition(".")[0]
    names = {"room": room, "folder": str(Path(__file__).parent), "module": module}
    code = _CODE.format(path=sys.path, caller=os.getpid(), handles=handles, **names)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
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
        raise ChildProcessError("a process was ended from outside, perhaps for want of memory: start again") from error


def portable(error: Exception) -> Exception:
    """The error as it can be sent, with its traceback as a note."""
    note = f"In a process of its own:\n{traceback.format_exc()}"
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(note)
    return error
