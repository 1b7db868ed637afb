import itertools
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from datamodules.loading.order import batches_of_rank, batches_of_worker, divide, find_shown_pairs, training_order
from datamodules.loading.sampling import Visit, frames_per_visit, training_plan


def people(pairs=6, methods=4, length=40, sizes=((640, 480),)):
    """An index of pairs as FaceForensics++ has them: two originals and two fakes a method; sizes go by pair."""
    rows = []
    for pair in range(pairs):
        width, height = sizes[pair % len(sizes)]
        names = f"{2 * pair:03d}", f"{2 * pair + 1:03d}"
        for target, source in (names, names[::-1]):
            facts = {"target": target, "frames": length, "width": width, "height": height}
            rows.append({**facts, "source": "", "label": 0, "mask_frames": 0})
            rows += [{**facts, "source": source, "label": 1, "mask_frames": length} for _ in range(methods)]
    return pd.DataFrame(rows)


def orders(table, plan, ranks=1, workers=1, key=(0, 0), batch_size=4, open_clips=8, pool=16):
    """The orders of every worker of every rank."""
    return [
        [
            training_order(table, plan, key, batch_size, open_clips, pool, rank, ranks, one, workers)
            for one in range(workers)
        ]
        for rank in range(ranks)
    ]


def samples(plan):
    return [(clip, frame) for clip, frames in plan for frame in frames]


SHARES = list(itertools.product([1, 2, 3, 8], [1, 2, 5], [1, 4, 7]))


@pytest.mark.parametrize(("ranks", "workers", "batch_size"), SHARES)
@pytest.mark.parametrize("balance", [False, True])
def test_every_rank_gets_equally_many_whole_batches_and_less_than_one_each_is_left_out(
    ranks, workers, batch_size, balance
):
    table = people(pairs=3)
    plan = training_plan(table, 7, seed=0, draw=0, balance=balance)
    read = orders(table, plan, ranks, workers, batch_size=batch_size)
    sizes = [[len(order.leaving) for order in rank] for rank in read]
    batches = len(samples(plan)) // (ranks * batch_size)
    wanted = [batch_size * batches_of_worker(batches, one, workers) for one in range(workers)]
    assert sizes == [wanted] * ranks
    seen = [sample for rank in read for order in rank for sample in order.leaving]
    assert len(seen) == len(set(seen)) > len(samples(plan)) - ranks * batch_size
    assert set(seen) <= set(samples(plan))


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_a_loader_that_asks_its_workers_in_turn_finds_every_batch(workers):
    for batches in range(20):
        given = Counter(number % workers for number in range(batches))
        assert [batches_of_worker(batches, one, workers) for one in range(workers)] == [
            given[w] for w in range(workers)
        ]


def test_whole_batches_are_counted_over_all_ranks():
    assert batches_of_rank(100, ranks=3, batch_size=8) == 4
    assert batches_of_rank(23, ranks=3, batch_size=8) == 0


def test_what_arrives_leaves_once_and_of_a_clip_frames_arrive_in_rising_order():
    table = people()
    ((order,),) = orders(table, training_plan(table, 9, seed=0, draw=0))
    assert sorted(order.arrivals) == sorted(order.leaving)
    for clip in table.index:
        frames = [frame for other, frame in order.arrivals if other == clip]
        assert frames == sorted(frames)


def test_no_sample_leaves_before_it_arrives_and_the_pool_keeps_its_size():
    table = people()
    ((order,),) = orders(table, training_plan(table, 9, seed=0, draw=0), pool=16)
    place = {sample: number for number, sample in enumerate(order.arrivals)}
    waiting, arrived = set(), 0
    for sample in order.leaving:
        while arrived <= place[sample]:
            waiting.add(order.arrivals[arrived])
            arrived += 1
        assert len(waiting) <= 17
        waiting.remove(sample)


def open_at_each_step(order):
    """The clips that are open when each sample arrives."""
    first, last = {}, {}
    for number, (clip, _) in enumerate(order.arrivals):
        first.setdefault(clip, number)
        last[clip] = number
    return [{clip for clip in first if first[clip] <= step <= last[clip]} for step in range(len(order.arrivals))]


@pytest.mark.parametrize("open_clips", [2, 8, 20])
def test_no_more_clips_are_open_than_said(open_clips):
    table = people()
    ((order,),) = orders(table, training_plan(table, 9, seed=0, draw=0), open_clips=open_clips)
    assert max(map(len, open_at_each_step(order))) == open_clips


def test_clips_of_one_pair_are_not_open_together_where_there_are_enough_pairs():
    table = people(pairs=40)
    ((order,),) = orders(table, training_plan(table, 9, seed=0, draw=0), open_clips=16)
    pairs = find_shown_pairs(table)
    most = [max(Counter(pairs[list(clips)]).values()) for clips in open_at_each_step(order)]
    assert np.mean(np.array(most) <= 2) > 0.95  # an original beside a fake of its pair
    assert max(most) <= 4


def test_the_same_key_gives_the_same_order_and_another_epoch_another():
    table = people()
    plan = training_plan(table, 9, seed=0, draw=0)
    assert orders(table, plan, 2, 2) == orders(table, plan, 2, 2)
    assert orders(table, plan, 2, 2)[0][0] != orders(table, plan, 2, 2, key=(0, 1))[0][0]
    assert orders(table, plan, 2, 2)[0][0] != orders(table, plan, 2, 2, key=(1, 0))[0][0]


def test_what_is_left_out_differs_from_epoch_to_epoch():
    table = people(pairs=3)
    plan = training_plan(table, 7, seed=0, draw=0)  # 210 samples
    left = []
    for epoch in range(5):
        ((order,),) = orders(table, plan, key=(0, epoch), batch_size=64)
        left.append(frozenset(samples(plan)) - set(order.leaving))
    assert [len(samples) for samples in left] == [18] * 5
    assert len(set(left)) == 5


def pixels(table, order):
    """What a worker decodes: the pixels of each clip up to its last wanted frame, masks at half."""
    last = {clip: max(frame for other, frame in order.arrivals if other == clip) + 1 for clip, _ in order.arrivals}
    return sum(
        table.width[clip] * table.height[clip] * count * (1.5 if table.label[clip] else 1)
        for clip, count in last.items()
    )


@pytest.mark.parametrize("balance", [False, True])
def test_costs_are_about_equal_where_sizes_differ(balance):
    table = people(pairs=48, length=60, sizes=((640, 480), (1280, 720), (1920, 1080)))
    plan = training_plan(table, 20, seed=0, draw=0, balance=balance)
    costs = [pixels(table, order) for rank in orders(table, plan, 4, 2) for order in rank]
    assert max(costs) < 1.1 * min(costs)


def test_few_clips_are_cut_into_parts():
    table = people(pairs=48, length=60)
    plan = training_plan(table, 20, seed=0, draw=0)
    readers = [
        clip for rank in orders(table, plan, 4, 2) for order in rank for clip in {clip for clip, _ in order.arrivals}
    ]
    assert len(readers) - len(table) <= 2 * 8  # a cut a share and label


def test_a_share_is_cut_behind_its_last_sample():
    table = people(pairs=1, methods=0, length=10)
    parts = divide(table, [Visit(0, (1, 2, 3)), Visit(1, (4, 5, 6))], [2, 2, 2], np.random.default_rng(0))
    assert sorted(sorted(frame for visit in part for frame in visit.frames) for part in parts) == [
        [1, 2],
        [3, 6],
        [4, 5],
    ]


@pytest.mark.parametrize("balance", [False, True])
def test_at_the_size_of_the_data_set_a_batch_mixes_clips_pairs_and_labels(balance):
    """720 training clips a method, 270 frames a clip, batches of 32; one of 16 shares."""
    table = people(pairs=360, length=450)
    plan = training_plan(table, 270, seed=0, draw=0, balance=balance)
    order = training_order(table, plan, (0, 0), 32, open_clips=16, pool=128, rank=3, ranks=8, worker=1, workers=2)
    pairs, labels = find_shown_pairs(table).to_dict(), table.label.to_dict()
    batches = [order.leaving[start : start + 32] for start in range(0, len(order.leaving), 32)]
    assert np.median([len({clip for clip, _ in batch}) for batch in batches]) >= 12
    assert np.median([len({pairs[clip] for clip, _ in batch}) for batch in batches]) >= 8
    counts = frames_per_visit(table, 270, balance)
    share = counts[table.label == 0].sum() / counts.sum()
    real = np.array([np.mean([labels[clip] == 0 for clip, _ in batch]) for batch in batches])
    assert abs(real.mean() - share) < 0.01
    assert np.mean(np.abs(real - share) <= 4 / 32) > 0.85


def test_originals_belong_to_the_pair_of_their_fakes():
    table = people(pairs=2)
    assert find_shown_pairs(table).tolist() == ["000-001"] * 10 + ["002-003"] * 10
    assert find_shown_pairs(table[table.label == 0]).tolist() == ["-000", "-001", "-002", "-003"]
