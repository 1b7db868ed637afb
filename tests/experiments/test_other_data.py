"""A checkpoint trained on FaceForensics++ is tested on other videos, from the command line."""

import json

import pandas as pd
import pytest

from tests.experiments.test_cli import run


@pytest.fixture
def celeb(tree, tmp_path):
    """Videos of a data set of another name, with labels, and masks of some."""
    clips = sorted((tree / "original_sequences/youtube/c23/videos").glob("*.mp4"))[:3]
    fakes = sorted((tree / "manipulated_sequences/Deepfakes/c23/videos").glob("*.mp4"))[:3]
    masks = [tree / "manipulated_sequences/Deepfakes/masks/videos" / path.name for path in fakes]
    lines = [{"path": path, "label": 0} for path in clips]
    lines += [
        {"path": path, "label": 1, "mask_path": mask if number else "", "method": "Celeb-synthesis"}
        for number, (path, mask) in enumerate(zip(fakes, masks, strict=True))
    ]
    table = tmp_path / "celeb.csv"
    pd.DataFrame(lines).to_csv(table, index=False)
    return table


def test_a_checkpoint_is_tested_on_the_videos_of_a_csv(tree, celeb, tmp_path):
    folder = tmp_path / "run"
    run("fit", tree, folder)
    other = [
        "--data=datamodules.VideoFolderDataModule",
        f"--data.init_args.csv={celeb}",
        "--data.init_args.faces=whole",
    ]
    run("test", tree, folder, *other, "--name=celeb")
    metrics = json.loads((folder / "metrics-celeb.json").read_text())
    assert 0 <= metrics["test/video_auroc"] <= 1
    assert not [key for key in metrics if "/" in key.removeprefix("test/")]
    frames = pd.read_parquet(folder / "frames-celeb.parquet")
    assert set(frames["method"]) == {"original", "Celeb-synthesis"}
    assert frames["pair"].nunique() == 6  # no line says who is who
    intervals = json.loads((folder / "intervals-celeb.json").read_text())
    assert intervals["intervals"].keys() == metrics.keys()
    noted = json.loads((folder / "provenance.json").read_text())["test-celeb"]
    assert noted["faces"]["source"] == "whole"
    drawn = {path.stem for path in (folder / "overlays-celeb").glob("Celeb-synthesis-*.png")}
    assert {name.rpartition("-")[0] for name in drawn} == {
        f"Celeb-synthesis-{clip}" for clip in frames[frames["method"] == "Celeb-synthesis"]["clip"]
    }
    run("predict", tree, folder, *other, "--name=celeb")
    assert len(pd.read_csv(folder / "predictions-celeb" / "predictions.csv")) == len(frames)
