import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from datamodules import METHODS, Clip, clips_of, index, index_all
from datamodules.clips import facts
from datamodules.video.scan import glance

ORIGINALS = Path("original_sequences/youtube/c23/videos")


def fakes(method, compression="c23"):
    return Path("manipulated_sequences") / method / compression / "videos"


def masks(method):
    return Path("manipulated_sequences") / method / "masks" / "videos"


def test_every_clip_is_one_row_and_its_columns_are_those_of_clip(tree):
    table = index(tree)
    assert tuple(table.columns) == Clip._fields[1:]
    assert table.groupby("method", sort=False).size().to_dict() == {
        "original": 6,
        "Deepfakes": 6,
        "Face2Face": 6,
        "FaceSwap": 6,
        "NeuralTextures": 6,
    }
    assert not table.isna().any().any()
    assert (table.label == (table.method != "original")).all()
    assert (table.loc[table.label == 1, "mask_frames"] > 0).all()


def test_rows_are_sorted_by_method_and_name_and_numbered(tree):
    clips = clips_of(index(tree))
    assert [clip.number for clip in clips] == list(range(30))
    assert clips == sorted(clips, key=lambda clip: (METHODS.index(clip.method), clip.clip))


def test_part_of_an_index_keeps_its_numbers(tree):
    table = index(tree)
    assert [clip.number for clip in clips_of(table[table.method == "FaceSwap"])] == list(range(18, 24))


def test_names_tell_target_and_source(tree):
    for clip in clips_of(index(tree)):
        assert clip.clip == (f"{clip.target}_{clip.source}" if clip.label else clip.target)


def test_facts_are_those_of_the_files(film, tmp_path):
    film(tmp_path / ORIGINALS / "000.mp4", frames=7, size=(96, 64), fps=30)
    film(tmp_path / fakes("FaceSwap") / "000_001.mp4", frames=5, size=(80, 64))
    film(tmp_path / masks("FaceSwap") / "000_001.mp4", frames=4, size=(96, 64))
    original, fake = clips_of(index(tmp_path))
    assert original[8:] == ("", 7, 96, 64, 30.0, 0, 0, 0, 0, 0, "", "")
    assert fake[9:] == (5, 80, 64, 25.0, 4, 96, 64, 8, 0, "", "")


def test_raw_and_c0_are_the_same_quality(film, tmp_path):
    film(tmp_path / "original_sequences/youtube/raw/videos/000.mp4", quality="raw")
    film(tmp_path / fakes("Deepfakes", "c0") / "000_001.mp4", quality="raw")
    assert index(tmp_path, "raw").compression.tolist() == ["raw", "raw"]


def test_a_clip_in_both_raw_and_c0_is_one_clip(film, tmp_path):
    for folder in ("c0", "raw"):
        film(tmp_path / f"original_sequences/youtube/{folder}/videos/000.mp4", quality="raw")
    film(tmp_path / fakes("Deepfakes", "c0") / "000_001.mp4", quality="raw")
    table = index(tmp_path, "raw")
    assert table["clip"].tolist() == ["000", "000_001"]
    assert "/raw/" in table.path[0]


def test_masks_are_never_taken_for_videos(film, tree, tmp_path):
    assert not index(tree).path.str.contains("masks").any()
    film(tmp_path / ORIGINALS / "000.mp4")
    film(tmp_path / masks("Deepfakes") / "000_001.mp4")
    assert index(tmp_path).method.tolist() == ["original"]


def test_a_method_without_masks_has_none(film, tmp_path):
    film(tmp_path / ORIGINALS / "000.mp4")
    film(tmp_path / fakes("FaceShifter") / "000_001.mp4")
    shifter = clips_of(index(tmp_path))[1]
    assert (shifter.mask_path, shifter.mask_frames, shifter.mask_width) == ("", 0, 0)


def test_deepfakedetection_meets_its_actors(film, tmp_path):
    film(tmp_path / "original_sequences/actors/c23/videos/01__walking_outside_cafe.mp4")
    name = "01_02__walking_outside_cafe__ABC123XY.mp4"
    film(tmp_path / fakes("DeepFakeDetection") / name, size=(80, 64))
    film(tmp_path / masks("DeepFakeDetection") / name, size=(80, 64))
    actor, fake = clips_of(index(tmp_path))
    assert (actor.method, actor.label, actor.source) == ("original", 0, "")
    assert fake.target == actor.target == "01__walking_outside_cafe"
    assert (fake.source, fake.dx, fake.mask_width) == ("02", 8, 80)


def test_a_centred_crop_is_shifted_by_half_of_what_it_lost(tree):
    for clip in clips_of(index(tree)):
        assert clip.dx == (160 - clip.width) // 2
    assert set(index(tree).dx) == {0, 8}


@pytest.mark.parametrize("original", [None, b"not a video"], ids=["missing", "unreadable"])
def test_without_its_original_a_crop_is_measured_by_the_widest_fake(film, tmp_path, original):
    film(tmp_path / fakes("Deepfakes") / "000_001.mp4", size=(96, 64))
    film(tmp_path / fakes("NeuralTextures") / "000_001.mp4", size=(80, 64))
    if original:
        (tmp_path / ORIGINALS).mkdir(parents=True)
        (tmp_path / ORIGINALS / "000.mp4").write_bytes(original)
    assert index(tmp_path).dx.tolist()[-2:] == [0, 8]


def test_a_clip_that_cannot_be_read_has_no_frames_and_no_shift(film, tmp_path):
    film(tmp_path / ORIGINALS / "000.mp4")
    film(tmp_path / fakes("Deepfakes") / "000_001.mp4").write_bytes(b"cut short")
    film(tmp_path / masks("Deepfakes") / "000_001.mp4").write_bytes(b"")
    fake = clips_of(index(tmp_path))[1]
    assert (fake.frames, fake.width, fake.dx, fake.mask_frames) == (0, 0, 0, 0)
    assert fake.mask_path


def test_a_known_file_is_not_opened_again_and_a_changed_one_is(film, tmp_path):
    path = film(tmp_path / ORIGINALS / "000.mp4", frames=6)
    assert index(tmp_path).frames.tolist() == [6]
    known = path.stat()
    path.write_bytes(b"x" * known.st_size)
    os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns))
    assert index(tmp_path).frames.tolist() == [6]  # opened, it would have none
    os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns + 1_000_000))
    assert index(tmp_path).frames.tolist() == [0]
    film(path, frames=4)
    assert index(tmp_path).frames.tolist() == [4]


def test_the_cache_remembers_all_qualities(film, tmp_path):
    paths = [film(tmp_path / str(ORIGINALS).replace("c23", quality) / "000.mp4") for quality in ("c23", "c40")]
    index(tmp_path, "c23")
    index(tmp_path, "c40")
    for path in paths:
        known = path.stat()
        path.write_bytes(b"x" * known.st_size)
        os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns))
    assert index(tmp_path, "c23").frames.tolist() == index(tmp_path, "c40").frames.tolist() == [6]


def test_all_qualities_are_their_indices_one_below_the_other(own_tree):
    for videos in [*own_tree.glob("*/*/c23")]:
        if videos.parent.name in ("youtube", "FaceSwap"):
            shutil.copytree(videos, videos.with_name("c40"))
    table = index_all(own_tree)
    assert table.equals(pd.concat([index(own_tree, "c23"), index(own_tree, "c40")]))


def test_a_quality_without_originals_is_measured_by_those_of_another(film, tmp_path):
    film(tmp_path / ORIGINALS / "000.mp4", size=(96, 64))
    film(tmp_path / fakes("FaceSwap", "c40") / "000_001.mp4", size=(80, 64))
    table = index_all(tmp_path)
    assert table.dx.tolist() == [0, 8]
    assert table.index.tolist() == [0, 0]


def test_all_qualities_of_a_wrong_root_are_a_sentence(tree, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"gone holds no raw or c23 or c40 video .*/raw\|c23\|c40/videos/NNN\.mp4"
    ):
        index_all(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match="holds no c40 video"):
        index_all(tree, needed="c40")


def test_an_index_from_the_cache_equals_the_first(tree, tmp_path):
    first = index(tree, cache_dir=tmp_path)
    assert index(tree, cache_dir=tmp_path).equals(first)
    assert [path.suffix for path in tmp_path.iterdir()] == [".parquet"]


def test_nothing_is_written_among_the_data(own_tree):
    before = sorted(own_tree.rglob("*"))
    for folder in [own_tree, *(path for path in before if path.is_dir())]:
        folder.chmod(0o555)
    try:
        assert len(index(own_tree)) == 30
        assert sorted(own_tree.rglob("*")) == before
    finally:
        for folder in [own_tree, *(path for path in before if path.is_dir())]:
            folder.chmod(0o755)


def test_by_default_the_cache_is_the_users(tree):
    index(tree)
    assert list((Path(os.environ["XDG_CACHE_HOME"]) / "pixel-forensics").glob("facts-*.parquet"))


def test_a_wrong_root_is_a_sentence(tree, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone holds no c23 video .* wanted original_seq.* no such folder"):
        index(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match=r"found \['c23'\]; give the folder above"):
        index(tree / "original_sequences" / "youtube")
    with pytest.raises(FileNotFoundError, match="holds no c40 video"):
        index(tree, "c40")


@pytest.mark.parametrize("name", ["1.mp4", "000_001.mp4", "000 (1).mp4", "._000.mp4", ".mp4"])
def test_files_of_other_names_are_passed_over_and_listed(own_tree, name):
    before = index(own_tree)
    assert before.attrs["passed_over"] == ()
    alien = shutil.copy(own_tree / ORIGINALS / "000.mp4", own_tree / ORIGINALS / name)
    table = index(own_tree)
    assert table.equals(before)
    assert table.attrs["passed_over"] == (str(alien),)


def test_links_to_nothing_and_in_circles_are_problems_each_told(own_tree):
    folder = own_tree / ORIGINALS
    dangling, looping = sorted(folder.glob("*.mp4"))[:2]
    for path in (dangling, looping):
        path.unlink()
    dangling.symlink_to(own_tree / "gone.mp4")
    looping.symlink_to(looping)
    broken = index(own_tree).query("frames == 0")
    assert broken.path.tolist() == [str(dangling), str(looping)]
    assert all("is a link to what is not there: download or copy it again" in problem for problem in broken.problem)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_a_problem(own_tree):
    path = sorted((own_tree / ORIGINALS).glob("*.mp4"))[0]
    path.chmod(0)
    (problem,) = index(own_tree).query("frames == 0").problem
    assert "cannot be opened just now" in problem


def test_a_failure_is_not_remembered(own_tree, monkeypatch):
    def too_many_files(path):
        raise OSError(24, "Too many open files", path)

    with monkeypatch.context() as patch:
        patch.setattr(facts, "glance", too_many_files)
        assert set(index(own_tree).frames) == {0}
    assert set(index(own_tree).problem) == {""}


def test_processes_decode_the_same_facts(own_tree, tmp_path, monkeypatch):
    headers = index(own_tree, cache_dir=tmp_path / "headers")
    monkeypatch.setattr(facts, "glance", lambda path: None)
    shared = index(own_tree, cache_dir=tmp_path / "shared")
    monkeypatch.setattr(facts, "FILES_FOR_PROCESSES", 1000)
    pd.testing.assert_frame_equal(shared, headers)
    pd.testing.assert_frame_equal(index(own_tree, cache_dir=tmp_path / "alone"), headers)


def test_headers_that_were_read_before_an_interruption_are_kept(film, tmp_path, monkeypatch):
    cache, folder = tmp_path / "cache", tmp_path / ORIGINALS
    for name in ("000", "001", "002"):
        film(folder / f"{name}.mp4")

    def interrupted(path):
        if path.endswith("002.mp4"):
            raise KeyboardInterrupt
        return glance(path)

    monkeypatch.setattr(facts, "glance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        index(tmp_path, cache_dir=cache)
    read = []
    monkeypatch.setattr(facts, "glance", lambda path: read.append(path) or glance(path))
    assert index(tmp_path, cache_dir=cache).frames.tolist() == [6, 6, 6]
    assert read == [str(folder / "002.mp4")]
