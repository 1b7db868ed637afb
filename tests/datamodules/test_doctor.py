import json
import re
import shutil

import pytest

from datamodules.doctor import main

ORIGINALS = "original_sequences/youtube/c23/videos"


def fake(tree, method, place="c23"):
    return sorted((tree / "manipulated_sequences" / method / place / "videos").glob("*.mp4"))[0]


def examined(tree, capsys, *arguments):
    status = main([str(tree), *arguments])
    return status, capsys.readouterr().out


def test_a_sound_tree_is_sound_and_counted(tree, capsys):
    status, out = examined(tree, capsys)
    assert status == 0
    assert "c23: clips of each method and split" in out
    counts = {line.split()[0]: line.split()[1:4] for line in out.splitlines() if line[:1].isalpha()}
    for method in ("original", "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"):
        assert counts[method] == ["2", "2", "2"]
    assert "PROBLEM" not in out
    assert out.endswith("sound: no problem found\n")


def test_oddities_of_the_real_data_are_notes(tree, capsys):
    _, out = examined(tree, capsys)
    notes = [line for line in out.splitlines() if line.startswith("  note")]
    assert any("fakes are centred crops of their target; boxes are shifted; first Face2Face/" in note for note in notes)
    assert any("fakes carry another frame rate than their target" in note for note in notes)


@pytest.mark.parametrize("name", ["train", "val", "test"])
def test_a_missing_split_file_is_an_error(own_tree, capsys, name):
    (own_tree / "splits" / f"{name}.json").unlink()
    assert main([str(own_tree)]) == 2
    assert f"error: {own_tree}/splits lacks {name}.json" in capsys.readouterr().err


def test_what_is_no_tree_is_an_error(tree, tmp_path, capsys):
    for arguments in ([], ["--splits", str(tree / "splits")]):
        assert main([str(tmp_path), *arguments]) == 2
        assert f"error: {tmp_path} holds no raw or c23 or c40 video" in capsys.readouterr().err


def test_an_alien_name_is_an_error(own_tree, capsys):
    shutil.copy(fake(own_tree, "FaceSwap"), own_tree / ORIGINALS / "holiday.mp4")
    assert main([str(own_tree)]) == 2
    assert "holiday.mp4 is not named as a video of youtube" in capsys.readouterr().err


def test_methods_that_are_not_there_are_a_note(own_tree, capsys):
    assert "note    not there: FaceShifter, DeepFakeDetection" in examined(own_tree, capsys)[1]
    shutil.rmtree(own_tree / "manipulated_sequences/FaceSwap")
    status, out = examined(own_tree, capsys)
    assert status == 0
    assert "note    not there: FaceSwap, FaceShifter, DeepFakeDetection" in out


def test_an_identity_in_no_split_is_counted_in_none(own_tree, film, capsys):
    assert "none" not in examined(own_tree, capsys)[1]
    film(own_tree / ORIGINALS / "999.mp4")
    film(own_tree / "original_sequences/actors/c23/videos/01__kitchen.mp4")
    _, out = examined(own_tree, capsys)
    header, counts = (next(line.split() for line in out.splitlines() if name in line) for name in ("none", "original "))
    assert header[1:5] == ["train", "val", "test", "none"]
    assert counts[1:5] == ["2", "2", "3", "1"]  # of the actors, who have no official split, all are to test on


def unreadable_clip(tree, film):
    path = fake(tree, "Deepfakes")
    path.write_bytes(b"cut short")
    return f"1 clips cannot be read: copy them again; first Deepfakes/{path.stem}"


def missing_mask(tree, film):
    path = fake(tree, "FaceSwap", "masks")
    path.unlink()
    return f"1 fakes have no readable mask, .*: download the masks; first FaceSwap/{path.stem}"


def unreadable_mask(tree, film):
    path = fake(tree, "FaceSwap", "masks")
    path.write_bytes(b"")
    return f"1 fakes have no readable mask, .*; first FaceSwap/{path.stem}"


def mask_of_another_size(tree, film):
    path = film(fake(tree, "Deepfakes", "masks"), size=(96, 64), frames=13, faces=(32, 16, 64, 48))
    return f"1 masks have another size than their clip, .*; first Deepfakes/{path.stem}"


def missing_clip(tree, film):
    path = fake(tree, "NeuralTextures")
    path.unlink()
    return f"1 clips that the splits name are missing: .*; first NeuralTextures/{path.stem}"


def missing_original(tree, film):
    path = sorted((tree / ORIGINALS).glob("*.mp4"))[0]
    path.unlink()
    return f"1 clips that the splits name are missing: .*; first original/{path.stem}"


def fake_of_another_height(tree, film):
    path = film(fake(tree, "Deepfakes"), size=(160, 144))
    return f"fakes are wider than their target, or of another height, .*; first Deepfakes/{path.stem}"


def identity_in_no_split(tree, film):
    film(tree / ORIGINALS / "999.mp4")
    return r"999\.mp4 shows identity 999, which is in none of the splits"


DAMAGES = [
    unreadable_clip,
    missing_mask,
    unreadable_mask,
    mask_of_another_size,
    missing_clip,
    missing_original,
    fake_of_another_height,
    identity_in_no_split,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_what_would_spoil_a_training_is_a_problem_and_named(own_tree, film, capsys, damage):
    sentence = damage(own_tree, film)
    status, out = examined(own_tree, capsys)
    assert status == 1
    problems = [line for line in out.splitlines() if line.startswith("  PROBLEM")]
    assert any(re.search(sentence, line) for line in problems), out
    assert out.endswith("not sound: see the problems above\n")


def test_a_mask_cut_short_is_a_note(own_tree, film, capsys):
    path = film(fake(own_tree, "Deepfakes", "masks"), size=(160, 128), frames=3, faces=(32, 32, 96, 96))
    status, out = examined(own_tree, capsys)
    assert status == 0
    assert re.search(f"note    1 masks end before their clip; .*; first Deepfakes/{path.stem}", out)


def test_an_unexpected_length_is_a_note(own_tree, film, capsys):
    path = film(fake(own_tree, "Deepfakes"), size=(160, 128), frames=5)
    status, out = examined(own_tree, capsys)
    assert status == 0
    assert f"fakes have another length than their method gives them; first Deepfakes/{path.stem}" in out


def test_every_quality_is_examined(own_tree, capsys):
    for videos in [*own_tree.glob("*/*/c23")]:
        shutil.copytree(videos, videos.with_name("c40"))
    gone = fake(own_tree, "FaceSwap", "c40")
    gone.unlink()
    status, out = examined(own_tree, capsys)
    assert status == 1
    first, second = out.split("c40: clips")
    assert "PROBLEM" not in first
    assert f"FaceSwap/{gone.stem}" in second


def test_splits_may_lie_elsewhere(own_tree, tmp_path, capsys):
    shutil.move(own_tree / "splits", tmp_path / "lists")
    assert main([str(own_tree), "--splits", str(tmp_path / "lists")]) == 0


def test_an_identity_in_two_splits_is_an_error(own_tree, capsys):
    train, val = (own_tree / "splits" / f"{split}.json" for split in ("train", "val"))
    val.write_text(json.dumps([*json.loads(val.read_text()), *json.loads(train.read_text())]))
    assert main([str(own_tree)]) == 2
    assert "is in train.json and in val.json" in capsys.readouterr().err
