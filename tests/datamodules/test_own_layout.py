"""The layout that the README shows as an example reads two folders of videos."""

import re
import shutil
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "datamodules" / "README.md"


@pytest.fixture(scope="module")
def layout():
    section = README.read_text().split("## A layout of one's own\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    names = {}
    exec(compile(block, str(README), "exec"), names)
    return names["TwoFoldersDataModule"]


@pytest.fixture
def root(film, tmp_path):
    for name in ("real/a.mp4", "real/b.mp4", "fake/a.mp4"):
        film(tmp_path / "videos" / name)
    return tmp_path / "videos"


def ready(layout, root, stage="test"):
    module = layout(str(root), size=32, batch_size=4, cache_dir=str(root.parent / "cache"))
    module.setup(stage)
    return module


def test_every_frame_of_both_folders_is_tested_on(layout, root):
    module = ready(layout, root)
    batches = list(module.test_dataloader())
    module.teardown("test")
    seen = {
        int(clip): int(label) for batch in batches for clip, label in zip(batch["clip"], batch["label"], strict=True)
    }
    assert {module.clips["clip"][clip]: label for clip, label in seen.items()} == {
        "real-a": 0,
        "real-b": 0,
        "fake-a": 1,
    }
    assert sum(len(batch["label"]) for batch in batches) == module.clips.frames.clip(upper=100).sum()
    assert all(batch["image"].shape[1:] == (3, 32, 32) for batch in batches)
    assert all((batch["canvas"][batch["label"] == 1] == 255).all() for batch in batches)


def test_its_files_are_known_by_what_they_hold(layout, root, tmp_path):
    files = ready(layout, root).files()
    assert files.name.tolist() == ["fake-a", "real-a", "real-b", "faces"]
    moved = shutil.copytree(root, tmp_path / "elsewhere" / "videos")
    assert ready(layout, moved).files().equals(files)


def test_a_damaged_clip_is_refused_in_a_test_and_left_out_of_a_prediction(layout, root):
    (root / "real" / "b.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"1 clips of .*cannot be read"):
        ready(layout, root)
    assert ready(layout, root, "predict").clips["clip"].tolist() == ["real-a", "fake-a"]


def test_it_is_not_there_to_learn_from(layout, root):
    with pytest.raises(ValueError, match="to test on, but fit was asked for"):
        ready(layout, root, "fit")
