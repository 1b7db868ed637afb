import os
from itertools import product

import cv2
import numpy as np
import pytest
import torch

from datamodules import (
    METHODS,
    CropTransform,
    EpochLoader,
    SelfBlend,
    clips_of,
    face_tracks,
    index,
    read_crops,
)
from datamodules.clips.index import ON_DISK
from datamodules.crops.cache import CropCache
from datamodules.crops.self_blend import is_blended
from tests.datamodules.streams import make_stream

KEYS = [(0, epoch, 3, frame) for epoch in range(10) for frame in range(20)]
SIZE = 32
PLAIN = CropTransform(SIZE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
SELF_BLENDED = METHODS.index("SelfBlended")


def picture(height=96, width=96):
    """Something with light, colour and grain, as a crop has."""
    random = np.random.default_rng(0)
    light = cv2.resize(random.integers(40, 216, (6, 6, 3)).astype(np.uint8), (width, height))
    return np.clip(light + random.normal(0, 4, (height, width, 3)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(96, 96), (8, 8), (20, 34), (256, 256)], ids=str)
@pytest.mark.parametrize("margin", [1.0, 1.3, 2.0])
def test_outside_the_mask_every_pixel_is_the_originals(size, margin):
    image, blend = picture(*size), SelfBlend(margin)
    kept = image.copy()
    for key in KEYS[:60]:
        fake, mask = blend(image, key)
        assert (fake.dtype, fake.shape, mask.dtype, mask.shape) == (np.uint8, image.shape, np.uint8, image.shape[:2])
        assert set(np.unique(mask)) == {0, 1}
        np.testing.assert_array_equal(fake[mask == 0], image[mask == 0])
    np.testing.assert_array_equal(image, kept)


def test_inside_the_mask_something_is_seen():
    image, blend = picture(), SelfBlend()
    for key in KEYS:
        fake, mask = blend(image, key)
        change = np.abs(fake.astype(int) - image).max(axis=2)[mask == 1]
        assert change.mean() > 1.5
        assert (change > 0).mean() > 0.5


def test_the_mask_is_one_region_without_holes_where_the_face_is():
    """A face of 96 pixels in a crop of 192: the outline may leave its square by a quarter at most."""
    image, blend = picture(192, 192), SelfBlend(margin=2.0)
    areas = []
    for key in KEYS:
        _, mask = blend(image, key)
        outlines, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        assert len(outlines) == 1
        x, y, across, down = cv2.boundingRect(mask)
        assert 24 <= min(x, y) < max(x + across, y + down) <= 168
        areas.append(mask.sum() / 96**2)
    assert 0.1 < min(areas) < 0.3  # mouth and chin alone
    assert 0.5 < max(areas) < 0.8  # the whole face


def test_the_mask_follows_the_margin():
    image = picture(192, 192)
    for key in KEYS[:20]:
        tight, wide = (SelfBlend(margin)(image, key)[1].sum() for margin in (1.3, 2.6))
        assert tight / wide == pytest.approx(4, rel=0.15)


def test_a_fake_depends_on_the_key_and_nothing_else():
    image, blend = picture(), SelfBlend()
    first = [blend(image, key) for key in KEYS[:20]]
    np.random.seed(5)
    torch.manual_seed(5)
    other = SelfBlend()
    again = {key: other(image, key) for key in KEYS[19::-1]}
    for (fake, mask), key in zip(first, KEYS[:20], strict=True):
        np.testing.assert_array_equal(fake, again[key][0])
        np.testing.assert_array_equal(mask, again[key][1])


@pytest.mark.parametrize("position", range(4), ids=["seed", "epoch", "clip", "frame"])
def test_every_part_of_the_key_gives_another_fake(position):
    image, blend = picture(), SelfBlend()
    keys = [tuple(value if part == position else 3 for part in range(4)) for value in range(12)]
    assert len({blend(image, key)[0].tobytes() for key in keys}) == 12
    assert len({blend(image, key)[1].tobytes() for key in keys}) == 12
    assert {
        is_blended((*key[:position], value, *key[position + 1 :]), 0.5) for value, key in product(range(12), keys)
    } == {
        False,
        True,
    }


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_as_many_are_drawn_as_asked(share):
    keys = list(product(range(2), range(5), range(10), range(20)))
    sigma = (len(keys) * share * (1 - share)) ** 0.5
    assert abs(sum(is_blended(key, share) for key in keys) - share * len(keys)) <= 4 * sigma
    assert all(is_blended(key, 0.9) for key in keys if is_blended(key, 0.5))  # a larger share keeps those of a smaller


def test_nothing_on_disk_has_its_name():
    assert METHODS == (*ON_DISK, "SelfBlended")


@pytest.fixture(scope="module")
def table(tree):
    return index(tree)


@pytest.fixture(scope="module")
def tracks(table):
    return face_tracks(table)


@pytest.fixture
def stream(table, tracks):
    """Six originals and 24 fakes; 6 frames of each unless told otherwise."""

    def make(self_blend=0.4, count=6, train=True, **how):
        return make_stream(table, tracks, PLAIN, count, 4, train=train, self_blend=self_blend, **how)

    return make


def samples(source, workers=0, epoch=0, resumed=None):
    """By clip and frame, as bytes and numbers."""
    loader = EpochLoader(source, lambda: epoch, num_workers=workers, finished=False)
    if resumed:
        loader.load_state_dict(resumed)
    read = {}
    for batch in loader:
        rows = zip(*(batch[name] for name in ("image", "mask", "label", "method", "box")), strict=True)
        read |= dict(zip(zip(batch["clip"].tolist(), batch["frame"].tolist(), strict=True), rows, strict=True))
    return read


def blended(read):
    return {key for key, (*_, method, _) in read.items() if method == SELF_BLENDED}


def same(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(a, b) for key in one for a, b in zip(one[key], other[key], strict=True))


def test_a_training_sample_is_what_its_key_makes_of_the_frame(stream, table, tracks):
    clips = {clip.number: clip for clip in clips_of(table)}
    plain, read = samples(stream(0.0), epoch=2), samples(stream(0.4), epoch=2)
    chosen = blended(read)
    assert 0 < len(chosen) < 36
    for (number, frame), sample in read.items():
        image, mask, label, method, box = sample
        if (number, frame) not in chosen:
            assert all(torch.equal(a, b) for a, b in zip(sample, plain[number, frame], strict=True))
            continue
        (crop,) = read_crops(clips[number], [frame], tracks)
        fake, region = SelfBlend(1.3)(crop.image, (0, 2, number, frame))
        wanted = list(map(torch.from_numpy, PLAIN(fake, region, (0, 0, 0, 0))))
        assert torch.equal(image, wanted[0])
        assert torch.equal(mask, wanted[1])
        assert (int(label), METHODS[method], clips[number].method) == (1, "SelfBlended", "original")
        assert set(mask.unique().tolist()) == {0, 1}
        assert torch.equal(box, plain[number, frame][-1])


def test_the_share_is_of_the_originals_frames(stream, tmp_path):
    source = stream(0.25, count=12, redraw=False, cache=CropCache(tmp_path, 1.0))
    counts = [len(blended(samples(source, epoch=epoch))) for epoch in range(6)]
    frames = 12 * 6 * 6
    assert abs(sum(counts) - 0.25 * frames) < 4 * (frames * 0.25 * 0.75) ** 0.5


def test_another_epoch_forges_other_frames_and_the_same_ones_otherwise(stream):
    first, again, following = (samples(stream(redraw=False), epoch=epoch) for epoch in (0, 0, 1))
    assert same(first, again)
    assert blended(first) != blended(following)
    both = blended(first) & blended(following)
    assert both
    assert not any(torch.equal(first[key][1], following[key][1]) for key in both)


def test_workers_ranks_and_a_cache_change_no_fake(stream, tmp_path):
    first = samples(stream(), epoch=1)
    assert blended(first)
    for workers in (1, 2):
        assert same(samples(stream(), workers, epoch=1), first)
    ranks = [samples(stream(rank=rank, ranks=3), epoch=1) for rank in range(3)]
    assert same({key: sample for part in ranks for key, sample in part.items()}, first)
    cache = CropCache(tmp_path, 1.0)
    for _ in range(2):
        assert same(samples(stream(cache=cache), epoch=1), first)


def test_a_cache_holds_frames_as_they_were(own_tree, tmp_path):
    table = index(own_tree)
    tracks, cache = face_tracks(table), CropCache(tmp_path / "crops", 1.0)

    def source(self_blend):
        return make_stream(table, tracks, PLAIN, 6, 4, train=True, redraw=False, cache=cache, self_blend=self_blend)

    forged, plain = samples(source(0.5)), samples(make_stream(table, tracks, PLAIN, 6, 4, train=True))
    for path in own_tree.rglob("*.mp4"):  # only the cache can answer now
        stamps = path.stat()
        path.write_bytes(bytes(stamps.st_size))
        os.utime(path, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
    assert same(samples(source(0.5)), forged)
    assert same(samples(source(0.0)), plain)


def test_an_interrupted_epoch_goes_on_with_the_same_fakes(stream):
    whole = samples(stream(), epoch=2)
    state = EpochLoader(stream(), lambda: 2, lambda: 20)
    next(iter(state))
    rest = samples(stream(), epoch=2, resumed=state.state_dict())
    assert len(rest) == len(whole) - 80
    assert blended(rest)
    assert same(rest, {key: whole[key] for key in rest})


def test_an_untouched_frame_of_a_fake_clip_is_let_be(film, tmp_path):
    film(tmp_path / "original_sequences/youtube/c23/videos/000.mp4")
    film(tmp_path / "manipulated_sequences/FaceSwap/c23/videos/000_001.mp4")
    faces = [(32, 16, 64, 48), None, (32, 16, 64, 48), None, (32, 16, 64, 48), None]
    film(tmp_path / "manipulated_sequences/FaceSwap/masks/videos/000_001.mp4", faces=faces)
    table = index(tmp_path)
    read = samples(make_stream(table, face_tracks(table), PLAIN, 6, 4, train=True, self_blend=1.0))
    assert blended(read) == {(0, frame) for frame in range(6)}
    assert [int(read[1, frame][2]) for frame in range(6)] == [1, 0, 1, 0, 1, 0]


def test_balanced_as_many_are_fake_as_real(stream, tmp_path):
    """24 fakes and 6 originals of 12 frames: each original gives 2 x 24 / 6 / (1 - 2 x 0.2) > 12, so 72 real frames."""
    source = stream(0.2, count=2, balance=True, cache=CropCache(tmp_path, 1.0))
    assert source.samples == 72 + 43  # 0.6 x 72, rounded
    labels = [int(label) for epoch in range(6) for _, _, label, _, _ in samples(source, epoch=epoch).values()]
    assert abs(sum(labels) - len(labels) / 2) < 4 * (6 * 72 * 0.2 * 0.8) ** 0.5 + 18  # and what fills no batch


@pytest.mark.parametrize(("share", "clips"), [(0.5, [1, 3, 5]), (1.0, [0, 1, 2, 3, 4, 5]), (0.4, [2, 4]), (0.0, [])])
def test_an_evaluation_forges_whole_clips_the_same_in_every_run(stream, share, clips):
    first = samples(stream(share, count=2, train=False))
    for how in ({"epoch": 3}, {"workers": 2}):
        assert same(samples(stream(share, count=2, train=False, seed=len(how)), **how), first)
    assert {clip for clip, _ in blended(first)} == set(clips)
    assert len(blended(first)) == 2 * len(clips)
