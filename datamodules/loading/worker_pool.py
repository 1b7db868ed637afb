"""The decoding processes of a loader, and the batches that they make ahead."""

from __future__ import annotations

import mmap
import os
import tempfile
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import IO, TypeVar

from ..batch import Sample
from ..errors import DataValueError
from ..parallel.child import answer, child, send
from .stream import FrameStream
from .unreadable import Unreadable
from .worker_process import Ended, Filled, FramesLeftOut, Free, Pass, Said, SlotLayout, Stop, WorkerJob, serve

PATIENCE_S = 5.0
"""So long a worker has, when its loader is closed, to end the batch it is at and to put away what it has open."""

Taken = TypeVar("Taken")


class Workers:
    """The workers of a loader. They know nothing of torch, so each takes less than half of what it would.

    Args:
        stream: What they decode; sent to them now, so a later change of it does not reach them.
        count: How many.
        prefetch: Batches that each prepares ahead.

    Raises:
        ValueError: The stream's transform is of the main script.
    """

    def __init__(self, stream: FrameStream, count: int, prefetch: int) -> None:
        self._pass = 0
        self._said: set[str] = set()
        if type(stream.transform).__module__ == "__main__":
            raise DataValueError(
                f"the transform {type(stream.transform).__name__} is of the main script, which workers do not know: "
                "put it into a module of its own, or use num_workers=0"
            )
        with ExitStack() as stack:
            self._workers = [_Worker(stack) for _ in range(count)]
            for number, worker in enumerate(self._workers):  # now, for each waits until that process has started
                send(worker.line, WorkerJob(stream, number, count, max(1, prefetch)))
                stack.callback(worker.line.close)  # all lines before any process is waited for
            self.close = weakref.finalize(self, stack.pop_all().close)

    def batches(
        self,
        epoch: int,
        consumed: int,
        take: Callable[[Sample], Taken],
        leave_out: Callable[[Unreadable], object],
    ) -> Generator[Taken]:
        """Yields the batches of one pass, of the workers in turn.

        Args:
            epoch: Of the stream.
            consumed: Batches that are left out.
            take: Copies a batch; where it lay, a worker then writes another one.
            leave_out: Told what cannot be read, before the worker's batch that it would have been in or behind.

        Raises:
            Exception: What a worker raised, of the same type, with its traceback as a note.
            ChildProcessError: A worker was killed.
            RuntimeError: Another pass has begun meanwhile, or the workers were ended.
        """
        self._pass += 1
        number = self._pass
        for worker in self._workers:
            while worker.line.poll():  # what is left of passes that were given up would fill the line
                self._hear(worker)
            send(worker.line, Pass(number, epoch, consumed))
        first = consumed % len(self._workers)
        turn = deque(self._workers[first:] + self._workers[:first])
        try:
            while turn:
                worker = turn.popleft()
                filled = self._next(worker, number, leave_out)
                if filled is not None:
                    batch = take({name: array[: filled.rows] for name, array in worker.slot(filled.slot).items()})
                    send(worker.line, Free(filled.slot))
                    turn.append(worker)
                    yield batch
        except ChildProcessError:
            self.close()
            raise
        finally:
            if self._pass == number and self.close.alive:
                for worker in self._workers:
                    send(worker.line, Stop())

    def _next(self, worker: _Worker, number: int, leave_out: Callable[[Unreadable], object]) -> Filled | None:
        """The next batch of a worker; None when it has no more."""
        while True:
            if self._pass != number:
                raise RuntimeError("another pass over this loader has begun: end one before, or make two loaders")
            if not self.close.alive:
                raise RuntimeError("the loader was closed during a pass: close it afterwards")
            message = self._hear(worker)
            if message is not None and message.number == number:  # else it is left of a pass that was given up
                if isinstance(message, Filled):
                    return message
                if isinstance(message, FramesLeftOut):
                    leave_out(message.what)
                    continue
                if message.error is not None:
                    raise message.error
                return None

    def _hear(self, worker: _Worker) -> Filled | FramesLeftOut | Ended | None:
        """Waits for what a worker says of a pass; None where it said something else."""
        message = answer(worker.line)
        if isinstance(message, SlotLayout):
            worker.layout = message
        elif isinstance(message, Said):
            if message.text not in self._said:
                self._said.add(message.text)
                warnings.warn(message.text, message.category, stacklevel=4)
        else:
            told: Filled | FramesLeftOut | Ended = message
            return told
        return None


class _Worker:
    """One of them as its loader sees it."""

    def __init__(self, stack: ExitStack) -> None:
        self._file = stack.enter_context(_memory())
        self.line = stack.enter_context(child(serve.__module__, self._file.fileno(), patience_s=PATIENCE_S))
        self.layout: SlotLayout | None = None
        self._map: mmap.mmap | None = None

    def slot(self, number: int) -> Sample:
        """The arrays of a slot that has been filled."""
        if self.layout is None:
            raise RuntimeError("a slot was filled before it was laid out")
        if self._map is None:
            self._map = mmap.mmap(self._file.fileno(), 0)
        return self.layout.slot(self._map, number)


def _memory() -> IO[bytes]:
    """A file without a name, in memory where the system can: outside of `/dev/shm`, which containers keep small."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("batches"), "r+b")
    return tempfile.TemporaryFile()
