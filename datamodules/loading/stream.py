"""Samples of many clips, each clip decoded once, forward; in training they leave in an order known beforehand."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from ..batch import Sample
from ..clips.index import METHODS, clips_of
from ..crops.cache import CropCache
from ..crops.labels import OFFICIAL_LABELS, Labels
from ..crops.read import Crop, read_crops, sample_of
from ..crops.self_blend import SelfBlend, blend_with_itself, is_blended
from ..crops.transforms import CropTransform
from ..errors import DataValueError
from ..faces.tracks import FaceTracks
from .options import StreamOptions
from .order import TrainingOrder, batches_of_rank, batches_of_worker, training_order
from .sampling import (
    Visit,
    count_batches,
    evaluation_plan,
    frames_per_visit,
    section,
    share,
    short_plan,
    training_plan,
    worker_share,
)
from .unreadable import Unreadable, read_or_report


class FrameStream:
    """An epoch's frames of a set of clips.

    In training several clips are open at once and advance in turn, and crops wait in a pool from which they leave at
    random, so a batch mixes clips; see `order`. Without `train`, frames are evenly spaced and come in the order of the
    index, every one exactly once over all ranks and workers, but for `limit`. `EpochLoader` makes batches of it.

    Memory of a worker, beside its libraries: `open_clips` x 11 MB at 640x480 and 16 MB at 1280x720 (measured with 270
    wanted frames of 256 pixels: a decoder, and the masks of them all at one bit a pixel), `pool` x 0.4 MB for crops of
    299 pixels.

    Args:
        clips: Rows of the index. Where one was made by none of `METHODS`, no sample says its method.
        tracks: Where the faces are.
        transform: Makes of a crop what the network sees.
        options: Which frames, how they are cut out, mixed and shared out in batches.
        train: Draw and mix frames; False visits evenly spaced ones in order.
        labels: What is forged.
        cache: Where crops are kept; what is there is not decoded again. None keeps none.
        canvas: Where the faces are whose truth is measured, see `Batch`; without, there is no canvas.
        rank: Of this process, from 0.
        ranks: Number of processes.
        on_unreadable: What is done where a clip's video or mask cannot be read: `raise` ends the pass with the reader's
            OSError; `skip`, which a training refuses, leaves out the frames concerned, warns and goes on with the
            clip's next frame that can be read, so a pass may give fewer samples than `len` says. Never measure by what
            is left.
        limit: Batches that will be taken of each rank's evaluation, or as a float the share of them. Where that cuts it
            short, what is taken is spread over methods, originals and fakes, see `short_plan`, and nothing follows.

    Attributes:
        seed: Of the run.
        count: Frames a clip.
        epoch: Epoch that the next pass visits.
        consumed: Batches of that epoch that every rank has had already; they are left out.
        unreadable: What has been left out since `begin` as it could not be read, in the order in which it was met.

    Raises:
        ValueError: The clips hold less than a batch for each rank, or a training shall skip.

    Examples:
        >>> from datamodules import StreamOptions, face_tracks, index
        >>> table, transform = index(root), CropTransform(64, mean=(0, 0, 0), std=(1, 1, 1))
        >>> stream = FrameStream(table, face_tracks(table), transform, StreamOptions(eval_frames_per_clip=2))
        >>> len(stream)  # two frames of each of 30 clips
        60
    """

    def __init__(
        self,
        clips: pd.DataFrame,
        tracks: FaceTracks,
        transform: CropTransform,
        options: StreamOptions,
        train: bool = False,
        labels: Labels = OFFICIAL_LABELS,
        cache: CropCache | None = None,
        canvas: FaceTracks | None = None,
        rank: int = 0,
        ranks: int = 1,
        on_unreadable: Literal["raise", "skip"] = "raise",
        limit: float = 1.0,
    ) -> None:
        self.clips = clips
        self.named = set(clips.method) <= set(METHODS)
        self.clip_of = {clip.number: clip for clip in clips_of(clips)}
        self.tracks = tracks
        self.transform = transform
        self.options = options
        self.train = train
        self.labels = labels
        self.cache = cache
        self.canvas = canvas
        self.rank = rank
        self.ranks = ranks
        self.on_unreadable = on_unreadable
        self.limit = limit
        self.seed = options.seed or 0
        self.count = options.frames_per_clip if train else options.eval_frames_per_clip
        self.blend = SelfBlend(options.margin)
        originals = clips.index[clips.label == 0]
        shown = np.floor(np.arange(len(originals) + 1) * options.self_blend)
        self.blended = set(originals[np.diff(shown) > 0])
        self.epoch = 0
        self.consumed = 0
        self.unreadable: list[Unreadable] = []
        if train and on_unreadable == "skip":
            raise DataValueError(
                "on_unreadable is skip with train, but a training's order is known beforehand: use raise, and take "
                "damaged clips out"
            )
        if self.samples < ranks * (options.batch_size if train else 1):
            batches = f"{ranks} batches of {options.batch_size}" if train else f"a frame for each of {ranks} processes"
            raise DataValueError(
                f"{self.samples} frames of {len(clips)} clips make less than {batches}: "
                "take more frames a clip, a smaller batch_size or fewer devices"
            )

    @property
    def samples(self) -> int:
        """Frames planned for an epoch over all ranks."""
        options = self.options
        return int(frames_per_visit(self.clips, self.count, self.train and options.balance, options.self_blend).sum())

    @property
    def left_out(self) -> int:
        """Frames of a training epoch that fill no batch for every rank; others in each epoch."""
        return self.samples - self.ranks * len(self) if self.train else 0

    def __len__(self) -> int:
        if self.train:
            size = self.options.batch_size
            return size * batches_of_rank(self.samples, self.ranks, size)
        start, stop = share(self.samples, self.rank, self.ranks)
        return stop - start

    def order(self, worker: int = 0, workers: int = 1) -> TrainingOrder:
        """The training order of a worker in this epoch, whole: a pure function of what the constructor was given.

        Args:
            worker: Its number, from 0.
            workers: How many there are.
        """
        options = self.options
        draw = self.epoch if options.redraw else 0
        plan = training_plan(self.clips, self.count, self.seed, draw, options.balance, options.self_blend)
        key, sizes = (self.seed, self.epoch), (options.batch_size, options.open_clips, options.pool)
        return training_order(self.clips, plan, key, *sizes, self.rank, self.ranks, worker, workers)

    def begin(self, epoch: int, consumed: int = 0) -> None:
        """Prepares the next pass.

        Args:
            epoch: Which one it visits, from 0.
            consumed: Batches of it that are known already and left out.
        """
        self.epoch = epoch
        self.consumed = consumed
        self.unreadable.clear()

    def __iter__(self) -> Iterator[Sample]:
        return self.part(0, 1)

    def part(self, worker: int, workers: int) -> Generator[Sample]:
        """Yields the samples of one worker; batches are asked of the workers in turn, first of worker `consumed`.

        Args:
            worker: Its number, from 0.
            workers: How many there are.
        """
        yield from map(
            self._sample, self._read_mixed(worker, workers) if self.train else self._read_in_order(worker, workers)
        )

    def samples_of_frames(self, frames: Mapping[int, Sequence[int]]) -> Generator[Sample]:
        """Yields the samples of some frames, whatever else an epoch holds.

        Args:
            frames: Rising indices by clip.
        """
        for visit in frames.items():
            yield from map(self._sample, self._read(*visit))

    def _sample(self, crop: Crop) -> Sample:
        key = (self.seed, self.epoch, crop.clip, crop.frame) if self.train else (0, 0, crop.clip, crop.frame)
        shown = blend_with_itself(crop, self.blend, key) if self._is_blended(crop, key) else crop
        sample = sample_of(shown, *self.transform(shown.image, shown.mask, key))
        if not self.named:
            del sample["method"]
        return sample

    def _is_blended(self, crop: Crop, key: Sequence[int]) -> bool:
        """Only originals are: an untouched frame of a fake clip is real, but that is known from its mask alone."""
        if crop.method:
            return False
        return is_blended(key, self.options.self_blend) if self.train else crop.clip in self.blended

    def _read(self, clip: int, frames: Sequence[int]) -> Generator[Crop]:
        known = self.clip_of[clip]
        how = (self.options.margin, self.labels, self.options.backend, self.cache, self.canvas)
        return read_crops(known, frames, self.tracks, *how)

    def _read_in_order(self, worker: int, workers: int) -> Iterator[Crop]:
        plan, start, stop = self._evaluation()
        mine = worker_share(start, stop, worker, workers, self.options.batch_size)
        for visit in section(plan, *mine):
            if self.on_unreadable == "raise":
                yield from self._read(*visit)
            else:
                yield from read_or_report(self._read, *visit, self._leave_out)

    def _evaluation(self) -> tuple[list[Visit], int, int]:
        """What all ranks visit, and from which to which of its samples this one does."""
        shares = [share(self.samples, rank, self.ranks) for rank in range(self.ranks)]
        taken = [self._count_taken(stop - start) for start, stop in shares]
        if sum(taken) == self.samples:
            return evaluation_plan(self.clips, self.count), *shares[self.rank]
        kinds = [(clip.method, clip.compression, clip.number in self.blended) for clip in self.clip_of.values()]
        plan, start = short_plan(self.clips, kinds, self.count, sum(taken)), sum(taken[: self.rank])
        return plan, start, start + taken[self.rank]

    def _count_taken(self, samples: int) -> int:
        """How many of a rank's samples are in the batches that will be taken."""
        size = self.options.batch_size
        return min(samples, size * count_batches(-(-samples // size), self.limit))

    def _leave_out(self, what: Unreadable) -> None:
        self.unreadable.append(what)
        name = f"{self.clip_of[what.clip].method}/{self.clip_of[what.clip].clip}"
        warnings.warn(f"{len(what.frames)} frames of {name} are left out: {what.reason}", stacklevel=2)

    def _read_mixed(self, worker: int, workers: int) -> Iterator[Crop]:
        """Crops in the order of leaving; what has left before is not decoded, nor are clips of which all has left."""
        order = self.order(worker, workers)
        gone = self.options.batch_size * batches_of_worker(self.consumed, worker, workers)
        leaving = order.leaving[gone:]
        left = set(leaving)
        arrivals = [sample for sample in order.arrivals if sample in left]
        frames: dict[int, list[int]] = {}
        for clip, frame in arrivals:
            frames.setdefault(clip, []).append(frame)
        opened: dict[int, Generator[Crop]] = {}
        waiting: dict[tuple[int, int], Crop] = {}
        coming = iter(arrivals)
        try:
            for sample in leaving:
                while sample not in waiting:
                    clip, frame = next(coming)
                    if clip not in opened:
                        opened[clip] = self._read(clip, frames[clip])
                    waiting[clip, frame] = next(opened[clip])
                    if frame == frames[clip][-1]:
                        next(opened.pop(clip), None)  # to its end: a reader stopped before it stores nothing
                yield waiting.pop(sample)
        finally:
            for reader in opened.values():
                reader.close()
