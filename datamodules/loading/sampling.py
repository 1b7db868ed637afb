"""Which frames of which clips an epoch visits: pure functions of the index and a few numbers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..clips.index import even_frames


class Visit(NamedTuple):
    """One pass over one clip.

    Attributes:
        clip: Row of the index.
        frames: Indices in rising order.
    """

    clip: int
    frames: tuple[int, ...]


def frames_per_visit(clips: pd.DataFrame, count: int, balance: bool, self_blend: float = 0.0) -> pd.Series[int]:
    """How many frames each clip gives to an epoch.

    Balanced, real and fake frames are equally many, give or take one a fake: originals give more than `count`, in the
    ratio of fakes to originals, as far as they have frames, and the fakes share out the number so reached. Where a
    share s of the originals' frames becomes fake, both kinds are equally many with 1 - 2 s fakes to a frame of an
    original: (1 - s) real = s self-blended + (1 - 2 s) fakes.

    Args:
        clips: Rows of the index.
        count: Frames a clip.
        balance: Whether real and fake frames shall be equally many.
        self_blend: Share of the originals' frames that will be shown as fakes; balanced, less than a half.
    """
    fakes = clips.label == 1
    wanted = pd.Series(count, index=clips.index)
    if balance and fakes.any() and not fakes.all():
        wanted[~fakes] = np.ceil(count * fakes.sum() / (~fakes).sum() / (1 - 2 * self_blend))
        real = int(np.minimum(wanted, clips.frames)[~fakes].sum())
        each, more = divmod(round(real * (1 - 2 * self_blend)), int(fakes.sum()))
        wanted[fakes] = each + (np.arange(fakes.sum()) < more)
    return np.minimum(wanted, clips.frames).astype(int)


def evaluation_plan(clips: pd.DataFrame, count: int) -> list[Visit]:
    """Evenly spaced frames of every clip, in the order of the index."""
    return [Visit(clip, even_frames(length, count)) for clip, length in clips.frames.items()]


CLIPS_OF_KIND = 8
"""Clips that an evaluation which is cut short shows of each kind, where there are so many and they have room."""


def count_batches(batches: int, limit: float) -> int:
    """Batches that a Trainer takes of a loader: at most `limit` of them, or as a float that share, rounded down."""
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)


def short_plan(clips: pd.DataFrame, kinds: Sequence[Hashable], count: int, samples: int) -> list[Visit]:
    """A part of `evaluation_plan` that shows every kind of clip, in the order of the index.

    Kinds have clips as they have in the whole, but each at least one, as long as there are samples. So many clips are
    taken that most give all their frames, or at least `CLIPS_OF_KIND` of each kind; the samples are shared out evenly
    among them. Clips of a kind, and frames of a clip, are spread evenly.

    Args:
        clips: Rows of the index.
        kinds: Of each clip; what must not be missing, such as its method.
        count: Frames a clip of the whole.
        samples: Frames to visit, at most those of the whole.
    """
    room = np.minimum(clips.frames.to_numpy(), count)
    kind = pd.Series(pd.factorize(pd.Index(kinds, tupleize_cols=False))[0])
    of_kind = kind.groupby(kind)
    place = of_kind.cumcount() / of_kind.transform("size")  # every kind has a first, at 0
    by_place = kind[np.argsort(place.to_numpy(), kind="stable")]
    least = max(1, min(samples, CLIPS_OF_KIND * kind.nunique()), int(samples * len(clips) / max(1, room.sum())))
    chosen: list[int] = []
    for number in range(min(least, len(clips)), len(clips) + 1):
        quotas = by_place[:number].value_counts()
        chosen = [
            int(members.index[position])
            for one, members in of_kind
            for position in even_frames(len(members), int(quotas.get(one, 0)))
        ]
        if room[chosen].sum() >= samples:
            break
    given, left = {}, samples
    for number, position in enumerate(sorted(chosen, key=lambda position: room[position])):
        given[position] = min(int(room[position]), left // (len(chosen) - number))
        left -= given[position]
    visits = []
    for position in sorted(given):
        whole = even_frames(int(clips.frames.iloc[position]), count)
        if frames := tuple(whole[one] for one in even_frames(len(whole), given[position])):
            visits.append(Visit(clips.index[position], frames))
    return visits


def training_plan(
    clips: pd.DataFrame, count: int, seed: int, draw: int, balance: bool = False, self_blend: float = 0.0
) -> list[Visit]:
    """Frames drawn without repetition from every clip, in the order of the index.

    Args:
        clips: Rows of the index.
        count: Frames a clip.
        seed: Seed of the run.
        draw: Number of the draw, from 0: another one gives other frames.
        balance: Whether real and fake frames shall be equally many, see `frames_per_visit`.
        self_blend: Share of the originals' frames that will be shown as fakes; balanced, less than a half.
    """
    random = np.random.default_rng([seed, draw])
    counts = frames_per_visit(clips, count, balance, self_blend)
    return [
        Visit(clip, tuple(np.sort(random.choice(length, counts[clip], replace=False)).tolist()))
        for clip, length in clips.frames.items()
        if counts[clip]
    ]


def section(plan: Sequence[Visit], start: int, stop: int) -> list[Visit]:
    """The visits that hold samples `start` to `stop` of a plan; a clip on an edge gives only its part."""
    parts, first = [], 0
    for clip, frames in plan:
        part = frames[max(0, start - first) : max(0, stop - first)]
        if part:
            parts.append(Visit(clip, part))
        first += len(frames)
    return parts


def share(samples: int, rank: int, ranks: int) -> tuple[int, int]:
    """Samples `start` to `stop` of an evaluation that belong to one rank; every sample belongs to exactly one."""
    return rank * samples // ranks, (rank + 1) * samples // ranks


def worker_share(start: int, stop: int, worker: int, workers: int, batch_size: int) -> tuple[int, int]:
    """The part of a rank's samples that one of its workers reads: whole batches, only the last may be short."""
    batches = -(-(stop - start) // batch_size)
    first, last = worker * batches // workers, (worker + 1) * batches // workers
    return start + first * batch_size, min(stop, start + last * batch_size)
