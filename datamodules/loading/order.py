"""The order of a training epoch: who decodes what, and when each sample leaves; known before anything is opened."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from itertools import islice, zip_longest
from typing import NamedTuple

import numpy as np
import pandas as pd

from .sampling import Visit

MASK_COST = 0.5
"""Decoding a mask against decoding its clip; measured 0.4 to 0.7 on clips of 640x480 at crf 23."""

BURST = 8
"""Frames that a clip gives at its turn: decoders push each other's pictures out of the processor's cache."""


class TrainingOrder(NamedTuple):
    """What one worker does in an epoch.

    Attributes:
        arrivals: Samples (clip, frame) in the order in which they are decoded; of one clip frames rise.
        leaving: The same samples in the order in which they leave the pool.
    """

    arrivals: list[tuple[int, int]]
    leaving: list[tuple[int, int]]


def batches_of_rank(samples: int, ranks: int, batch_size: int) -> int:
    """Whole batches that every rank gets of an epoch; what is over, less than one batch a rank, is left out."""
    return samples // (ranks * batch_size)


def batches_of_worker(batches: int, worker: int, workers: int) -> int:
    """How many of a rank's first `batches` batches come from one worker: a loader asks its workers in turn."""
    return max(0, -(-(batches - worker) // workers))


def training_order(
    clips: pd.DataFrame,
    plan: Sequence[Visit],
    key: Sequence[int],
    batch_size: int,
    open_clips: int,
    pool: int,
    rank: int = 0,
    ranks: int = 1,
    worker: int = 0,
    workers: int = 1,
) -> TrainingOrder:
    """Orders the share of one worker of one rank.

    Every rank gets equally many whole batches, and every worker about the same number of pixels to decode. What is
    left over is drawn at random. Real and fake frames are spread evenly over ranks, workers and time.

    Args:
        clips: Rows of the index.
        plan: What the epoch visits, see `training_plan`.
        key: Seed and epoch; another key gives another order.
        batch_size: Samples a batch.
        open_clips: Clips decoded in turn; with fewer than two, one of each label.
        pool: Samples among which the next to leave is drawn.
        rank: Of this process.
        ranks: Number of processes.
        worker: Of this loader's workers.
        workers: Number of workers of each loader.
    """
    random = np.random.default_rng(key)
    batches = batches_of_rank(sum(len(visit.frames) for visit in plan), ranks, batch_size)
    each = [batch_size * batches_of_worker(batches, one, workers) for one in range(workers)]
    shares = divide(clips, _drop_remainder(plan, ranks * sum(each), random), each * ranks, random)
    mine = shares[rank * workers + worker]
    own = np.random.default_rng([*key, rank, worker])
    labels, pairs = clips.label.to_dict(), find_shown_pairs(clips).to_dict()
    kinds = [[visit for visit in mine if labels[visit.clip] == label] for label in (0, 1)]
    arrivals = list(_interleave([_spread(visits, pairs, own) for visits in kinds if visits], open_clips))
    return TrainingOrder(arrivals, _shuffle_in_pool(arrivals, pool, own))


def find_shown_pairs(clips: pd.DataFrame) -> pd.Series[str]:
    """Names the pair of identities that each clip shows; originals without a fake are a pair of their own."""
    donors = clips[clips.source != ""].groupby("target").source.first()
    source = clips.source.where(clips.source != "", clips.target.map(donors)).fillna("")
    names = ["-".join(sorted(pair)) for pair in zip(clips.target, source, strict=True)]
    return pd.Series(names, index=clips.index)


def _drop_remainder(plan: Sequence[Visit], wanted: int, random: np.random.Generator) -> list[Visit]:
    """Leaves out samples at random until `wanted` are left."""
    samples = sum(len(visit.frames) for visit in plan)
    kept = np.ones(samples, bool)
    kept[random.choice(samples, samples - wanted, replace=False)] = False
    left, start = [], 0
    for clip, frames in plan:
        part = kept[start : start + len(frames)]
        start += len(frames)
        if part.any():
            left.append(Visit(clip, tuple(np.array(frames)[part].tolist())))
    return left


def divide(
    clips: pd.DataFrame, plan: Sequence[Visit], sizes: Sequence[int], random: np.random.Generator
) -> list[list[Visit]]:
    """Shares visits out so that every share has its number of samples, and about the same cost.

    The dearest visit left always goes to the cheapest share that has room. A visit that does not fit is cut: the later
    frames go to another share, which seeks to them. Real and fake samples are shared out in proportion.

    Args:
        clips: Rows of the index.
        plan: Visits with `sum(sizes)` samples together.
        sizes: Samples of each share.
        random: Draws among visits of equal cost.

    Returns:
        The visits of each share.
    """
    facts = clips[["label", "width", "height", "mask_frames"]]
    labels, widths, heights, masks = (dict(zip(clips.index, facts[name], strict=True)) for name in facts)

    def cost(visit: Visit) -> float:
        decoded = visit.frames[-1] + 1 + MASK_COST * min(visit.frames[-1] + 1, masks[visit.clip])
        return float(decoded * widths[visit.clip] * heights[visit.clip])

    shuffled = [plan[position] for position in random.permutation(len(plan))]
    shares: list[list[Visit]] = [[] for _ in sizes]
    costs = [0.0] * len(sizes)
    edges = np.concatenate([[0], np.cumsum(sizes)])
    kinds = [sorted((v for v in shuffled if labels[v.clip] == label), key=cost, reverse=True) for label in (0, 1)]
    real = np.diff(np.round(edges * sum(len(v.frames) for v in kinds[0]) / max(1, edges[-1]))).astype(int)
    for visits, room in zip(kinds, (real, np.array(sizes) - real), strict=True):
        cheapest = [(costs[number], number) for number in range(len(sizes)) if room[number]]
        heapq.heapify(cheapest)
        waiting = deque(visits)
        while waiting:
            visit = waiting.popleft()
            _, number = heapq.heappop(cheapest)
            part, rest = visit.frames[: room[number]], visit.frames[room[number] :]
            shares[number].append(Visit(visit.clip, part))
            costs[number] += cost(Visit(visit.clip, part))
            room[number] -= len(part)
            if rest:
                waiting.appendleft(Visit(visit.clip, rest))
            if room[number]:
                heapq.heappush(cheapest, (costs[number], number))
    return shares


def _spread(visits: Sequence[Visit], pairs: dict[int, str], random: np.random.Generator) -> list[Visit]:
    """Shuffles so that clips of one pair are as far apart as can be: in each round every pair gives one."""
    of_pair = defaultdict(list)
    for position in random.permutation(len(visits)):
        of_pair[pairs[visits[position].clip]].append(visits[position])
    return [visit for turn in zip_longest(*of_pair.values()) for visit in turn if visit]


def _interleave(lanes: list[list[Visit]], open_clips: int) -> Iterator[tuple[int, int]]:
    """Decodes lanes side by side so that they end together; within a lane several clips advance in turn."""
    sizes = [sum(len(visit.frames) for visit in lane) for lane in lanes]
    sources = [_lane(lane, count) for lane, count in zip(lanes, _slots(sizes, open_clips), strict=True)]
    left = list(sizes)
    while any(left):
        lane = max(range(len(lanes)), key=lambda number: left[number] / sizes[number])
        burst = next(sources[lane])
        left[lane] -= len(burst)
        yield from burst


def _slots(sizes: Sequence[int], open_clips: int) -> list[int]:
    """Shares open clips between the lanes as their samples are, at least one each."""
    if len(sizes) < 2:
        return [open_clips] * len(sizes)
    first = min(max(1, round(open_clips * sizes[0] / sum(sizes))), open_clips - 1)
    return [max(1, first), max(1, open_clips - first)]


def _lane(visits: list[Visit], count: int) -> Iterator[list[tuple[int, int]]]:
    waiting = iter(visits)
    opened = deque((visit.clip, iter(visit.frames)) for visit in islice(waiting, count))
    while opened:
        clip, frames = opened.popleft()
        if burst := [(clip, frame) for frame in islice(frames, BURST)]:
            yield burst
            opened.append((clip, frames))
        elif (visit := next(waiting, None)) is not None:
            opened.appendleft((visit.clip, iter(visit.frames)))


def _shuffle_in_pool(
    arrivals: Sequence[tuple[int, int]], size: int, random: np.random.Generator
) -> list[tuple[int, int]]:
    """Each arrival beyond the pool's size makes one sample leave, drawn from all that wait; at the end all leave."""
    draws = random.random(len(arrivals))
    waiting: list[tuple[int, int]] = []
    leaving: list[tuple[int, int]] = []
    for sample in arrivals:
        waiting.append(sample)
        if len(waiting) > size:
            leaving.append(_swap_out(waiting, draws[len(leaving)]))
    while waiting:
        leaving.append(_swap_out(waiting, draws[len(leaving)]))
    return leaving


def _swap_out(waiting: list[tuple[int, int]], draw: float) -> tuple[int, int]:
    position = int(draw * len(waiting))
    waiting[position], waiting[-1] = waiting[-1], waiting[position]
    return waiting.pop()
