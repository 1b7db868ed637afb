"""Boxes are made up here; test_faces.py has real ones, found by the real dlib."""

import sys

import pytest

from datamodules.faces.detection import LASTING, face_detector, follow, overlap

LEFT, RIGHT = (10.0, 10.0, 50.0, 50.0), (100.0, 10.0, 140.0, 50.0)


def moved(box, x, y=0):
    return box[0] + x, box[1] + y, box[2] + x, box[3] + y


def larger(box, by):
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


@pytest.mark.parametrize(
    ("other", "share"),
    [
        (LEFT, 1),
        (moved(LEFT, 20), 1 / 3),  # 20 x 40 of 60 x 40
        (moved(LEFT, 20, 20), 1 / 7),  # 20 x 20 of 2 * 40 x 40 - 20 x 20
        (moved(LEFT, 40), 0),
        (RIGHT, 0),
    ],
)
def test_overlap_is_intersection_over_union(other, share):
    assert overlap(LEFT, other) == overlap(other, LEFT) == pytest.approx(share)


def test_no_face_is_no_track():
    assert follow([]) == follow([[], []]) == {}


def test_frames_without_the_face_are_left_out():
    assert follow([[], [LEFT], [], [LEFT], []]) == {1: LEFT, 3: LEFT}


def test_of_two_boxes_the_one_with_the_larger_overlap_continues_the_track():
    near, far = moved(LEFT, 4), moved(LEFT, 30)
    assert follow([[LEFT], [near, far]])[1] == follow([[LEFT], [far, near]])[1] == near


def test_a_face_is_followed_as_it_moves():
    boxes = [moved(LEFT, 10 * number) for number in range(12)]
    assert follow([[box] for box in boxes]) == dict(enumerate(boxes))


def test_two_faces_are_not_mixed_whatever_their_order():
    found = [[LEFT, larger(RIGHT, 2)] if number % 2 else [larger(RIGHT, 2), LEFT] for number in range(6)]
    assert set(follow(found).values()) == {larger(RIGHT, 2)}


def test_of_equal_faces_the_one_dlib_is_surer_of_is_taken():
    assert follow([[RIGHT, LEFT]]) == {0: RIGHT}


def test_the_face_seen_longer_is_taken_though_another_is_first_or_larger():
    assert set(follow([[RIGHT], *[[LEFT]] * 9]).values()) == {LEFT}
    assert set(follow([[larger(RIGHT, 4), LEFT], *[[LEFT]] * 9]).values()) == {LEFT}


def test_a_face_missed_for_a_while_is_not_exchanged_for_a_bystanders():
    bystander = larger(RIGHT, -5)
    found = [[LEFT, bystander], *[[bystander]] * 60, *[[LEFT, bystander]] * 90]
    assert follow(found) == dict.fromkeys([0, *range(61, 151)], LEFT)


def test_behind_a_cut_the_face_is_found_at_its_new_place():
    found = [[LEFT]] * 40 + [[RIGHT]] * LASTING + [[moved(LEFT, 0, 60)]] * 50
    track = follow(found)
    assert list(track) == list(range(len(found)))
    assert [track[frame] for frame in (39, 40, 40 + LASTING)] == [LEFT, RIGHT, moved(LEFT, 0, 60)]


def test_a_short_false_alarm_is_no_cut():
    assert follow([[LEFT]] * 40 + [[RIGHT]] * (LASTING - 1)) == dict.fromkeys(range(40), LEFT)


def test_without_dlib_the_other_way_is_named(monkeypatch):
    face_detector.cache_clear()
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(
        ValueError, match="found by dlib, which is not installed: pip install dlib-bin; faces: masks does without"
    ):
        face_detector()
