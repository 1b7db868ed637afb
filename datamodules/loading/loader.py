"""Batches of an epoch as tensors, decoded here or by workers; goes on inside an interrupted epoch."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import cast

import numpy as np
import torch
from torch import Tensor

from ..batch import Batch, Sample, stack_batches
from ..errors import DataValueError
from .stream import FrameStream
from .worker_pool import Workers


class EpochLoader:
    """Loads a stream, and tells it which epoch begins and, after an interruption, where in it to go on.

    A Trainer takes it as any other loader, keeps its state in every checkpoint and restores it. The position is that of
    the batches consumed, not of those that workers have prepared. Workers live from the first pass to `close`, or as
    long as the loader. What a pass left out as it could not be read stands in `stream.unreadable`, whoever decodes.

    Args:
        stream: What is loaded.
        epoch: Asked when the first batch of a pass is: Lightning makes the iterator of a resumed training while it
            still holds the number of the epoch before.
        consumed: Asked when the state is: batches of the epoch consumed so far.
        num_workers: Processes that decode; without any, the asking process does.
        prefetch: Batches that each prepares ahead.
        finished: Make floats of the workers' bytes, see `CropTransform.finish`; False leaves that to who has moved the
            batch to a GPU.
        pin_memory: Put unfinished batches where a GPU can fetch them.
        same: Show the first epoch's batches in every epoch, augmented alike.

    Examples:
        >>> from datamodules import FaceForensicsDataModule
        >>> data = FaceForensicsDataModule(root, size=64, eval_frames_per_clip=2, batch_size=16, num_workers=0)
        >>> data.setup("validate")
        >>> loader = EpochLoader(data.val_dataloader().stream, epoch=lambda: 0)
        >>> len(loader), next(iter(loader))["mask"].shape
        (2, torch.Size([16, 64, 64]))
    """

    def __init__(
        self,
        stream: FrameStream,
        epoch: Callable[[], int],
        consumed: Callable[[], int] = lambda: 0,
        num_workers: int = 0,
        prefetch: int = 2,
        finished: bool = True,
        pin_memory: bool = False,
        same: bool = False,
    ) -> None:
        if num_workers < 0 or prefetch < 1:
            raise DataValueError(
                f"num_workers is {num_workers} and prefetch {prefetch}, wanted 0 or more and 1 or more: without "
                "workers the asking process decodes"
            )
        self.stream = stream
        self.epoch = epoch
        self.consumed = consumed
        self.num_workers = num_workers
        self.prefetch = prefetch
        self.finished = finished
        self.pin_memory = pin_memory
        self.same = same
        self._begun = 0
        self._workers: Workers | None = None
        self._resumed: dict[str, int] = {}

    def __len__(self) -> int:
        return -(-len(self.stream) // self.stream.options.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        self._begun, resumed = self.epoch(), self._resumed
        self._resumed = {}
        consumed = resumed["batches"] if resumed.get("epoch") == self._begun else 0
        self.stream.begin(0 if self.same else self._begun, consumed)
        with closing(self._load_by_workers() if self.num_workers else self._load_here()) as batches:
            for batch in batches:
                yield self.stream.transform.finish(batch) if self.finished else batch

    def close(self) -> None:
        """Ends the workers; another pass would start new ones."""
        if self._workers:
            self._workers.close()
        self._workers = None

    def _load_by_workers(self) -> Generator[Batch]:
        if self._workers is None or not self._workers.close.alive:
            self._workers = Workers(self.stream, self.num_workers, self.prefetch)
        stream = self.stream
        return self._workers.batches(stream.epoch, stream.consumed, self._copy, stream.unreadable.append)

    def _load_here(self) -> Generator[Batch]:
        size = self.stream.options.batch_size

        def place(first: Sample) -> Sample:
            return {name: np.empty((size, *value.shape), value.dtype) for name, value in first.items()}

        with closing(self.stream.part(0, 1)) as samples:
            for arrays in stack_batches(samples, size, place):
                yield self._copy(arrays) if self.pin_memory else _tensors(arrays)

    def _copy(self, arrays: Sample) -> Batch:
        tensors = cast("dict[str, Tensor]", _tensors(arrays))
        copies = {name: tensor.pin_memory() if self.pin_memory else tensor.clone() for name, tensor in tensors.items()}
        return cast("Batch", copies)

    def state_dict(self) -> dict[str, int]:
        """The position, and all that the rest of the epoch depends on beside the constructor's arguments."""
        return {"epoch": self._begun, "batches": self.consumed(), **self._shape()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Makes the next pass go on where a state was taken.

        Args:
            state: What `state_dict` gave.

        Raises:
            ValueError: Processes, workers, batch size, clips or frames are others, and the position is inside an epoch.
        """
        inside = 0 < state["batches"] < state["batches_an_epoch"]
        other = [f"{name} was {state[name]}, not {now}" for name, now in self._shape().items() if state[name] != now]
        if inside and other:
            raise DataValueError(
                f"the checkpoint was written inside epoch {state['epoch']}, and {'; '.join(other)}: "
                "go on with the same, or from a checkpoint written at an epoch's end"
            )
        self._resumed = dict(state) if inside else {}

    def _shape(self) -> dict[str, int]:
        options, processes = self.stream.options, {"processes": self.stream.ranks, "workers": max(1, self.num_workers)}
        sizes = {"batch_size": options.batch_size, "open_clips": options.open_clips, "pool": options.pool}
        return {**processes, **sizes, "batches_an_epoch": len(self)}


def _tensors(arrays: Sample) -> Batch:
    return cast("Batch", {name: torch.from_numpy(array) for name, array in arrays.items()})
