"""Data files are known by what they hold, wherever they lie."""

import os
import shutil

import pytest

import datamodules
from datamodules.clips.identity import fingerprint
from datamodules.layouts.listing import FILES_OF
from tests.datamodules.test_faceforensics import data


def test_a_folder_is_the_same_wherever_it_lies_and_whenever_it_was_written(own_tree, tmp_path, monkeypatch):
    before = data(own_tree).files()
    assert {"original_sequences", "manipulated_sequences"} == {name.split("/")[0] for name in before.name}
    assert before.video.nunique() == len(before)
    moved = shutil.copytree(own_tree, tmp_path / "elsewhere")
    for folder, _, names in os.walk(moved):
        for name in names:
            os.utime(os.path.join(folder, name), (1, 1))
    (tmp_path / "link").symlink_to(moved)
    monkeypatch.chdir(tmp_path)
    for root in (f"{own_tree}/", moved, tmp_path / "link", "elsewhere", "./elsewhere/"):
        assert data(root).files().equals(before)


def test_a_changed_file_of_equal_length_is_another_one(own_tree):
    module = data(own_tree)
    before = module.files()
    changed = next((own_tree / "manipulated_sequences/FaceSwap/c23/videos").glob("*.mp4"))
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    removed = next((own_tree / "manipulated_sequences/Face2Face/c23/videos").glob("*.mp4"))
    removed.unlink()
    both = before.merge(module.files(), on="name", how="left", suffixes=("", " now"))
    differing = both.name[both["video"] != both["video now"]]
    assert sorted(differing) == sorted(str(path.relative_to(own_tree)) for path in (changed, removed))


def test_files_of_other_methods_do_not_count(own_tree):
    one = data(own_tree, methods=["FaceSwap"])
    before = one.files()
    next((own_tree / "manipulated_sequences/Face2Face/c23/videos").glob("*.mp4")).write_bytes(b"changed")
    assert one.files().equals(before)


@pytest.mark.parametrize("place", [0, 300_000, 599_999])
def test_head_middle_and_tail_of_a_large_file_count(tmp_path, place):
    content = bytearray(600_000)
    (tmp_path / "a").write_bytes(content)
    content[place] = 1
    (tmp_path / "b").write_bytes(content)
    (tmp_path / "c").write_bytes(bytes(600_001))
    assert len({fingerprint(tmp_path / name) for name in "abc"}) == 3


@pytest.mark.parametrize(
    "options",
    [{}, {"methods": ["FaceSwap"]}, {"compression": "mixed"}, {"faces": "faces.csv"}, {"splits": "lists"}],
    ids=str,
)
def test_files_are_listed_alike_with_and_without_a_data_module(own_tree, tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faces.csv").write_text("target,frame,x0,y0,x1,y1\n")
    shutil.copytree(own_tree / "splits", tmp_path / "lists")
    asked = {"root": str(own_tree), **options}
    made = datamodules.FaceForensicsDataModule(**asked).files()
    assert len(made)
    assert FILES_OF["datamodules.FaceForensicsDataModule"](**asked).equals(made)


def test_videos_of_a_csv_are_listed_alike_with_and_without_a_data_module(film, tmp_path):
    film(tmp_path / "a.mp4")
    (tmp_path / "videos.csv").write_text("path,label\na.mp4,0\n")
    asked = {"csv": str(tmp_path / "videos.csv"), "faces": str(tmp_path / "videos.csv")}
    made = datamodules.VideoFolderDataModule(**asked).files()
    assert list(made.name) == ["original/a", "faces file"]
    assert FILES_OF["datamodules.VideoFolderDataModule"](**asked).equals(made)


def test_originals_alone_are_listed_where_fakes_are_made_of_them_and_unknown_methods_are_refused(own_tree):
    listed = FILES_OF["datamodules.FaceForensicsDataModule"](root=str(own_tree), methods=[])
    blended = datamodules.FaceForensicsDataModule(str(own_tree), methods=[], self_blend=0.5)
    assert listed.equals(blended.files())
    with pytest.raises(ValueError, match=r"methods is \['Deepfake'\], but wanted one or more of Deepfakes"):
        FILES_OF["datamodules.FaceForensicsDataModule"](root=str(own_tree), methods=["Deepfake"])
