"""Work shared out to processes of which each knows only this room and what it is sent."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

import cv2
from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")

_CHILD = (
    "import sys, types; sys.path[:] = {path!r}; "
    "room = types.ModuleType({room!r}); room.__path__ = [{folder!r}]; sys.modules[{room!r}] = room; "
    "from {module} import serve; serve({handle})"
)
"""What a process runs. The room's `__init__` is passed over: with torch and Lightning a process takes 9 s to start and
holds 516 MB of its own, without them 0.9 s and 62 MB."""


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Lets one process at a time do a work whose result the others then find; others wait at this file.

    Where the file system has no locks, all go ahead.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_parallel(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    title: str = "",
    unit: str = "it",
    workers: int | None = None,
) -> Iterator[Result]:
    """Yields the results of work on items, as they are done.

    Each process is started afresh, without the caller's threads, open readers or main script, so a script needs no
    `if __name__ == "__main__"`. It takes 0.9 s to start: work of a few seconds is better done with `workers=1`.
    Closing the iterator, an error and Ctrl-C end all processes; they end themselves when the caller is killed.

    Args:
        work: A function of a module that can be imported, or a `partial` of one. It computes on one thread.
        items: What it is done on; like the results they are pickled.
        title: Of the progress bar; without one there is none.
        unit: What the bar counts.
        workers: Processes, by default one a core. With fewer than two, with fewer than two items, and on Windows, all
            is done in this process and in the order of the items.

    Raises:
        Exception: What `work` raised, of the same type, with the process's traceback as a note.
        ChildProcessError: A process was killed.
    """
    workers = min(cores() if workers is None else workers, len(items))
    alone = workers < 2 or os.name == "nt"
    with tqdm(total=len(items), desc=title, unit=unit, disable=not (title and items)) as bar:
        for result in map(work, items) if alone else _shared(work, items, workers):
            bar.update()
            yield result


def _shared(work: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    waiting = iter(items)
    with ExitStack() as stack:
        children = [stack.enter_context(_child()) for _ in range(workers)]
        for child in children:
            _send(child, work)
        for child in children:
            _send(child, next(waiting))
        busy = children[:]
        while busy:
            ready = wait(busy)
            for child in [each for each in busy if each in ready]:
                done, result = _answer(child)
                if not done:
                    raise result
                try:
                    _send(child, next(waiting))
                except StopIteration:
                    busy.remove(child)
                yield result


def _send(child: Connection, what: object) -> None:
    with suppress(ConnectionError):  # that a process is gone shows when it does not answer
        child.send(what)


def _answer(child: Connection) -> Any:
    try:
        return child.recv()
    except (EOFError, ConnectionError) as error:
        raise ChildProcessError("a process was ended from outside, perhaps for want of memory: start again") from error


@contextmanager
def _child() -> Iterator[Connection]:
    """A process that serves, and the line to it."""
    ours, theirs = Pipe()
    code = _CHILD.format(
        path=sys.path,
        room=__name__.rpartition(".")[0],
        folder=str(Path(__file__).parent),
        module=__name__,
        handle=theirs.fileno(),
    )
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            process_group=0,  # Ctrl-C reaches the caller alone, which ends this one
        )
    try:
        with ours:
            yield ours
    finally:
        process.kill()
        process.wait()


def serve(handle: int) -> None:
    """Works on what comes over a line until it is closed.

    Args:
        handle: File descriptor of the line: first the work, then the items.
    """
    cv2.setNumThreads(1)
    with Connection(handle) as caller, suppress(EOFError, ConnectionError):
        work = caller.recv()
        while True:
            item = caller.recv()
            try:
                result = True, work(item)
            except Exception as error:
                error.add_note(f"In a process of its own:\n{traceback.format_exc()}")
                result = False, error
            caller.send(result)
