import itertools

import numpy as np
import pandas as pd
import pytest

from datamodules.clips.index import even_frames
from datamodules.loading.sampling import (
    Visit,
    evaluation_plan,
    frames_per_visit,
    section,
    share,
    short_plan,
    training_plan,
    worker_share,
)


def clips(originals=2, fakes=8, length=40, first=0):
    labels = [0] * originals + [1] * fakes
    return pd.DataFrame({"label": labels, "frames": length}, index=range(first, first + len(labels)))


def samples(plan):
    return [(clip, frame) for clip, frames in plan for frame in frames]


def test_frames_are_the_middles_of_equal_parts():
    assert even_frames(100, 4) == (12, 37, 62, 87)
    assert even_frames(9, 3) == (1, 4, 7)
    assert even_frames(7, 1) == (3,)


def test_a_short_clip_gives_every_frame_once():
    assert even_frames(5, 5) == even_frames(5, 100) == (0, 1, 2, 3, 4)
    assert even_frames(0, 10) == ()


@pytest.mark.parametrize(("length", "count"), list(itertools.product([1, 2, 7, 48, 449], [1, 3, 100])))
def test_even_frames_rise_and_are_of_the_clip(length, count):
    frames = even_frames(length, count)
    assert list(frames) == sorted(set(frames))
    assert len(frames) == min(length, count)
    assert 0 <= frames[0] <= frames[-1] < length


def test_evaluation_visits_clips_in_the_order_of_the_index():
    plan = evaluation_plan(clips(1, 2, length=4, first=7), 2)
    assert plan == [Visit(7, (1, 3)), Visit(8, (1, 3)), Visit(9, (1, 3))]


def test_training_draws_without_repetition():
    for clip, frames in training_plan(clips(), 12, seed=0, draw=0):
        assert clip in range(10)
        assert len(frames) == len(set(frames)) == 12
        assert list(frames) == sorted(frames)
        assert set(frames) <= set(range(40))


def test_training_visits_every_clip_once_in_the_order_of_the_index():
    assert [clip for clip, _ in training_plan(clips(), 3, seed=0, draw=0)] == list(range(10))


def test_a_plan_is_the_same_for_the_same_seed_and_draw_and_new_for_others():
    first = training_plan(clips(), 12, seed=1, draw=0)
    assert training_plan(clips(), 12, seed=1, draw=0) == first
    for other in (training_plan(clips(), 12, seed=1, draw=1), training_plan(clips(), 12, seed=2, draw=0)):
        assert dict(other) != dict(first)


def test_a_clip_shorter_than_asked_gives_all_it_has_and_an_empty_one_nothing():
    table = pd.DataFrame({"label": [0, 1, 1], "frames": [3, 50, 0]})
    plan = dict(training_plan(table, 10, seed=0, draw=0))
    assert plan[0] == (0, 1, 2)
    assert len(plan[1]) == 10
    assert 2 not in plan


def balance(table, count):
    wanted = frames_per_visit(table, count, balance=True)
    return wanted, int(wanted[table.label == 0].sum()), int(wanted[table.label == 1].sum())


def test_unbalanced_every_clip_gives_as_many():
    assert frames_per_visit(clips(), 12, balance=False).tolist() == [12] * 10


def test_balanced_originals_give_more():  # 8 fakes to 2 originals: 4 times 5
    wanted, real, fake = balance(clips(2, 8, length=40), 5)
    assert wanted.tolist() == [20, 20] + [5] * 8
    assert real == fake == 40


def test_balanced_fakes_give_less_where_originals_end():  # 2 * 40 frames shared by 8 fakes
    wanted, real, fake = balance(clips(2, 8, length=40), 30)
    assert wanted.tolist() == [40, 40] + [10] * 8
    assert real == fake == 80


def test_balanced_a_remainder_goes_to_some_fakes():
    wanted, real, fake = balance(clips(1, 3, length=40), 30)
    assert wanted.tolist() == [40, 14, 13, 13]
    assert real == fake == 40


def test_balanced_with_more_originals_than_fakes():
    _, real, fake = balance(clips(6, 4, length=100), 12)
    assert real == fake == 48


def test_balanced_originals_give_more_where_some_of_them_become_fakes():
    """2 originals of 400 frames, 8 fakes: (1 - 1/4) of 160 frames stay real, 1/4 of 160 and 80 others are fake."""
    wanted = frames_per_visit(clips(2, 8, length=400), 10, balance=True, self_blend=0.25)
    assert wanted.tolist() == [80, 80] + [10] * 8
    short = frames_per_visit(clips(2, 8, length=40), 10, balance=True, self_blend=0.25)  # as far as they have frames
    assert short.tolist() == [40, 40] + [5] * 8


def test_unbalanced_what_becomes_of_originals_changes_no_plan():
    assert training_plan(clips(), 12, 0, 0, self_blend=0.25) == training_plan(clips(), 12, 0, 0)


def test_balance_of_one_kind_alone_changes_nothing():
    assert frames_per_visit(clips(4, 0), 12, balance=True).tolist() == [12] * 4
    assert frames_per_visit(clips(0, 4), 12, balance=True).tolist() == [12] * 4


def test_a_balanced_plan_is_what_was_counted():
    table = clips(2, 7, length=33)
    plan = dict(training_plan(table, 30, seed=3, draw=1, balance=True))
    counts = frames_per_visit(table, 30, balance=True)
    assert {clip: len(frames) for clip, frames in plan.items()} == counts.to_dict()


def test_a_section_cuts_visits_at_its_edges():
    plan = [Visit(4, (0, 1, 2)), Visit(2, (5, 6)), Visit(3, (7,))]
    assert section(plan, 1, 4) == [Visit(4, (1, 2)), Visit(2, (5,))]
    assert section(plan, 3, 6) == [Visit(2, (5, 6)), Visit(3, (7,))]
    assert section(plan, 2, 2) == []


NUMBERS = (0, 1, 7, 8, 31, 100, 413)
SHARES = list(itertools.product([1, 2, 3, 8], [0, 1, 2, 5], [1, 4, 7]))


def parts(number, ranks, workers, batch_size):
    """What each worker of each rank reads in an evaluation, as ranges."""
    result = []
    for rank in range(ranks):
        start, stop = share(number, rank, ranks)
        several = max(1, workers)
        result.append([range(*worker_share(start, stop, one, several, batch_size)) for one in range(several)])
    return result


@pytest.mark.parametrize(("ranks", "workers", "batch_size"), SHARES)
def test_evaluation_reads_every_sample_exactly_once(ranks, workers, batch_size):
    for number in NUMBERS:
        read = [sample for rank in parts(number, ranks, workers, batch_size) for part in rank for sample in part]
        assert sorted(read) == list(range(number))


@pytest.mark.parametrize(("ranks", "workers", "batch_size"), SHARES)
def test_in_evaluation_only_a_ranks_last_batch_is_short(ranks, workers, batch_size):
    for rank in parts(413, ranks, workers, batch_size):
        sizes = [len(part) for part in rank if len(part)]
        assert all(size % batch_size == 0 for size in sizes[:-1])


def test_a_plan_is_drawn_by_a_generator_of_its_own():
    np.random.seed(0)
    before = np.random.random()
    np.random.seed(0)
    training_plan(clips(), 5, seed=0, draw=0)
    assert np.random.random() == before
    assert samples(training_plan(clips(), 5, 0, 0)) == samples(training_plan(clips(), 5, 0, 0))


@pytest.mark.parametrize("count", [1, 3, 40])
@pytest.mark.parametrize("wanted", [1, 5, 7, 23, 200])
@pytest.mark.parametrize("originals", [2, 20])
def test_an_evaluation_that_is_cut_short_shows_every_kind(count, wanted, originals):
    table = pd.concat([clips(originals, 5), clips(1, 9, length=2, first=25)])
    kinds = ["original"] * originals + ["a"] * 5 + ["b"] + ["c"] * 9
    whole = samples(evaluation_plan(table, count))
    wanted = min(wanted, len(whole))
    taken = samples(short_plan(table, kinds, count, wanted))
    assert len(taken) == len(set(taken)) == wanted
    assert set(taken) <= set(whole)
    assert taken == sorted(taken)
    shown = {dict(zip(table.index, kinds, strict=True))[clip] for clip, _ in taken}
    assert len(shown) == min(4, wanted)
