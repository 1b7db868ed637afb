"""What a decoding process does: it fills slots of a memory that it shares with its loader, and says when."""

from __future__ import annotations

import importlib
import mmap
import os
import pickle
import sys
import warnings
from collections import deque
from contextlib import closing, suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import cv2
import numpy as np

from ..batch import Sample, stack_batches
from ..parallel.child import portable

if TYPE_CHECKING:
    from .stream import FrameStream
    from .unreadable import Unreadable  # it loads what a worker has to load in its own way


class WorkerJob(NamedTuple):
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


class SlotLayout(NamedTuple):
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


class FramesLeftOut(NamedTuple):
    """From a worker: frames that cannot be read, told before the next batch or the end."""

    number: int
    what: Unreadable


class Said(NamedTuple):
    """From a worker: a warning."""

    text: str
    category: type[Warning]


class Ended(NamedTuple):
    """From a worker: its part of the pass is done, or has failed."""

    number: int
    error: Exception | None = None


class _InterruptedError(Exception):
    """Another message than a free slot came while one was waited for."""

    def __init__(self, message: object) -> None:
        self.message = message


class _Slots:
    """The shared memory as a worker sees it."""

    def __init__(self, caller: Connection, memory: int, count: int, rows: int) -> None:
        self._caller, self._memory, self._count, self._rows = caller, memory, count, rows
        self._layout: SlotLayout | None = None
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

    def _laid_out(self, first: Sample) -> SlotLayout:
        arrays, offset = {}, 0
        for name, value in first.items():
            arrays[name] = value.dtype.str, (self._rows, *value.shape), offset
            offset += -(-self._rows * value.nbytes // 64) * 64  # where the processor likes arrays to begin
        return SlotLayout(arrays, offset)


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
        sent = caller.recv_bytes()
        try:
            job: WorkerJob = pickle.loads(sent)
        except Exception as error:
            _refuse(caller, portable(error))
        slots = _Slots(caller, memory, job.slots, job.stream.options.batch_size)
        message = caller.recv()
        while True:
            if isinstance(message, Pass):
                slots.free_all()
                try:
                    _work(job, message, slots, caller)
                except _InterruptedError as interrupted:
                    message = interrupted.message
                    continue
                except Exception as error:  # if the line was closed, this fails too, and that is the end
                    caller.send(Ended(message.number, portable(error)))
                else:
                    caller.send(Ended(message.number))
            message = caller.recv()


def _refuse(caller: Connection, error: Exception) -> NoReturn:
    """Answers every pass with an error: what to decode cannot be read here."""
    while True:
        message = caller.recv()
        if isinstance(message, Pass):
            caller.send(Ended(message.number, error))


def _import_without_torch() -> None:
    """Imports what a stream needs without what albumentations would load for tensors and uploads, a second or two.

    These are torch, 500 MB, and huggingface_hub with what it asks the network by.
    """
    unused = [name for name in ("torch", "huggingface_hub") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(unused))  # type: ignore[arg-type]
    try:
        importlib.import_module("..crops.transforms", __package__)
    finally:
        for name in unused:
            del sys.modules[name]


def _work(job: WorkerJob, task: Pass, slots: _Slots, caller: Connection) -> None:
    stream = job.stream
    stream.begin(task.epoch, task.consumed)

    def tell_left_out() -> None:
        while stream.unreadable:
            caller.send(FramesLeftOut(task.number, stream.unreadable.pop(0)))

    with closing(stream.part(job.worker, job.workers)) as samples:
        for batch in stack_batches(samples, stream.options.batch_size, slots.take):
            tell_left_out()
            caller.send(Filled(task.number, slots.taken, len(next(iter(batch.values())))))
    tell_left_out()
