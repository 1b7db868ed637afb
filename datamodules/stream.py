"""Samples of many clips, each clip decoded once, forward; crops leave through a shuffle pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from .dataset import Crop, Sample, read_crops, sample_of
from .faces import FaceTracks
from .index import clips_of
from .masks import THRESHOLDS
from .sampling import Visit, evaluation_plan, frames_per_visit, section, share, training_plan, worker_share
from .transforms import CropTransform
from .video import Backend


class FrameStream(IterableDataset[Sample]):
    """An epoch's frames of a set of clips.

    In training every clip gives frames drawn anew each epoch; several clips are open at once and advance in turn, and
    crops wait in a pool from which they leave at random, so a batch mixes clips. Without `train`, frames are evenly
    spaced and come in the order of the index, every one exactly once over all ranks and workers.

    Args:
        clips: Rows of the index.
        tracks: Where the faces are.
        transform: Makes tensors of a crop.
        count: Frames a clip.
        batch_size: Samples a batch; ranks and workers share an epoch by whole batches.
        train: See above.
        seed: Seed of the run.
        margin: Of the crop; 1 is the tight square round the face.
        thresholds: See `masks.THRESHOLDS`.
        balance: Equal numbers of real and fake frames, in training.
        open_clips: Clips open at once in training; 15 MB each (two decoders of 5 MB, one for the mask, and a frame).
        pool: Crops that wait; 0.4 MB each at 299 pixels.
        rank: Of this process.
        ranks: Number of processes.
    """

    def __init__(
        self,
        clips: pd.DataFrame,
        tracks: FaceTracks,
        transform: CropTransform,
        count: int,
        batch_size: int,
        train: bool = False,
        seed: int = 0,
        margin: float = 1.3,
        thresholds: Mapping[str, int] = THRESHOLDS,
        balance: bool = False,
        open_clips: int = 8,
        pool: int = 128,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.clips = clips
        self.clip_of = {clip.number: clip for clip in clips_of(clips)}
        self.tracks = tracks
        self.transform = transform
        self.count = count
        self.batch_size = batch_size
        self.train = train
        self.seed = seed
        self.margin = margin
        self.thresholds = thresholds
        self.balance = balance
        self.open_clips = open_clips
        self.pool = pool
        self.rank = rank
        self.ranks = ranks
        self.epoch = 0
        if len(self) == 0:
            batches = f"{ranks} batches of {batch_size}" if train else f"a frame for each of {ranks} processes"
            raise ValueError(
                f"{self.samples} frames of {len(clips)} clips make less than {batches}: "
                "take more frames a clip, a smaller batch_size or fewer devices"
            )

    @property
    def samples(self) -> int:
        """Frames of an epoch over all ranks."""
        return int(frames_per_visit(self.clips, self.count, self.train and self.balance).sum())

    def __len__(self) -> int:
        start, stop = self._share()
        return stop - start

    def _share(self) -> tuple[int, int]:
        return share(self.samples, self.rank, self.ranks, self.batch_size, whole_batches=self.train)

    def __iter__(self) -> Iterator[Sample]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        start, stop = worker_share(*self._share(), number, workers, self.batch_size)
        if self.train:
            plan = training_plan(self.clips, self.count, self.seed, self.epoch, self.balance)
            crops = self._mixed(section(plan, start, stop), np.random.default_rng([self.seed, self.epoch, start]))
        else:
            plan = evaluation_plan(self.clips, self.count)
            crops = (crop for visit in section(plan, start, stop) for crop in self._read(visit))
        for crop in crops:
            key = (self.seed, self.epoch, crop.clip, crop.frame)
            yield sample_of(crop, *self.transform(crop.image, crop.mask, key))

    def _read(self, visit: Visit) -> Iterator[Crop]:
        backend: Backend = "pyav" if self.train else "decord"
        return read_crops(self.clip_of[visit.clip], visit.frames, self.tracks, self.margin, self.thresholds, backend)

    def _mixed(self, visits: list[Visit], random: np.random.Generator) -> Iterator[Crop]:
        pool: list[Crop] = []
        for crop in self._in_turn(visits):
            pool.append(crop)
            if len(pool) > self.pool:
                yield _swap_out(pool, random)
        while pool:
            yield _swap_out(pool, random)

    def _in_turn(self, visits: list[Visit]) -> Iterator[Crop]:
        waiting = iter(visits)
        opened = [self._read(visit) for visit in islice(waiting, self.open_clips)]
        turn = 0
        while opened:
            turn %= len(opened)
            crop = next(opened[turn], None)
            if crop is not None:
                yield crop
                turn += 1
            elif (visit := next(waiting, None)) is not None:
                opened[turn] = self._read(visit)
            else:
                opened.pop(turn)


def _swap_out(pool: list[Crop], random: np.random.Generator) -> Crop:
    position = int(random.integers(len(pool)))
    pool[position], pool[-1] = pool[-1], pool[position]
    return pool.pop()


class EpochLoader(DataLoader[Sample]):
    """A loader that tells its stream which epoch begins.

    Args:
        dataset: What is loaded.
        epoch: Asked when the first batch of a pass is: Lightning makes the iterator of a resumed training while it
            still holds the number of the epoch before.
        options: See torch's DataLoader; open, for Lightning builds loaders anew when it predicts.
    """

    dataset: FrameStream

    def __init__(self, dataset: FrameStream, epoch: Callable[[], int], **options: Any) -> None:
        super().__init__(dataset, **options)
        self.epoch = epoch

    def __iter__(self) -> Any:
        self.dataset.epoch = self.epoch()
        yield from super().__iter__()
