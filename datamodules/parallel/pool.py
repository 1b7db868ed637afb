"""Work shared out to processes of which each knows only this room and what it is sent."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TypeVar

import cv2
from tqdm import tqdm

from .child import answer, child, portable, send

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def lock_file(path: Path, busy: Callable[[str], object] | None = None) -> Iterator[None]:
    """Lets one process at a time do a work whose result the others then find; others wait at this file.

    Where the file system has no locks, all go ahead.

    Args:
        path: The file, which says who holds it.
        busy: Is told that before this process waits, `process 123 on host`; what it raises ends the waiting.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if busy and isinstance(error, BlockingIOError):
                file.seek(0)
                busy(file.read(200).strip() or "another process")
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(OSError):  # a full disk holds nobody up
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
        yield


def count_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_parallel(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    title: str = "",
    unit: str = "it",
    workers: int | None = None,
) -> Iterator[Result]:
    """Yields the results of work on items, as they are done.

    Each process is started afresh, see `process.child`. It takes 0.9 s to start: work of a few seconds is better done
    with `workers=1`. Closing the iterator, an error and Ctrl-C end all processes.

    Args:
        work: A function of a module that can be imported, or a `partial` of one. It computes on one thread.
        items: What it is done on; like the results they are pickled.
        title: Of the progress bar; without one there is none.
        unit: What the bar counts.
        workers: Processes, by default one a core. With fewer than two, or fewer than two items, all is done in this
            process and in the order of the items.

    Raises:
        Exception: What `work` raised, of the same type, with the process's traceback as a note.
        ChildProcessError: A process was killed.
    """
    workers = min(count_cores() if workers is None else workers, len(items))
    alone = workers < 2
    with tqdm(total=len(items), desc=title, unit=unit, disable=not (title and items)) as bar:
        for result in map(work, items) if alone else _share_out(work, items, workers):
            bar.update()
            yield result


def _share_out(work: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    waiting = iter(items)
    with ExitStack() as stack:
        lines = [stack.enter_context(child(__name__)) for _ in range(workers)]
        for line in lines:
            send(line, work)
        for line in lines:
            send(line, next(waiting))
        busy = lines[:]
        while busy:
            ready = wait(busy)
            for line in [each for each in busy if each in ready]:
                done, result = answer(line)
                if not done:
                    raise result
                try:
                    send(line, next(waiting))
                except StopIteration:
                    busy.remove(line)
                yield result


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
                result = False, portable(error)
            caller.send(result)
