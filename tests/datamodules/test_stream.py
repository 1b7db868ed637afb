import os
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules import (
    METHODS,
    UNKNOWN,
    CropTransform,
    EpochLoader,
    clips_of,
    face_tracks,
    index,
    read_crops,
    read_splits,
    split_of,
)
from datamodules.crops.cache import CropCache
from datamodules.loading.sampling import evaluation_plan, training_plan
from tests.datamodules.streams import make_stream
from tests.datamodules.test_video import encode, numbered, packet_of

SIZE = 32
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PLAIN, AUGMENTING = (CropTransform(SIZE, MEAN, STD, augment=augment) for augment in (False, True))


@pytest.fixture(scope="module")
def table(tree):
    rows = index(tree)
    return rows.assign(split=split_of(rows, read_splits(tree / "splits")))


@pytest.fixture(scope="module")
def tracks(table):
    return face_tracks(table)


@pytest.fixture
def stream(table, tracks):
    """Makes streams of one split's ten clips (or of all), 4 frames a clip in batches of 4 unless told otherwise."""

    def make(split="train", count=4, batch_size=4, train=True, **how):
        clips = table[table.split == split] if split else table
        return make_stream(clips, tracks, AUGMENTING if train else PLAIN, count, batch_size, train=train, **how)

    return make


def load(stream, workers=0, epoch=0):
    return list(EpochLoader(stream, lambda: epoch, num_workers=workers))


def keys(batches):
    return [key for batch in batches for key in zip(batch["clip"].tolist(), batch["frame"].tolist(), strict=True)]


def by_key(batches):
    images = [image for batch in batches for image in batch["image"]]
    masks = [mask for batch in batches for mask in batch["mask"]]
    return dict(zip(keys(batches), zip(images, masks, strict=True), strict=True))


def planned(plan):
    return [(visit.clip, frame) for visit in plan for frame in visit.frames]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_evaluation_yields_every_planned_frame_exactly_once(stream, workers):
    source = stream("test", count=5, train=False)
    read = keys(load(source, workers))
    assert sorted(read) == sorted(planned(evaluation_plan(source.clips, 5)))
    assert len(read) == len(source) == 50


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_training_yields_every_planned_frame_exactly_once(stream, workers):
    source = stream(count=4, batch_size=4)
    batches = load(source, workers, epoch=3)
    assert sorted(keys(batches)) == sorted(planned(training_plan(source.clips, 4, seed=0, draw=3)))
    assert [len(batch["label"]) for batch in batches] == [4] * 10


def test_training_leaves_out_what_fills_no_batch(stream):
    source = stream(count=4, batch_size=9)  # 40 frames
    read = keys(load(source))
    assert len(read) == len(set(read)) == len(source) == 36
    assert set(read) < set(planned(training_plan(source.clips, 4, seed=0, draw=0)))


@pytest.mark.parametrize("train", [True, False], ids=["training", "evaluation"])
def test_a_sample_is_the_same_whichever_worker_makes_it(stream, train):
    first, *others = (by_key(load(stream(train=train), workers, epoch=1)) for workers in (0, 1, 2))
    for other in others:
        assert other.keys() == first.keys()
        for key, (image, mask) in first.items():
            assert torch.equal(other[key][0], image)
            assert torch.equal(other[key][1], mask)


def test_an_epoch_is_the_same_again_and_the_next_is_another(stream):
    first, again, following = (load(stream(), epoch=epoch) for epoch in (0, 0, 1))
    assert keys(first) == keys(again) != keys(following)
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(first, again, strict=True))
    assert set(keys(first)) != set(keys(following))
    shared = by_key(first).keys() & by_key(following).keys()
    assert any(not torch.equal(by_key(first)[key][0], by_key(following)[key][0]) for key in shared)


def test_another_seed_is_another_epoch(stream):
    assert set(keys(load(stream(seed=0)))) != set(keys(load(stream(seed=1))))


def test_a_loader_asks_anew_which_epoch_begins(stream):
    epochs = iter([0, 1, 0])
    source = stream()
    loader = EpochLoader(source, lambda: next(epochs))
    first, second, third = (keys(loader) for _ in range(3))
    assert first == third != second


def test_a_training_batch_mixes_clips_even_where_every_clip_gives_all_its_frames(stream):
    source = stream(None, count=270, batch_size=8, open_clips=8, pool=32)
    batches = load(source)
    distinct = [len(set(batch["clip"].tolist())) for batch in batches]
    assert sum(distinct) / len(distinct) >= 4
    assert min(distinct[: len(distinct) // 2]) >= 3


def test_training_order_follows_neither_clip_nor_time(stream):
    read = keys(load(stream(None, count=270, batch_size=8)))
    assert read != sorted(read)
    clip = max({clip for clip, _ in read}, key=lambda clip: sum(clip == other for other, _ in read))
    frames = [frame for other, frame in read if other == clip]
    assert frames != sorted(frames)


def test_evaluation_comes_in_the_order_of_the_index(stream):
    read = keys(load(stream("test", train=False)))
    assert read == sorted(read)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("train", [True, False], ids=["training", "evaluation"])
def test_ranks_are_disjoint_and_together_whole(stream, train, workers):
    shares = [keys(load(stream(count=5, train=train, rank=rank, ranks=3), workers)) for rank in range(3)]
    read = [key for share in shares for key in share]
    assert len(read) == len(set(read)) == (48 if train else 50)  # training: 4 batches of 4 a rank
    assert {len(share) for share in shares} == ({16} if train else {16, 17})
    if not train:
        assert sorted(read) == sorted(planned(evaluation_plan(stream(train=False).clips, 5)))


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"batch_size": 50}, "40 frames of 10 clips make less than 1 batches of 50: take more frames a clip"),
        ({"ranks": 11}, "40 frames of 10 clips make less than 11 batches of 4: .* fewer devices"),
        ({"train": False, "ranks": 41}, "40 frames of 10 clips make less than a frame for each of 41 processes"),
        ({"split": "nowhere"}, "0 frames of 0 clips"),
    ],
    ids=str,
)
def test_a_share_without_a_batch_is_a_sentence(stream, how, sentence):
    with pytest.raises(ValueError, match=sentence):
        stream(**how)


def test_balance_is_counted_in_frames(stream):
    batches = load(stream(count=2, batch_size=2, balance=True))
    methods = torch.cat([batch["method"] for batch in batches])
    assert (methods == 0).sum() == (methods > 0).sum() == 16  # 8 fakes to 2 originals, 2 frames a fake


@pytest.mark.parametrize("train", [True, False], ids=["training", "evaluation"])
def test_a_batch_keeps_its_contract(stream, table, tracks, train):
    clips = {clip.number: clip for clip in clips_of(table)}
    for batch in load(stream(train=train)):
        assert list(batch) == ["image", "mask", "label", "method", "clip", "frame", "box"]  # a canvas only if asked
        shapes = {name: tuple(tensor.shape[1:]) for name, tensor in batch.items()}
        assert shapes == {
            "image": (3, SIZE, SIZE),
            "mask": (SIZE, SIZE),
            "label": (),
            "method": (),
            "clip": (),
            "frame": (),
            "box": (4,),
        }
        assert {name for name, tensor in batch.items() if tensor.dtype == torch.float32} == {"image", "box"}
        assert all(batch[name].dtype == torch.int64 for name in ("mask", "label", "method", "clip", "frame"))
        pixels = batch["image"] * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
        assert pixels.min() >= -1e-5
        assert pixels.max() <= 1 + 1e-5
        assert set(batch["mask"].unique().tolist()) <= {0, 1, UNKNOWN}
        columns = [batch[name].tolist() for name in ("clip", "frame", "method", "label", "box")]
        for number, frame, method, label, box, mask in zip(*columns, batch["mask"], strict=True):
            clip = clips[number]
            assert METHODS[method] == clip.method
            assert 0 <= frame < clip.frames
            assert label in ({0, 1} if clip.label else {0})
            assert box == tracks.crops(clip, [frame], 1.3)[0].tolist()
            assert label or not mask.any()


def test_image_mask_and_box_are_of_the_frame_they_name(stream, table, tracks):
    clips = {clip.number: clip for clip in clips_of(table)}
    for (number, frame), (image, mask) in list(by_key(load(stream(train=False))).items())[::7]:
        (crop,) = read_crops(clips[number], [frame], tracks)
        seen = map(torch.from_numpy, PLAIN(crop.image, crop.mask, (0, 0, 0, 0)))
        sample = dict(zip(("image", "mask"), seen, strict=True))
        assert torch.equal(image, PLAIN.finish(sample)["image"])
        assert torch.equal(mask, PLAIN.finish(sample)["mask"])


def filmed(film, root, faces, mask_frames=6):
    """One original and one FaceSwap of 6 frames whose mask is told."""
    film(root / "original_sequences/youtube/c23/videos/000.mp4")
    film(root / "manipulated_sequences/FaceSwap/c23/videos/000_001.mp4")
    film(root / "manipulated_sequences/FaceSwap/masks/videos/000_001.mp4", frames=mask_frames, faces=faces)
    table = index(root)
    return make_stream(table, face_tracks(table), PLAIN, count=6, batch_size=4)


def test_an_empty_mask_makes_a_fakes_frame_real(film, tmp_path):
    box = (32, 16, 64, 48)
    source = filmed(film, tmp_path, [box, box, None, box, None, box])
    batches = load(source)
    labels = dict(zip(keys(batches), torch.cat([batch["label"] for batch in batches]).tolist(), strict=True))
    assert [labels[1, frame] for frame in range(6)] == [1, 1, 0, 1, 0, 1]
    assert [labels[0, frame] for frame in range(6)] == [0] * 6
    assert {(1, frame) for frame in (0, 1, 3, 5)} == {key for key, (_, mask) in by_key(batches).items() if mask.any()}
    assert not any((mask == UNKNOWN).any() for _, mask in by_key(batches).values())


def test_behind_its_masks_end_a_fake_is_fake_and_its_pixels_are_not_known(film, tmp_path):
    batches = load(filmed(film, tmp_path, (32, 16, 64, 48), mask_frames=4))
    labels = dict(zip(keys(batches), torch.cat([batch["label"] for batch in batches]).tolist(), strict=True))
    assert [labels[1, frame] for frame in range(6)] == [1] * 6
    unknown = {key for key, (_, mask) in by_key(batches).items() if (mask == UNKNOWN).all()}
    assert unknown == {(1, 4), (1, 5)}


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_an_interrupted_epoch_goes_on_with_the_first_unseen_batch(stream, workers):
    begun, resumed = (EpochLoader(stream(pool=8), lambda: 2, lambda: consumed, num_workers=workers) for _ in range(2))
    whole = list(begun)
    assert len(whole) == 10  # its workers have prepared everything; what counts is what was consumed
    for consumed in (1, 4, 9):
        resumed.load_state_dict(begun.state_dict())
        rest = list(resumed)
        assert len(rest) == 10 - consumed
        for batch, same in zip(rest, whole[consumed:], strict=True):
            assert all(torch.equal(batch[name], same[name]) for name in batch)
        following = list(resumed)  # a whole one
        assert [keys([batch]) for batch in following] == [keys([batch]) for batch in whole]


def test_what_was_consumed_is_not_opened_again(stream, own_tree):
    table = index(own_tree)
    source = make_stream(table, face_tracks(table), PLAIN, count=6, batch_size=4, train=True, open_clips=2, pool=4)
    order = source.order()
    source.consumed = len(order.leaving) // 8
    left = {clip for clip, _ in order.leaving[4 * source.consumed :]}
    finished = set(table.index) - left
    assert finished
    for path in table.path[list(finished)]:
        Path(path).unlink()
    assert [(int(sample["clip"]), int(sample["frame"])) for sample in source] == order.leaving[4 * source.consumed :]


@pytest.mark.parametrize(
    ("now", "sentence"),
    [
        ({"workers": 2}, "inside epoch 2, and workers was 1, not 2: go on with the same, or .* at an epoch's end"),
        ({"ranks": 2}, "processes was 1, not 2"),
        ({"batch_size": 5}, "batch_size was 4, not 5"),
        ({"open_clips": 3, "pool": 9}, "open_clips was 16, not 3; pool was 128, not 9"),
    ],
    ids=str,
)
def test_an_interrupted_epoch_goes_on_only_as_it_was_begun(stream, now, sentence):
    def loader(workers=1, batch_size=4, **how):
        source = stream(batch_size=batch_size, **how)
        return EpochLoader(source, lambda: 2, lambda: consumed[-1], num_workers=workers)

    begun, consumed = loader(), [3]
    next(iter(begun))
    with pytest.raises(ValueError, match=sentence):
        loader(**now).load_state_dict(begun.state_dict())
    for end in (0, 10):
        consumed.append(end)
        loader(**now).load_state_dict(begun.state_dict())


@pytest.mark.parametrize(("count", "consumed", "taken"), [(8, 10, True), (2, 7, False)])
def test_whether_an_epoch_was_ended_is_told_by_its_own_length(stream, count, consumed, taken):
    """Ten batches then; twice or half as many now."""
    then = EpochLoader(stream(), lambda: 0, lambda: consumed)
    next(iter(then))
    now = EpochLoader(stream(count=count), lambda: 0)
    if taken:
        now.load_state_dict(then.state_dict())
        assert len(list(now)) == len(now)
    else:
        with pytest.raises(ValueError, match="batches_an_epoch was 10, not 5"):
            now.load_state_dict(then.state_dict())


def test_without_redrawing_every_epoch_visits_the_same_frames_in_another_order(stream):
    first, second = (keys(load(stream(redraw=False), epoch=epoch)) for epoch in (0, 1))
    assert first != second
    assert sorted(first) == sorted(second)


@pytest.mark.parametrize("train", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_cache_changes_nothing_and_opens_no_video_again(own_tree, tmp_path, train, workers):
    table = index(own_tree)
    tracks, cache = face_tracks(table), CropCache(tmp_path / "crops", 1.0)

    def source(**how):
        return make_stream(table, tracks, PLAIN, 5, 4, train=train, redraw=False, **how)

    plain = by_key(load(source()))
    stored = by_key(load(source(cache=cache), workers))
    content = {path: path.read_bytes() for path in own_tree.rglob("*.mp4")}
    for path in content:  # nothing can be decoded any more, but size and time are as before
        stamps = path.stat()
        path.write_bytes(bytes(len(content[path])))
        os.utime(path, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
    again = by_key(load(source(cache=cache), workers))
    for read in (stored, again):
        assert read.keys() == plain.keys()
        assert all(torch.equal(a, b) for key in plain for a, b in zip(read[key], plain[key], strict=True))


def test_both_backends_give_the_same_batches(stream):
    first, second = (load(stream(backend=backend)) for backend in ("pyav", "decord"))
    for one, other in zip(first, second, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_breaks_while_it_is_read_is_named(own_tree, workers):
    table = index(own_tree)
    source = make_stream(table, face_tracks(table), PLAIN, count=3, batch_size=4, train=True)
    path = Path(table.path[0])
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(OSError, match=path.name):
        load(source, workers)


EVERY_FOUR = {"g": "4", "bf": "0", "sc_threshold": "0"}
"""Key frames, for x264."""


@pytest.fixture
def damaged(film, tmp_path):
    """Makes streams of an original and three fakes of 12 frames, key frames every four, read as far as they can be.

    Fake 000_001 is damaged in frames 4 to 7, the mask of 000_002 in its last four, and 000_003 is gone. The wholes are
    streams of the same when nothing was damaged.
    """
    originals = tmp_path / "original_sequences/youtube/c23/videos"
    fakes = tmp_path / "manipulated_sequences/FaceSwap/c23/videos"
    masks = tmp_path / "manipulated_sequences/FaceSwap/masks/videos"
    film(originals / "000.mp4", frames=12)
    fakes.mkdir(parents=True)
    for name in ("000_001.mp4", "000_002.mp4", "000_003.mp4"):
        film(masks / name, frames=12, faces=(32, 16, 64, 48))
        encode(fakes / name, numbered(12, 96, 64), options=EVERY_FOUR)
    white = np.zeros((64, 96, 3), np.uint8)
    white[16:48, 32:64] = 255
    encode(masks / "000_002.mp4", [white] * 12, options=EVERY_FOUR)
    table = index(tmp_path)
    tracks = face_tracks(table)
    cache = CropCache(tmp_path / "crops", 1.0)

    def make(kept=False, **how):
        return make_stream(table, tracks, PLAIN, 12, 5, cache=cache if kept else None, on_unreadable="skip", **how)

    whole = by_key(load(make()))
    for path, frame in ((fakes / "000_001.mp4", 4), (masks / "000_002.mp4", 8)):
        content, place = bytearray(path.read_bytes()), packet_of(path, frame)
        content[place.start + 20 : place.stop] = bytes(
            place.stop - place.start - 20
        )  # its picture is put out all the same
        path.write_bytes(content)
    (fakes / "000_003.mp4").unlink()
    return make, whole


LOST = {(1, frame) for frame in (4, 5, 6, 7)} | {(2, frame) for frame in (8, 9, 10, 11)} | {(3, f) for f in range(12)}


@pytest.mark.filterwarnings("ignore:.* are left out")
@pytest.mark.parametrize(
    ("ranks", "workers", "kept"), [(1, 0, False), (3, 0, False), (1, 3, False), (1, 0, True), (2, 1, True)]
)
def test_what_cannot_be_read_is_left_out_and_nothing_else_whoever_reads(damaged, ranks, workers, kept):
    make, whole = damaged
    read, left_out = {}, []
    for _ in range(1 + kept):
        for rank in range(ranks):
            source = make(kept, rank=rank, ranks=ranks)
            read.update(by_key(load(source, workers)))
            left_out += source.unreadable
    assert read.keys() == whole.keys() - LOST
    assert all(torch.equal(a, b) for key in read for a, b in zip(read[key], whole[key], strict=True))
    frames = [(what.clip, frame) for what in left_out for frame in what.frames]
    assert sorted(frames) == sorted((1 + kept) * list(LOST))
    reasons = {what.clip: what.reason for what in left_out}
    assert "/000_001.mp4 is damaged: frame 4 is" in reasons[1]
    assert "/masks/videos/000_002.mp4 is damaged: frame 8 is" in reasons[2]
    assert "/000_003.mp4 does not exist" in reasons[3]


def test_each_pass_says_anew_what_was_left_out_and_warns(damaged):
    make, _ = damaged
    source = make()
    for workers in (0, 1):
        batches = EpochLoader(source, lambda: 0, num_workers=workers)
        with pytest.warns(UserWarning, match="are left out") as said:
            passes = [(list(batches), sum(len(what.frames) for what in source.unreadable)) for _ in range(2)]
        assert [left_out for _, left_out in passes] == [len(LOST), len(LOST)]
        assert {str(warning.message).partition(": ")[0] for warning in said} == {
            "4 frames of FaceSwap/000_001 are left out",
            "4 frames of FaceSwap/000_002 are left out",
            "12 frames of FaceSwap/000_003 are left out",
        }


@pytest.mark.filterwarnings("ignore:.* are left out")
@pytest.mark.parametrize("workers", [0, 2])
def test_where_nothing_can_be_read_there_is_no_batch(own_tree, workers):
    table = index(own_tree)
    source = make_stream(table, face_tracks(table), PLAIN, 2, 4, on_unreadable="skip")
    for path in table.path:
        Path(path).unlink()
    assert load(source, workers) == []
    assert sorted(what.clip for what in source.unreadable) == table.index.tolist()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_evaluation_that_is_measured_refuses_what_cannot_be_read(own_tree, workers):
    table = index(own_tree)
    source = make_stream(table, face_tracks(table), PLAIN, 2, 4)
    Path(table.path[0]).unlink()
    with pytest.raises(FileNotFoundError, match=Path(table.path[0]).name):
        load(source, workers)


def test_a_training_leaves_nothing_out(stream):
    with pytest.raises(ValueError, match="on_unreadable is skip with train"):
        stream(on_unreadable="skip")
