import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datamodules import clips_of, face_tracks, index, index_all, read_crops, write_video
from datamodules.clips.masks import RULE
from datamodules.faces.detection import PREFERENCE, overlap
from datamodules.synthetic.takes import film as film_head

BOXES = {  # where each method's mask shows the face, so that it can be told whose was taken
    "Deepfakes": (16, 16, 48, 48),
    "Face2Face": (32, 16, 64, 48),
    "NeuralTextures": (48, 16, 80, 48),
    "FaceSwap": (64, 16, 96, 48),
    "DeepFakeDetection": (16, 32, 48, 64),
}


def original(root, name="000"):
    return root / f"original_sequences/youtube/c23/videos/{name}.mp4"


def fake(root, method, name="000_001"):
    return root / f"manipulated_sequences/{method}/c23/videos/{name}.mp4"


def mask(root, method, name="000_001"):
    return root / f"manipulated_sequences/{method}/masks/videos/{name}.mp4"


@pytest.fixture
def put(film, tmp_path):
    """Puts a fake with its mask into a tree whose one target is `000`, 6 frames of 96 x 64."""
    film(original(tmp_path))

    def write(method, faces=None, **how):
        film(fake(tmp_path, method), **how)
        film(mask(tmp_path, method), faces=faces or BOXES[method], **how)
        return tmp_path

    return write


def tracked(root, source="masks", **how):
    return face_tracks(index(root), source, **how)


def near(boxes, wanted):
    return np.abs(np.asarray(boxes) - wanted).max() <= 1


FOUR = ["Deepfakes", "Face2Face", "NeuralTextures", "FaceSwap"]


@pytest.mark.parametrize("absent", range(4))
def test_the_first_of_the_preferred_masks_gives_the_track(put, absent):
    assert list(PREFERENCE[:4]) == FOUR
    for method in FOUR[absent:]:
        root = put(method)
    assert near(tracked(root).boxes["000"], BOXES[FOUR[absent]])


def test_a_mask_that_is_empty_throughout_is_passed_over(put):
    put("Deepfakes", faces=[None] * 6)
    assert near(tracked(put("FaceSwap")).boxes["000"], BOXES["FaceSwap"])


def test_a_mask_that_does_not_fit_its_clip_is_passed_over(put, film, tmp_path):
    put("Deepfakes")
    film(mask(tmp_path, "Deepfakes"), size=(192, 128), faces=(100, 60, 180, 120))
    assert near(tracked(put("FaceSwap")).boxes["000"], BOXES["FaceSwap"])


def test_gaps_are_interpolated_and_ends_are_held(put):
    known = {1: (0, 16, 32, 48), 4: (48, 16, 80, 48)}
    track = tracked(put("FaceSwap", faces=[known.get(frame) for frame in range(6)])).boxes["000"]
    assert track.shape == (6, 4)
    assert track.dtype == np.float32
    assert near(track[:, 0], [0, 0, 16, 32, 48, 48])


def test_a_rewound_face2face_clip_shows_the_target_again(film, tmp_path):
    film(original(tmp_path), frames=4)
    film(fake(tmp_path, "Face2Face"), frames=7)
    first = [(16 * number, 16, 16 * number + 32, 48) for number in range(4)]
    film(mask(tmp_path, "Face2Face"), frames=7, faces=[*first, *[(64, 0, 96, 64)] * 3])
    table = index(tmp_path)
    tracks = face_tracks(table)
    assert near(tracks.boxes["000"], first)
    crops = tracks.crops(clips_of(table)[1], range(7), 1.0)
    np.testing.assert_array_equal(crops[4:], crops[:3])


def test_behind_its_targets_end_any_other_clip_holds_the_last_box(film, tmp_path):
    film(original(tmp_path), frames=4)
    film(fake(tmp_path, "Deepfakes"), frames=6)
    film(mask(tmp_path, "Deepfakes"), faces=[(8 * number, 16, 8 * number + 32, 48) for number in range(6)])
    table = index(tmp_path)
    crops = face_tracks(table).crops(clips_of(table)[1], range(6), 1.0)
    assert crops[3, 0] == 24
    np.testing.assert_array_equal(crops[4:], crops[[3, 3]])


def test_a_longer_face2face_without_original_keeps_its_own_time(film, tmp_path):
    film(fake(tmp_path, "Face2Face"), frames=7)
    film(mask(tmp_path, "Face2Face"), faces=[(8 * number, 16, 8 * number + 32, 48) for number in range(7)])
    table = index(tmp_path)
    assert len(face_tracks(table).crops(clips_of(table)[0], range(7), 1.0)) == 7


def test_a_track_is_as_long_as_the_original(film, tmp_path):
    film(original(tmp_path), frames=9)
    film(fake(tmp_path, "FaceSwap"), frames=5)
    film(mask(tmp_path, "FaceSwap"), frames=5, faces=BOXES["FaceSwap"])
    assert tracked(tmp_path).boxes["000"].shape == (9, 4)


@pytest.mark.parametrize("mask_size", [(80, 64), (96, 64)], ids=["cropped mask", "uncropped mask"])
def test_a_centred_crops_mask_is_shifted_into_the_target(film, tmp_path, mask_size):
    film(original(tmp_path))
    film(fake(tmp_path, "NeuralTextures"), size=(80, 64))
    shown = 40 if mask_size == (80, 64) else 48
    film(mask(tmp_path, "NeuralTextures"), size=mask_size, faces=(shown, 16, shown + 32, 48))
    assert near(tracked(tmp_path).boxes["000"], (48, 16, 80, 48))


@pytest.mark.parametrize("source", ["masks", "whole"])
def test_original_and_fakes_of_a_target_are_cropped_alike(tree, source):
    table = index(tree)
    tracks = face_tracks(table, source)
    for target, rows in table.groupby("target"):
        frames = range(min(rows.frames))
        scenes = [tracks.crops(clip, frames, 1.3) + np.array([clip.dx, 0, clip.dx, 0]) for clip in clips_of(rows)]
        assert len(scenes) == 5
        for scene in scenes:
            np.testing.assert_array_equal(scene, scenes[0], err_msg=str(target))


def test_a_crop_shows_the_forged_region(tree):
    table = index(tree)
    tracks = face_tracks(table)
    for clip in clips_of(table[table.method == "Deepfakes"]):
        for crop in read_crops(clip, range(0, clip.frames, 5), tracks, margin=1.3):
            assert crop.mask.mean() > 0.25


@pytest.mark.parametrize("margin", [1.0, 1.3, 2.0, 9.0])
def test_crops_are_square_even_and_inside_the_frame(film, tmp_path, margin):
    film(original(tmp_path), frames=60)
    film(fake(tmp_path, "Deepfakes"), frames=60, size=(80, 64))
    random = np.random.default_rng(0)
    x0, y0 = random.uniform(-8, 88, 60), random.uniform(-8, 58, 60)
    boxes = {"x0": x0, "y0": y0, "x1": x0 + random.uniform(1, 40, 60), "y1": y0 + random.uniform(1, 40, 60)}
    pd.DataFrame({"target": "000", "frame": range(60), **boxes}).to_csv(tmp_path / "boxes.csv", index=False)
    table = index(tmp_path)
    tracks = face_tracks(table, str(tmp_path / "boxes.csv"))
    for clip in clips_of(table):
        x0, y0, x1, y1 = tracks.crops(clip, range(60), margin).T
        assert (x1 - x0 == y1 - y0).all()
        assert (x1 - x0 >= 8).all()
        assert not (np.concatenate([x0, y0, x1, y1]) % 2).any()
        assert (x0 >= 0).all()
        assert (x1 <= clip.width).all()
        assert (y0 >= 0).all()
        assert (y1 <= clip.height).all()


def test_a_crop_is_margin_times_the_larger_side_round_the_faces_centre(film, tmp_path):
    film(original(tmp_path), size=(320, 240), frames=1)
    (tmp_path / "boxes.csv").write_text("target,frame,x0,y0,x1,y1\n000,0,100,90,140,150\n")
    table = index(tmp_path)
    tracks = face_tracks(table, str(tmp_path / "boxes.csv"))
    # side 1.3 * 60 = 78, centre (120, 120): from 120 - 39 = 81, on even coordinates 80
    assert tracks.crops(clips_of(table)[0], [0], 1.3).tolist() == [[80, 80, 158, 158]]


def test_whole_is_all_that_every_clip_of_the_target_shows(film, tmp_path):
    film(original(tmp_path))
    film(fake(tmp_path, "FaceSwap"), size=(80, 64))
    table = index(tmp_path)
    tracks = face_tracks(table, "whole")
    boxes = [tracks.crops(clip, [0, 1], 1.3).tolist() for clip in clips_of(table)]
    assert boxes == [[[8, 0, 88, 64]] * 2, [[0, 0, 80, 64]] * 2]
    assert tracks.source == tracks.digest == "whole"


def test_a_clip_that_cannot_be_read_changes_no_crop(put, tmp_path):
    root = put("FaceSwap")
    clip = clips_of(index(root))[0]
    before = tracked(root).crops(clip, range(6), 1.3), tracked(root, "whole").crops(clip, range(6), 1.3)
    fake(tmp_path, "Deepfakes").parent.mkdir(parents=True)
    fake(tmp_path, "Deepfakes").write_bytes(b"cut short")
    np.testing.assert_array_equal(tracked(root).crops(clip, range(6), 1.3), before[0])
    np.testing.assert_array_equal(tracked(root, "whole").crops(clip, range(6), 1.3), before[1])


def test_a_csv_gives_boxes_by_target_and_frame_and_leaves_gaps(film, tmp_path):
    film(original(tmp_path))
    csv = tmp_path / "boxes.csv"
    csv.write_text("frame,target,x0,y0,x1,y1,score\n5,000,50,10,90,50,1\n2,000,,,,,0\n0,000,0,10,40,50,1\n")
    tracks = tracked(tmp_path, str(csv))
    np.testing.assert_allclose(tracks.boxes["000"][:, 0], [0, 10, 20, 30, 40, 50])
    assert tracks.source == str(csv)


@pytest.mark.parametrize(
    "lines",
    [
        ["\ufefftarget;frame;x0;y0;x1;y1", "000;0;0;10;40;50", "000;5;50;10;90;50"],
        ["Frame\tTarget \tX0\tY0\tX1\tY1", "0\t 000\t0.0\t10\t40\t50", "", "5.0\t000\t50\t1e1\t90\t50"],
        ["target,frame,x0,y0,x1,y1,", "000,0,0,10,40,50,", "000,2,NaN,,None,N/A,", "000,0,,,,,", "000,5,50,10,90,50,"],
    ],
    ids=["semicolons", "tabs", "gaps"],
)
def test_a_csv_of_boxes_may_come_from_a_spreadsheet(film, tmp_path, lines):
    film(tmp_path / "original_sequences/youtube/c23/videos/000.mp4")
    csv = tmp_path / "boxes.csv"
    csv.write_text("\n".join(lines))
    boxes = tracked(tmp_path, str(csv)).boxes["000"]
    assert boxes[[0, 5]].tolist() == [[0, 10, 40, 50], [50, 10, 90, 50]]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (
            ["000,0,a,10,40,50", "000,1.5,0,10,40,50", "000,-1,0,1,2,3", "000,2,0,10,inf,50", ",3,0,10,40,50"],
            r"has 5 values that cannot be, x0 'a' in line 2, frame '1\.5' in line 3, frame '-1' in line 4, x1 'inf' in "
            r"line 5, target '' in line 6: give a target",
        ),
        (['000,0,"0,5",10,40,50'], "has 1 values that cannot be, x0 '0,5' in line 2: .* with decimal points"),
        (["000,,0,10,40,50"], "frame '' in line 2"),
        (["000,x,,,,"], "frame 'x' in line 2"),
        (
            ["000,0,0,10,40,50", "000,1,60,10,40,30", "000,2,0,0,0,0"],
            "has 2 boxes that hold nothing, in lines 3, 4: wanted",
        ),
        (
            ["000,0,0,10,40,50", "001,1,0,10,40,50", "000,1,0,10,40,50", "000,0.0,1,10,40,50"],
            "has several boxes of 1 frames, frame 0 of 000 in line 2, frame 0 of 000 in line 5: keep one of each",
        ),
        (["000,0,0,10,40"], "1 lines with more or fewer values than its 6 columns, 5 in line 2"),
        (["né,0,0,10,40,50"], r"is not UTF-8 \(byte 0xe9 in line 2\)"),
        (['"000,0,0,10,40,50'], "close the quote"),
    ],
    ids=str,
)
def test_a_line_of_boxes_that_cannot_be_is_a_sentence(tree, tmp_path, lines, sentence):
    (tmp_path / "boxes.csv").write_text("\n".join(["target,frame,x0,y0,x1,y1", *lines]), encoding="latin-1")
    with pytest.raises(ValueError, match=sentence):
        face_tracks(index(tree), str(tmp_path / "boxes.csv"))


def test_a_csv_that_is_not_there_is_a_sentence(tree):
    with pytest.raises(FileNotFoundError, match=r"faces is 'maskz', but wanted masks, dlib, whole, or a CSV file"):
        face_tracks(index(tree), "maskz")


def test_a_csv_without_its_columns_is_a_sentence(tree, tmp_path):
    (tmp_path / "boxes.csv").write_text("target,frame,x,y,w,h\n")
    with pytest.raises(ValueError, match=r"boxes\.csv lacks the columns \['x0', 'y0', 'x1', 'y1'\]"):
        face_tracks(index(tree), str(tmp_path / "boxes.csv"))


def test_targets_without_a_box_are_counted_and_the_other_ways_named(put, film, tmp_path):
    root = put("FaceSwap")
    film(original(tmp_path, "001"))
    film(original(tmp_path, "002"))
    with pytest.raises(ValueError, match="2 targets have no face box in masks, first '001': use faces: whole"):
        tracked(root)


def test_a_tree_without_any_mask_says_so(film, tmp_path):
    film(original(tmp_path))
    with pytest.raises(ValueError, match="1 targets have no face box in masks, first '000'"):
        tracked(tmp_path)


def test_the_digest_changes_with_a_box_and_with_nothing_else(film, tmp_path):
    film(original(tmp_path))
    (tmp_path / "a.csv").write_text("target,frame,x0,y0,x1,y1\n000,0,10,10,40,40\n000,5,10,10,40,40\n")
    (tmp_path / "b.csv").write_text("frame,target,x0,y0,x1,y1\n0,000,10,10,40,40\n")
    (tmp_path / "c.csv").write_text("frame,target,x0,y0,x1,y1\n0,000,10,10,41,40\n")
    first, same, other = (tracked(tmp_path, str(tmp_path / name)).digest for name in ("a.csv", "b.csv", "c.csv"))
    assert first == same != other


def test_masks_are_read_once_and_again_when_they_change(put, tmp_path):
    cache = tmp_path / "cache"
    root = put("Deepfakes")
    first = tracked(root, cache_dir=cache)
    path = mask(root, "Deepfakes")
    known, content = path.stat(), path.read_bytes()
    path.write_bytes(b"x" * known.st_size)  # opened, it would raise
    os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns))
    assert tracked(root, cache_dir=cache).digest == first.digest
    path.write_bytes(content)
    put("Deepfakes", faces=BOXES["FaceSwap"])
    assert near(tracked(root, cache_dir=cache).boxes["000"], BOXES["FaceSwap"])


def test_masks_are_read_again_when_the_original_is_longer_than_it_was(film, tmp_path):
    film(original(tmp_path), frames=3)
    film(fake(tmp_path, "Deepfakes"))
    film(mask(tmp_path, "Deepfakes"), faces=[(8 * number, 16, 8 * number + 32, 48) for number in range(6)])
    assert near(tracked(tmp_path).boxes["000"][:, 0], [0, 8, 16])
    film(original(tmp_path), frames=6)
    assert near(tracked(tmp_path).boxes["000"][:, 0], [0, 8, 16, 24, 32, 40])


def test_masks_are_read_again_when_their_rule_changes(put, tmp_path, monkeypatch):
    root, cache = put("Deepfakes"), tmp_path / "cache"
    tracked(root, cache_dir=cache)
    monkeypatch.setattr("datamodules.faces.search.RULE", RULE + 1)
    tracked(root, cache_dir=cache)
    assert len(list(cache.glob("tracks-*"))) == 2


def test_qualities_share_a_track(film, put, tmp_path):
    root, cache = put("Deepfakes"), tmp_path / "cache"
    before = face_tracks(index_all(root), cache_dir=cache)
    for path in (original(root), fake(root, "Deepfakes")):
        film(Path(str(path).replace("c23", "c40")), quality="c40")
    tables = [index(root), index(root, "c40"), index_all(root)]
    assert {face_tracks(table, cache_dir=cache).digest for table in tables} == {before.digest}
    assert len(list(cache.glob("tracks-*"))) == 1


def test_a_mask_that_does_not_fit_one_quality_is_taken_by_way_of_another(film, put):
    root = put("Deepfakes")
    film(Path(str(fake(root, "Deepfakes")).replace("c23", "raw")), size=(192, 128), quality="raw")
    assert near(face_tracks(index_all(root)).boxes["000"], BOXES["Deepfakes"])


def test_only_targets_that_are_needed_must_have_a_box(put, film, tmp_path):
    root = put("FaceSwap")
    film(original(tmp_path, "001"))
    assert set(tracked(root, needed={"000"}).boxes) == {"000"}
    with pytest.raises(ValueError, match="1 targets have no face box in masks, first '001'"):
        tracked(root, needed={"000", "001"})


def test_every_target_of_a_tree_has_a_track(tree):
    pairs = [pair for path in (tree / "splits").glob("*.json") for pair in json.loads(path.read_text())]
    assert set(tracked(tree).boxes) == {name for pair in pairs for name in pair}


@pytest.fixture
def head(tmp_path):
    """Writes an original in which a drawn head of 320 x 240 talks, as `change` leaves it."""

    def write(change=lambda frames: frames, name="000", quality="c23"):
        frames = change(film_head(np.random.default_rng(0), 12, 320, 240).frames.copy())
        path = original(tmp_path, name)
        write_video(path.parents[2] / quality / "videos" / path.name, np.ascontiguousarray(frames), quality)
        return tmp_path

    return write


def without(*numbers):
    def change(frames):
        frames[list(numbers)] = 90
        return frames

    return change


def test_dlib_finds_the_face_that_the_masks_show(tree):
    by_masks, by_dlib = tracked(tree), tracked(tree, "dlib")
    assert by_dlib.source == "dlib"
    assert by_dlib.digest != by_masks.digest
    for target, track in by_masks.boxes.items():
        assert by_dlib.boxes[target].shape == track.shape
        assert min(map(overlap, by_dlib.boxes[target].tolist(), track.tolist())) > 0.4


def test_frames_in_which_dlib_sees_nothing_are_interpolated(head):
    everywhere, gaps = tracked(head(), "dlib"), tracked(head(without(0, 5, 6)), "dlib")
    boxes = gaps.boxes["000"]
    assert everywhere.boxes["000"].shape == boxes.shape == (12, 4)
    np.testing.assert_array_equal(boxes[0], boxes[1])
    np.testing.assert_allclose(boxes[5] - boxes[4], (boxes[7] - boxes[4]) / 3, atol=1e-4)


def test_boxes_of_dlib_end_at_the_frames_edge(head):
    boxes = tracked(head(lambda frames: frames[:, :166, 108:]), "dlib").boxes["000"]
    assert boxes[:, 0].min() == 0
    assert boxes[:, 3].max() == 166


@pytest.mark.parametrize(("shows_a_face", "blank"), [("c23", ("raw", "c40")), ("raw", ("c40",))])
def test_dlib_looks_at_c23_then_raw_then_c40(head, shows_a_face, blank):
    root = head(quality=shows_a_face)
    for quality in blank:
        head(without(*range(12)), quality=quality)
    assert face_tracks(index_all(root), "dlib").boxes["000"].shape == (12, 4)


def test_a_target_without_original_is_a_sentence_before_dlib_looks(head, film, tmp_path):
    film(fake(tmp_path, "Deepfakes", "001_000"))
    root = head(without(*range(12)))
    with pytest.raises(ValueError, match=r"1 targets have no readable original, first '001', .*, or use faces: masks"):
        tracked(root, "dlib")


def test_a_target_in_which_dlib_sees_no_face_is_a_sentence(head):
    root = head(without(*range(12)), name="001")
    with pytest.raises(
        ValueError, match="1 targets have no face box in dlib, first '001': use faces: masks, whole, or"
    ):
        tracked(root, "dlib")


def test_what_dlib_does_not_see_in_targets_that_are_not_needed_is_no_error(head, film, tmp_path):
    head(without(*range(12)), name="001")
    film(fake(tmp_path, "Deepfakes", "002_000"))
    assert set(tracked(head(), "dlib", needed={"000"}).boxes) == {"000"}
