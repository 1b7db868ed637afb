"""Two processes train and test together on CPU (gloo), with a hard end should they hang."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from datamodules import index
from tests.experiments.forks import program
from tests.experiments.test_cli import FILES, SMALL, hollow, predicted, run


def run_with(processes, command, tree, folder, *options, status=0, **environment):
    words = [*program(), command, *FILES, *SMALL, f"--data.init_args.root={tree}", *options]
    words += [f"--trainer.default_root_dir={folder}", f"--trainer.devices={processes}", "--trainer.accelerator=cpu"]
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, **environment},
    )
    try:
        output, _ = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == status, output
    return output


ALL = "--data.init_args.eval_frames_per_clip=12"


def test_several_processes_train_and_test_as_one_would(tree, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    home = {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc"), "WANDB_API_KEY": "", "WANDB_MODE": "offline"}
    assert "distributed_backend=gloo" in run_with(2, "fit", tree, folder, **home)
    assert json.loads((folder / "provenance.json").read_text())["fit"]["processes"] == 2
    assert len(list(folder.glob("wandb/offline-run-*/*.wandb"))) == 1
    assert len(list(folder.glob("wandb/offline-run-*/files/media/images/probes_*.jpg"))) == 5  # whatever rank 0 has
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    run("test", tree, folder, ALL, "--name=1")
    alone = [json.loads((folder / f"{kind}-1.json").read_text()) for kind in ("metrics", "intervals")]
    frames = len(pd.read_parquet(folder / "frames-1.parquet"))
    assert frames % 3  # the last share is another one
    run_with(3, "test", tree, folder, ALL, "--name=3")
    metrics, intervals = (json.loads((folder / f"{kind}-3.json").read_text()) for kind in ("metrics", "intervals"))
    assert metrics == pytest.approx(alone[0], abs=1e-6)
    assert intervals["intervals"].keys() == alone[1]["intervals"].keys()
    assert len(pd.read_parquet(folder / "frames-3.parquet")) == frames
    assert json.loads((folder / "provenance.json").read_text())["test-3"]["processes"] == 3


def test_several_processes_do_a_whole_row_in_one_start(tree, tmp_path):
    folder = tmp_path / "runs" / "demo" / "segmentation" / "seed0"
    tests = '--tests={"few": {"data": {"init_args": {"eval_frames_per_clip": 1}}}, "own": {"data": {}}}'
    run_with(2, "row", tree, folder, tests, WANDB_MODE="disabled")
    noted = json.loads((folder / "provenance.json").read_text())
    assert [noted[stage]["processes"] for stage in ("fit", "test", "test-few")] == [2, 2, 2]
    assert noted["test_evaluations"] == {"test": 1, "few": 1}
    own = json.loads((folder / "metrics.json").read_text())
    assert json.loads((folder / "metrics-own.json").read_text()) == own
    assert json.loads((folder / "metrics-few.json").read_text()) != own


def test_several_processes_predict_as_one_would_also_where_one_can_read_nothing(own_tree, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    run("fit", own_tree, folder)
    run("predict", own_tree, folder)
    whole = predicted(folder / "predictions")
    assert (folder / "predictions" / "predictions.csv").read_text().count("\n") == 21
    run_with(2, "predict", own_tree, folder, "--name=two", WANDB_MODE="disabled")
    pd.testing.assert_frame_equal(predicted(folder / "predictions-two"), whole)
    table = index(own_tree).set_index(["method", "clip"])
    table = table[table.index.isin(whole.index.droplevel("frame"))]
    second = table[len(table) // 2 :]  # all that the second process has
    for path in second.path:
        hollow(Path(path))
    clips = sorted(second.index)
    printed = run_with(2, "predict", own_tree, folder, "--name=half", status=1, WANDB_MODE="disabled")
    rows = predicted(folder / "predictions-half")
    assert rows.index.tolist() == [key for key in whole.index if key[:2] not in clips]
    assert printed.count("clips could not be read whole") == 1
    listed = pd.read_csv(folder / "predictions-half" / "unreadable.csv", dtype=str)
    assert listed[["method", "clip", "frames"]].values.tolist() == [[*clip, "2"] for clip in clips]
    assert {path.name for path in folder.glob("predictions-*/*.csv")} == {"predictions.csv", "unreadable.csv"}
