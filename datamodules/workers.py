"""Processes that decode batches ahead: each fills slots of a memory that it shares with who asks."""

from __future__ import annotations

import importlib
import mmap
import os
import sys
import tempfile
import warnings
import weakref
from collections import deque
from collections.abc import Generator
from contextlib import ExitStack, closing, suppress
from multiprocessing.connection import Connection
from typing import IO, TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from .batch import Sample, in_batches
from .process import answer, child, portable, send

if TYPE_CHECKING:
    from .stream import FrameStream  # it loads what a worker has to load in its own way

PATIENCE_S = 5.0
"""So long a worker has, when its loader is closed, to end the batch it is at and to put away what it has open."""


class Job(NamedTuple):
    """What a worker is told first: the part of a stream that is its own, and how many slots it has."""

    stream: FrameStream
    worker: int
    workers: int
    slots: int


class Pass(NamedTuple):
    """To a worker: an epoch begins, all slots are free; what it was at before is of no more use."""

    number: int
    epoch: int
    consumed: int


class Free(NamedTuple):
    """To a worker: a slot may be filled again."""

    slot: int


class Stop(NamedTuple):
    """To a worker: the rest of the pass is not wanted."""


class Layout(NamedTuple):
    """From a worker: how a slot is laid out; by name type, shape and offset in bytes, then its size in bytes."""

    arrays: dict[str, tuple[str, tuple[int, ...], int]]
    size: int

    def slot(self, memory: mmap.mmap, number: int) -> Sample:
        """The arrays of one slot."""
        start = number * self.size
        return {
            name: np.ndarray(shape, kind, memory, start + offset) for name, (kind, shape, offset) in self.arrays.items()
        }


class Filled(NamedTuple):
    """From a worker: the first rows of a slot are a batch."""

    number: int
    slot: int
    rows: int


class Said(NamedTuple):
    """From a worker: a warning."""

    text: str
    category: type[Warning]


class Ended(NamedTuple):
    """From a worker: its part of the pass is done, or has failed."""

    number: int
    error: Exception | None = None


class Workers:
    """The workers of a loader. They know nothing of torch, so each takes less than half of what it would.

    Args:
        stream: What they decode; sent to them now, so a later change of it does not reach them.
        count: How many.
        prefetch: Batches that each prepares ahead.

    Raises:
        ValueError: The stream cannot be sent.
    """

    def __init__(self, stream: FrameStream, count: int, prefetch: int) -> None:
        self._pass = 0
        self._said: set[str] = set()
        if type(stream.transform).__module__ == "__main__":
            raise ValueError(
                f"the transform {type(stream.transform).__name__} is of the main script, which workers do not know: "
                "put it into a module of its own, or use num_workers=0"
            )
        with ExitStack() as stack:
            self._workers = [_Worker(stack, Job(stream, number, count, max(1, prefetch))) for number in range(count)]
            self.close = weakref.finalize(self, stack.pop_all().close)

    def batches(self, epoch: int, consumed: int) -> Generator[Sample]:
        """Yields the batches of one pass, of the workers in turn; each is overwritten once the next is asked for.

        Args:
            epoch: Of the stream.
            consumed: Batches that are left out.

        Raises:
            Exception: What a worker raised, of the same type, with its traceback as a note.
            ChildProcessError: A worker was killed.
            RuntimeError: Another pass has begun meanwhile.
        """
        self._pass += 1
        number = self._pass
        for worker in self._workers:
            send(worker.line, Pass(number, epoch, consumed))
        first = consumed % len(self._workers)
        turn = deque(self._workers[first:] + self._workers[:first])
        try:
            while turn:
                worker = turn.popleft()
                filled = self._next(worker, number)
                if filled is not None:
                    yield {name: array[: filled.rows] for name, array in worker.slot(filled.slot).items()}
                    send(worker.line, Free(filled.slot))
                    turn.append(worker)
        finally:
            if self._pass == number and self.close.alive:
                for worker in self._workers:
                    send(worker.line, Stop())

    def _next(self, worker: _Worker, number: int) -> Filled | None:
        while True:
            if self._pass != number:
                raise RuntimeError("another pass over this loader has begun: end one before, or make two loaders")
            message = answer(worker.line)
            if isinstance(message, Said):
                if message.text not in self._said:
                    self._said.add(message.text)
                    warnings.warn(message.text, message.category, stacklevel=2)
            elif isinstance(message, Layout):
                worker.layout = message
            elif message.number == number:  # else what is left of a pass that was stopped
                if isinstance(message, Filled):
                    return message
                if message.error is not None:
                    raise message.error
                return None


class _Worker:
    """One of them as its loader sees it."""

    def __init__(self, stack: ExitStack, job: Job) -> None:
        self._file = stack.enter_context(_memory())
        self.line = stack.enter_context(child(__name__, self._file.fileno(), patience_s=PATIENCE_S))
        self.layout: Layout | None = None
        self._map: mmap.mmap | None = None
        send(self.line, job)

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


class _InterruptedError(Exception):
    """Another message than a free slot came while one was waited for."""

    def __init__(self, message: object) -> None:
        self.message = message


class _Slots:
    """The shared memory as a worker sees it."""

    def __init__(self, caller: Connection, memory: int, count: int, rows: int) -> None:
        self._caller, self._memory, self._count, self._rows = caller, memory, count, rows
        self._layout: Layout | None = None
        self._map: mmap.mmap | None = None
        self._free: deque[int] = deque()
        self.taken = 0

    def free_all(self) -> None:
        """Forgets what has been filled."""
        self._free = deque(range(self._count))

    def take(self, first: Sample) -> Sample:
        """Waits for a free slot and gives its arrays, laid out by a first sample."""
        while not self._free or self._caller.poll():
            message = self._caller.recv()
            if not isinstance(message, Free):
                raise _InterruptedError(message)
            self._free.append(message.slot)
        if self._layout is None or self._map is None:
            self._layout = self._laid_out(first)
            os.ftruncate(self._memory, self._count * self._layout.size)
            self._map = mmap.mmap(self._memory, 0)
            self._caller.send(self._layout)
        self.taken = self._free.popleft()
        return self._layout.slot(self._map, self.taken)

    def _laid_out(self, first: Sample) -> Layout:
        arrays, offset = {}, 0
        for name, value in first.items():
            arrays[name] = value.dtype.str, (self._rows, *value.shape), offset
            offset += -(-self._rows * value.nbytes // 64) * 64  # where the processor likes arrays to begin
        return Layout(arrays, offset)


def serve(handle: int, memory: int) -> None:
    """Decodes passes of a stream until the line is closed.

    Args:
        handle: File descriptor of the line.
        memory: Of the shared memory.
    """
    cv2.setNumThreads(1)
    _import_without_torch()
    with Connection(handle) as caller, suppress(EOFError, ConnectionError):
        warnings.showwarning = lambda text, category, *where: caller.send(Said(str(text), category))
        job: Job = caller.recv()
        slots = _Slots(caller, memory, job.slots, job.stream.batch_size)
        message = caller.recv()
        while True:
            if isinstance(message, Pass):
                slots.free_all()
                try:
                    _work(job, message, slots, caller)
                except _InterruptedError as interrupted:
                    message = interrupted.message
                    continue
                except (EOFError, ConnectionError):
                    raise
                except Exception as error:
                    caller.send(Ended(message.number, portable(error)))
                else:
                    caller.send(Ended(message.number))
            message = caller.recv()


def _import_without_torch() -> None:
    """Imports what a stream needs; albumentations would load torch, 500 MB, for tensors that are not used here."""
    sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        importlib.import_module(".transforms", __package__)
    finally:
        del sys.modules["torch"]


def _work(job: Job, task: Pass, slots: _Slots, caller: Connection) -> None:
    job.stream.epoch, job.stream.consumed = task.epoch, task.consumed
    with closing(job.stream.part(job.worker, job.workers)) as samples:
        for batch in in_batches(samples, job.stream.batch_size, slots.take):
            caller.send(Filled(task.number, slots.taken, len(next(iter(batch.values())))))
