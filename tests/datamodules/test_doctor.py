import json
import re
import shutil

import pytest

from datamodules.doctor import run

ORIGINALS = "original_sequences/youtube/c23/videos"


def fake(tree, method, place="c23"):
    return sorted((tree / "manipulated_sequences" / method / place / "videos").glob("*.mp4"))[0]


@pytest.fixture
def examined(tmp_path, capsys):
    """Runs the doctor: exit status, what it prints, and its JSON; by default it opens no video."""

    def examine(tree, *arguments):
        status = run([str(tree), "--out", str(tmp_path / "report"), "--frames", "0", *arguments])
        report = tmp_path / "report" / "doctor.json"
        return status, capsys.readouterr().out, json.loads(report.read_text()) if report.is_file() else None

    return examine


def kinds(report, grave=None):
    return {each["kind"] for each in report["findings"] if grave is None or each["grave"] is grave}


def test_a_sound_tree_is_sound_and_counted(tree, examined):
    status, out, report = examined(tree)
    assert status == 0
    assert "c23: clips of each method and split" in out
    counts = {line.split()[0]: line.split()[1:4] for line in out.splitlines() if line[:1].isalpha()}
    for method in ("original", "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"):
        assert counts[method] == ["2", "2", "2"]
        assert report["clips"]["c23"][method]["no truth"] == 0
    assert "PROBLEM" not in out
    assert out.endswith("sound: no problem found\n")
    assert "0 of 6 identities are in two splits; 3 of 3 pairs are whole" in report["splits"]["c23"]


def test_oddities_of_the_real_data_are_notes(tree, examined):
    _, out, report = examined(tree)
    notes = [line for line in out.splitlines() if line.startswith("  note")]
    assert any("fakes are centred crops of their target; boxes are shifted; first Face2Face/" in note for note in notes)
    assert {"fake-cropped", "fake-rate", "splits-size"} <= kinds(report, grave=False)


@pytest.mark.parametrize("name", ["train", "val", "test"])
def test_a_missing_split_file_is_a_problem_and_the_rest_is_examined(own_tree, examined, name):
    (own_tree / "splits" / f"{name}.json").unlink()
    status, out, report = examined(own_tree)
    assert status == 1
    assert f"PROBLEM {own_tree}/splits lacks {name}.json" in out
    assert report["clips"]["c23"]["original"]["none"] == 6


def test_what_is_no_tree_is_an_error(tree, tmp_path, capsys):
    for arguments in ([], ["--splits", str(tree / "splits")]):
        assert run([str(tmp_path), *arguments]) == 2
        assert f"error: {tmp_path} holds no raw or c23 or c40 video" in capsys.readouterr().err


def test_files_of_other_names_are_a_note(own_tree, examined):
    for name in ("holiday.mp4", "._000.mp4", "000 (1).mp4"):
        shutil.copy(fake(own_tree, "FaceSwap"), own_tree / ORIGINALS / name)
    status, out, report = examined(own_tree)
    assert status == 0
    assert "note    3 files are not named as clips of FaceForensics++, so they are passed over; first orig" in out
    (finding,) = (each for each in report["findings"] if each["kind"] == "files-passed-over")
    assert sorted(name.rpartition("/")[2] for name in finding["names"]) == ["._000.mp4", "000 (1).mp4", "holiday.mp4"]


def test_every_broken_link_is_named(own_tree, examined):
    links = sorted((own_tree / ORIGINALS).glob("*.mp4"))[:2]
    for path in links:
        path.unlink()
        path.symlink_to(path if path == links[0] else own_tree / "gone.mp4")
    _, out, _ = examined(own_tree)
    assert "PROBLEM 2 clips cannot be read: copy them again; first " in out
    for path in links:
        assert f"original/{path.stem} (is a link to what is not there)" in out


def test_a_mask_at_twice_the_rate_is_a_problem(own_tree, film, examined):
    path = film(fake(own_tree, "Deepfakes", "masks"), size=(160, 128), frames=26, faces=(32, 32, 96, 96))
    status, out, _ = examined(own_tree)
    assert status == 1
    assert re.search(rf"PROBLEM 1 masks have many more frames .*; first Deepfakes/{path.stem} \(26 for 1\d\)", out)


def test_a_number_of_frames_that_is_none_is_an_error(tree, capsys):
    with pytest.raises(SystemExit):
        run([str(tree), "--frames", "some"])
    assert "frames is 'some', but wanted 0 or more, or all: 8 is the default" in capsys.readouterr().err


def test_methods_that_are_not_there_are_a_note(own_tree, examined):
    assert "note    not there: FaceShifter, DeepFakeDetection" in examined(own_tree)[1]
    shutil.rmtree(own_tree / "manipulated_sequences/FaceSwap")
    status, out, _ = examined(own_tree)
    assert status == 0
    assert "note    not there: FaceSwap, FaceShifter, DeepFakeDetection" in out


def test_an_identity_in_no_split_is_counted_in_none(own_tree, film, examined):
    assert "none" not in examined(own_tree)[1]
    film(own_tree / ORIGINALS / "999.mp4")
    film(own_tree / "original_sequences/actors/c23/videos/01__kitchen.mp4")
    _, out, _ = examined(own_tree)
    header, counts = (next(line.split() for line in out.splitlines() if name in line) for name in ("none", "original "))
    assert header[:4] == ["train", "val", "test", "none"]
    assert counts[1:5] == ["2", "2", "3", "1"]  # of the actors, who have no official split, all are to test on


def unreadable_clip(tree, film):
    path = fake(tree, "FaceSwap")
    path.write_bytes(b"no video")
    return f"1 clips cannot be read: .*; first FaceSwap/{path.stem}"


def missing_mask(tree, film):
    path = fake(tree, "Face2Face", "masks")
    path.unlink()
    return f"1 fakes have no mask, .*: download the masks; first Face2Face/{path.stem}"


def unreadable_mask(tree, film):
    path = fake(tree, "NeuralTextures", "masks")
    path.write_bytes(b"no video")
    return f"1 masks cannot be read, .*: copy them again; first NeuralTextures/{path.stem}"


def mask_of_another_size(tree, film):
    path = film(fake(tree, "Deepfakes", "masks"), size=(96, 64), frames=13, faces=(32, 16, 64, 48))
    return f"1 masks have another size than their clip, .*; first Deepfakes/{path.stem}"


def missing_clip(tree, film):
    path = fake(tree, "NeuralTextures")
    path.unlink()
    return f"1 clips that the splits name are missing, so 1 pairs are not whole: .*; first NeuralTextures/{path.stem}"


def missing_original(tree, film):
    path = sorted((tree / ORIGINALS).glob("*.mp4"))[0]
    path.unlink()
    return f"1 clips that the splits name are missing, so 1 pairs are not whole: .*; first original/{path.stem}"


def fake_of_another_height(tree, film):
    path = film(fake(tree, "Deepfakes"), size=(160, 144))
    return f"fakes are wider than their target, or of another height, .*; first Deepfakes/{path.stem}"


def identity_in_no_split(tree, film):
    film(tree / ORIGINALS / "999.mp4")
    return "1 clips show an identity that is in none of the splits: .*; first original/999"


def fake_across_splits(tree, film):
    pairs = {split: json.loads((tree / "splits" / f"{split}.json").read_text())[0] for split in ("train", "val")}
    path = fake(tree, "Deepfakes")
    name = f"{pairs['train'][0]}_{pairs['val'][0]}"
    shutil.copy(path, path.with_name(f"{name}.mp4"))
    return f"1 fakes join identities that are not in one split: .*; first Deepfakes/{name}"


def identity_in_two_pairs(tree, film):
    path = tree / "splits" / "train.json"
    path.write_text(json.dumps(json.loads(path.read_text()) * 2))
    return r"2 identities are in two pairs of one split: take the official files; first \d{3}"


def identity_in_two_splits(tree, film):
    train, val = (tree / "splits" / f"{split}.json" for split in ("train", "val"))
    pairs = json.loads(train.read_text())
    val.write_text(json.dumps([*json.loads(val.read_text()), *pairs]))
    first = min(pairs[0])
    return rf"2 identities are in two splits, .*: take the official files; first {first} \(train.json and val.json\)"


DAMAGES = [
    unreadable_clip,
    missing_mask,
    unreadable_mask,
    mask_of_another_size,
    missing_clip,
    missing_original,
    fake_of_another_height,
    identity_in_no_split,
    fake_across_splits,
    identity_in_two_pairs,
    identity_in_two_splits,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_what_would_spoil_a_training_is_a_problem_and_named(own_tree, film, examined, damage):
    sentence = damage(own_tree, film)
    status, out, _ = examined(own_tree)
    assert status == 1
    problems = [line for line in out.splitlines() if line.startswith("  PROBLEM")]
    assert any(re.search(sentence, line) for line in problems), out
    assert out.endswith("not sound: see the problems above\n")


def test_a_mask_cut_short_is_a_note_and_its_frames_are_counted(own_tree, film, examined):
    path = fake(own_tree, "Deepfakes", "masks")
    _, _, before = examined(own_tree)
    film(path, size=(160, 128), frames=3, faces=(32, 32, 96, 96))
    status, out, report = examined(own_tree)
    assert status == 0
    assert re.search(f"note    1 masks end before their clip; .*; first Deepfakes/{path.stem}", out)
    lost = report["clips"]["c23"]["Deepfakes"]["no truth"]
    assert before["clips"]["c23"]["Deepfakes"]["no truth"] == 0 < lost <= 12  # of about 12 frames 3 have a mask


def test_an_unexpected_length_is_a_note(own_tree, film, examined):
    film(fake(own_tree, "Deepfakes", "masks"), size=(160, 128), frames=5, faces=(32, 32, 96, 96))
    path = film(fake(own_tree, "Deepfakes"), size=(160, 128), frames=5)
    status, out, _ = examined(own_tree)
    assert status == 0
    assert f"fakes have another length than their method gives them; first Deepfakes/{path.stem}" in out


def test_every_quality_is_examined(own_tree, examined):
    for videos in [*own_tree.glob("*/*/c23")]:
        shutil.copytree(videos, videos.with_name("c40"))
    gone = fake(own_tree, "FaceSwap", "c40")
    gone.unlink()
    status, out, _ = examined(own_tree)
    assert status == 1
    first, second = out.split("c40: clips")
    assert "PROBLEM" not in first
    assert f"FaceSwap/{gone.stem}" in second


def test_splits_may_lie_elsewhere(own_tree, tmp_path, examined):
    shutil.move(own_tree / "splits", tmp_path / "lists")
    assert examined(own_tree, "--splits", str(tmp_path / "lists"))[0] == 0
