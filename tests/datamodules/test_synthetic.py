"""The miniature FaceForensics++: official places, lengths and oddities; nothing changed outside the labels."""

import hashlib
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from datamodules.clips.masks import THRESHOLDS, forged_region
from datamodules.faces.detection import face_detector
from datamodules.synthetic import write_tree
from datamodules.synthetic.__main__ import main
from datamodules.synthetic.plan import FOUR_METHODS as METHODS
from datamodules.synthetic.plan import fake_path, mask_path, original_path, plan, split_names
from datamodules.synthetic.sources import cast_people
from datamodules.synthetic.takes import film
from datamodules.video.reader import VideoReader
from datamodules.video.scan import probe
from datamodules.video.writer import write_video

PAIRS, SEED, FRAMES, SIZE = 3, 2, 16, (160, 128)
TINY = {"pairs": 3, "seed": 0, "frames": 8, "size": (96, 96), "qualities": ("c23",)}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("synthetic") / "mini", PAIRS, SEED, FRAMES, SIZE, ("raw", "c23"))


@pytest.fixture(scope="module")
def pairs():
    return plan(PAIRS, SEED, FRAMES, SIZE[0])


def read(path):
    return np.stack(list(VideoReader(path).read(range(probe(path).frames))))


def clips(pairs, *methods):
    """Every forged clip: pair, fake, target's record, source's record."""
    for pair in pairs:
        for fake in pair.fakes:
            if fake.method in (methods or METHODS):
                yield pair, fake, pair.originals[fake.target], pair.originals[1 - fake.target]


@pytest.fixture(scope="module")
def compared(tree, pairs):
    """Each fake with its forged frames, the target's frames they show, and its labels, all of the clip's width."""
    result = []
    for pair, fake, target, _ in clips(pairs):
        forged = read(fake_path(tree, fake.method, pair.name(fake), "raw"))
        shown = read(original_path(tree, target.name, "raw"))[np.arange(len(forged)) % target.frames]
        masks = read(mask_path(tree, fake.method, pair.name(fake)))
        labels = np.stack([forged_region(mask, THRESHOLDS[fake.method]) for mask in masks])
        result.append((fake, forged, shown[:, :, fake.cropped : SIZE[0] - fake.cropped], labels))
    return result


def digests(tree):
    return {path.relative_to(tree): hashlib.sha256(path.read_bytes()).hexdigest() for path in tree.rglob("*.mp4")}


def test_every_video_is_in_its_official_place(tree, pairs):
    assert len(list((tree / "original_sequences/youtube/c23/videos").glob("[0-9][0-9][0-9].mp4"))) == 2 * PAIRS
    for method in METHODS:
        for folder in ("raw/videos", "c23/videos", "masks/videos"):
            names = {path.stem for path in (tree / "manipulated_sequences" / method / folder).glob("*.mp4")}
            assert names == {pair.name(fake) for pair, fake, _, _ in clips(pairs, method)}
    assert not list((tree / "original_sequences").rglob("*masks*"))


def test_nothing_is_changed_outside_the_label(compared):
    for fake, forged, shown, labels in compared:
        changed = (forged != shown).any(axis=3)
        assert changed.any()
        assert not (changed & (labels == 0)).any(), fake


def test_a_label_is_no_larger_than_its_method_makes_it(compared):
    for fake, forged, shown, labels in compared:
        share = (forged != shown).any(axis=3).sum() / labels.sum()
        assert share > {"Deepfakes": 0.35, "NeuralTextures": 0.3}.get(fake.method, 0.6), fake


def test_nine_frames_of_ten_have_a_label(compared):
    shares = np.concatenate([labels.mean((1, 2)) for _, _, _, labels in compared])
    assert (shares > 0.0005).mean() >= 0.9
    assert shares.max() < 0.5


def test_length_of_every_method(tree, pairs):
    for pair, fake, target, source in clips(pairs):
        expected = {"Deepfakes": target.frames, "Face2Face": source.frames}
        frames = expected.get(fake.method, min(target.frames, source.frames))
        assert probe(fake_path(tree, fake.method, pair.name(fake), "c23")).frames == frames
        assert probe(mask_path(tree, fake.method, pair.name(fake))).frames == frames
        assert probe(original_path(tree, target.name, "c23")).frames == target.frames != source.frames


def test_face2face_rewinds_a_short_target(pairs):
    """That the frames behind its end show it from the start again is part of `compared`."""
    assert any(fake.frames > target.frames for _, fake, target, _ in clips(pairs, "Face2Face"))


@pytest.mark.parametrize("method", ["Face2Face", "NeuralTextures"])
def test_some_clips_are_centred_crops(tree, pairs, method):
    widths = []
    for pair, fake, _, _ in clips(pairs, method):
        facts = probe(fake_path(tree, method, pair.name(fake), "c23"))
        mask = probe(mask_path(tree, method, pair.name(fake)))
        assert (facts.width, facts.height) == (mask.width, mask.height)
        widths.append(facts.width)
    assert set(widths) == {SIZE[0], SIZE[0] - 16}  # 8 columns lost on either side
    assert widths.count(SIZE[0] - 16) == round(0.282 * len(widths))


def test_lost_landmarks_leave_an_empty_mask_over_an_untouched_frame(compared):
    lost = [each for each in compared if each[0].lost]
    assert lost
    for fake, forged, shown, labels in lost:
        empty = [frame for frame in range(fake.frames) if not labels[frame].any()]
        assert empty == list(fake.lost)
        assert (forged[empty] == shown[empty]).all()


def test_a_few_fakes_have_another_rate_than_their_target(tree, pairs):
    other = [fake.fps != target.fps for _, fake, target, _ in clips(pairs)]
    assert 1 <= sum(other) < len(other) / 4
    for pair, fake, _, _ in clips(pairs):
        assert probe(fake_path(tree, fake.method, pair.name(fake), "c23")).fps == fake.fps


def test_masks_look_as_each_method_leaves_them(tree, pairs):
    for pair, fake, _, _ in clips(pairs):
        masks = read(mask_path(tree, fake.method, pair.name(fake)))
        label = forged_region(masks[0], THRESHOLDS[fake.method])
        if fake.method == "Deepfakes":
            width, height = cv2.boundingRect(label)[2:]
            assert label.sum() > 0.98 * width * height
        colourful = np.ptp(masks[masks.max(3) > 80].astype(int), axis=1).mean()
        assert (colourful > 10) == (fake.method == "FaceSwap")
        assert len(np.unique(masks)) > 2


def test_fakes_are_as_bright_and_as_sharp_as_originals(compared):
    def sharpness(frames):
        return np.log(np.mean([cv2.Laplacian(one.mean(2), cv2.CV_64F).var() for one in frames]))

    levels = [(sharpness(forged), sharpness(shown)) for _, forged, shown, _ in compared]
    assert abs(np.mean(np.subtract(*np.transpose(levels)))) < 0.3 * np.std([shown for _, shown in levels])
    for _, forged, shown, _ in compared:
        assert np.abs(forged.mean((0, 1, 2)) - shown.mean((0, 1, 2))).max() < 1.5


def test_splits_are_lists_of_pairs_without_a_shared_identity(tree, pairs):
    splits = {name: json.loads((tree / "splits" / f"{name}.json").read_text()) for name in ("train", "val", "test")}
    identities = [name for split in splits.values() for pair in split for name in pair]
    assert all(splits.values())
    assert sorted(identities) == [f"{number:03d}" for number in range(2 * PAIRS)]


def test_shares_of_the_splits():
    def counts(pairs):
        names = split_names(pairs)
        return [names.count(split) for split in ("train", "val", "test")]

    assert counts(12) == [6, 2, 4]
    assert counts(8) == [3, 1, 4]
    assert counts(3) == [1, 1, 1]


def test_the_bytes_do_not_depend_on_the_workers(tmp_path):
    assert digests(write_tree(tmp_path / "one", **TINY)) == digests(write_tree(tmp_path / "two", **TINY, workers=2))


def test_another_seed_gives_other_people(tmp_path):
    assert not np.array_equal(
        film(np.random.default_rng([0, 1, 0]), 1, 96, 96).frames,
        film(np.random.default_rng([1, 1, 0]), 1, 96, 96).frames,
    )


def test_a_whole_tree_is_left_alone_and_a_broken_one_is_mended(tmp_path, capsys):
    tree = write_tree(tmp_path / "tree", **TINY)
    before = digests(tree)
    assert "whole already" not in capsys.readouterr().out
    write_tree(tree, **TINY)
    assert "whole already" in capsys.readouterr().out
    next(tree.rglob("*.mp4")).unlink()
    assert digests(write_tree(tree, **TINY)) == before
    with pytest.raises(FileExistsError, match=r"other settings \(seed 0, not 5\): delete it or name another"):
        write_tree(tree, **(TINY | {"seed": 5}))


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(FileExistsError, match=r"holds 'thesis.tex', but .* empty folder: name another"):
        write_tree(tmp_path, **TINY)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"pairs": 2}, "pairs is 2, but .* 3 to 500"),
        ({"frames": 4}, "frames is 4, but .* 8 or more"),
        ({"size": (330, 240)}, "size is 330x240, but .* use 320x240"),
        ({"qualities": ("c30",)}, r"qualities are \['c30'\], but"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, setting, sentence):
    with pytest.raises(ValueError, match=sentence):
        write_tree(tmp_path / "tree", **(TINY | setting))
    assert not (tmp_path / "tree").exists()


def test_the_command_line_says_what_is_wrong_in_one_line(tmp_path, capsys):
    assert main(["--out", str(tmp_path / "tree"), "--pairs", "1"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_command_line_writes_a_tree(tmp_path):
    settings = ["--pairs", "3", "--frames", "8", "--size", "96x96", "--qualities", "c40", "--workers", "0"]
    assert main(["--out", str(tmp_path / "tree"), *settings]) == 0
    assert len(list(tmp_path.rglob("c40/videos/*.mp4"))) == 30


PEOPLE = [Path(f"{name}.mp4") for name in ("ada", "bob", "cyd", "dan", "eve")]


def test_a_person_is_cast_in_one_split_only(pairs, capsys):
    roles = cast_people(PEOPLE, pairs, seed=0, across_splits=False)
    splits = {who.name: pair.split for pair in pairs for who in pair.originals}
    for person in PEOPLE:
        assert len({splits[name] for name, role in roles.items() if role.path == person}) == 1
    assert len(set(roles.values())) == len(splits)
    assert "Fewer people than identities" in capsys.readouterr().out


def test_one_person_is_not_enough_unless_told(pairs):
    with pytest.raises(ValueError, match=r"1 of the clips show.*--allow-repeats-across-splits"):
        cast_people(PEOPLE[:1], pairs, seed=0, across_splits=False)
    roles = cast_people(PEOPLE[:1], pairs, seed=0, across_splits=True)
    assert len(set(roles.values())) == 2 * PAIRS


def test_without_dlib_sources_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    write_video(tmp_path / "me.mp4", film(np.random.default_rng(0), 12, 160, 128).frames, "c23")
    face_detector.cache_clear()
    with pytest.raises(ValueError, match="found by dlib, which is not installed: pip install dlib-bin"):
        write_tree(tmp_path / "tree", **TINY, sources=tmp_path)


def test_clips_become_people_and_clips_without_a_face_are_named(tmp_path, capsys):
    pytest.importorskip("dlib")
    for number in range(3):
        frames = film(np.random.default_rng(number), 12, 320, 240).frames
        write_video(tmp_path / f"clips/person{number}.mp4", frames, "c23")
    write_video(tmp_path / "clips/wall.mp4", np.full((12, 240, 320, 3), 90, np.uint8), "c23")
    tree = write_tree(tmp_path / "tree", **(TINY | {"size": (160, 128)}), sources=tmp_path / "clips")
    assert "1 of 4 clips are left out: wall.mp4 (a face in 0 of" in capsys.readouterr().out
    assert len(list(tree.rglob("*.mp4"))) == 54
