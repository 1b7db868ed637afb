"""A run logged offline by the real command line holds all that it should, as W&B's own files say."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from pytorch_lightning import Callback

from experiments.runs.folder import RunFolder
from experiments.runs.run import Run
from experiments.runs.share import link, move_aside
from experiments.tracking import offline, sync
from experiments.tracking.log_rows import log_missing
from experiments.tracking.logger import frame_table
from experiments.tracking.run_ids import list_unlogged, run_id
from experiments.training.further_tests import further_tests, take_own
from tests.experiments.forks import program
from tests.experiments.test_cli import FILES, METHODS, SMALL, run
from tests.experiments.wandb_server import serving

OFTEN = ["--trainer.max_epochs=2", "--trainer.log_every_n_steps=1"]


class StopOnce(Callback):
    """Ends a training of five batches an epoch before the fourth of its second epoch, once.

    Args:
        mark: File that says it has done so.
        killed: Whether the process is killed, or interrupted.
    """

    def __init__(self, mark: str, killed: bool = False) -> None:
        self.mark = Path(mark)
        self.killed = killed

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (1, 3) and not self.mark.exists():
            self.mark.touch()
            if self.killed:
                os.kill(os.getpid(), 9)
            raise KeyboardInterrupt


def stopping(folder, mark, killed=False):
    """Files of the row with that callback; the row's own comes last, for it names the run."""
    layer = folder / "stop.yaml"
    callback = {"class_path": f"{__name__}.StopOnce", "init_args": {"mark": str(mark), "killed": killed}}
    layer.write_text(yaml.safe_dump({"trainer": {"callbacks+": [callback]}}))
    return [*FILES[:2], "-c", str(layer), *FILES[2:]]


def run_apart(command, tree, folder, *options, row=FILES, small=SMALL, mode="offline", **environment):
    """Runs a command in a process of its own, as W&B reads its environment once; returns status and output."""
    words = [*program(), command, *row, *small, f"--data.init_args.root={tree}"]
    words += [f"--trainer.default_root_dir={folder}", *options]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    inherited |= {"WANDB_MODE": mode} if mode else {}
    ended = subprocess.run(
        words,
        env={**inherited, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    return ended.returncode, ended.stdout


@pytest.fixture(scope="module")
def logged(tree, tmp_path_factory):
    """A run that was interrupted, went on, and was tested on two test sets: four offline folders."""
    folder = tmp_path_factory.mktemp("runs") / "demo" / "segmentation" / "seed0"
    row = stopping(tmp_path_factory.mktemp("layer"), folder.parent / "stopped")
    folder.parent.mkdir(parents=True)
    status, output = run_apart("fit", tree, folder, *OFTEN, row=row)
    assert status, output
    for command, *more in (["fit"], ["test"], ["test", "--data.init_args.eval_frames_per_clip=1", "--name=one"]):
        status, output = run_apart(command, tree, folder, *OFTEN, *more, row=row)
        assert status == 0, output
    return folder


@pytest.fixture(scope="module")
def files(logged):
    found = offline.files_of(logged)
    assert len(found) == 4
    assert all(offline.is_complete(file) for file in found)
    return found


def media(file, value):
    """The pictures that a row names, in its order."""
    return [file.parent / "files" / name for name in value]


def test_an_interrupted_run_keeps_its_id_and_its_steps_go_on(files, logged):
    assert {offline.id_of(file) for file in files} == {run_id(logged)}
    rows = [[row["_step"] for row in offline.read_rows(file)] for file in files]
    assert rows == [list(range(9)), [9, 10], [11], [12]]
    steps = [[row["trainer/global_step"] for row in offline.read_rows(file)] for file in files[:2]]
    assert steps == [list(range(9)), [8, 9]]  # of step 8 the learning rate alone was there
    fitted = [row for file in files[:2] for row in offline.read_rows(file)]
    assert [row["trainer/global_step"] for row in fitted if "val/pixel_iou" in row] == [4, 9]
    assert [row["trainer/global_step"] for row in fitted if "train/loss" in row] == list(range(10))


def test_group_name_and_the_row_s_own_configuration_with_its_code(files, logged):
    for file in files:
        (started,) = (record.run for record in offline.records(file) if record.WhichOneof("record_type") == "run")
        assert (started.run_group, started.display_name) == ("demo", "segmentation-seed0")
        config = offline.config(file)
        known = yaml.safe_load((logged / "config.yaml").read_text())
        assert {key: config[key] for key in known} == known
        assert config["data"]["init_args"]["size"] == 64
        assert config["code"]["packages"]["torch"] == torch.__version__.partition("+")[0]
        assert isinstance(config["code"]["git_changes"], bool)
    noted = json.loads((logged / "provenance.json").read_text())["fit"]
    assert config["code"]["git"] == config["trained_with"]["git"] == noted["git"]


def test_the_summary_is_what_the_metrics_files_say_and_what_validation_said_last(files, logged):
    def read(name):
        return json.loads((logged / name).read_text())

    metrics, other = read("metrics.json"), read("metrics-one.json")
    tested, tested_twice = offline.summary(files[2]), offline.summary(files[3])
    defined = {key: value for key, value in metrics.items() if value is not None}
    assert {key: value for key, value in tested.items() if key in metrics} == defined
    assert not [key for key in tested if key.startswith("test/") and key not in [*metrics, "test/frames"]]
    defined |= {f"one/{key}": value for key, value in other.items() if value is not None}
    assert {key: value for key, value in tested_twice.items() if key in defined} == defined
    last = list(offline.read_rows(files[1]))[-1]
    assert tested_twice["val/pixel_iou"] == last["val/pixel_iou"]
    assert tested_twice["probes"] == last["probes"]
    assert tested_twice["test/frames"] == tested["test/frames"]


def test_probes_are_the_same_frames_of_every_method_as_pictures_and_as_layers(files, tree):
    rows = [(file, row) for file in files for row in offline.read_rows(file) if "probes" in row]
    assert [row["trainer/global_step"] for _, row in rows] == [4, 9]
    assert all("val/pixel_iou" in row for _, row in rows)  # beside the validation's metrics, after each epoch
    frames = [{caption.partition(":")[0] for caption in row["probes"]["captions"]} for _, row in rows]
    assert frames[0] == frames[1]
    assert {frame.split()[0] for frame in frames[0]} == METHODS
    clips = {frame.split()[1] for frame in frames[0]}
    validated = {clip for pair in json.loads((tree / "splits" / "val.json").read_text()) for clip in pair}
    assert {clip for name in clips for clip in name.split("_")} <= validated
    for file, row in rows:
        for picture in media(file, row["probes"]["filenames"]):
            with Image.open(picture) as opened:
                assert opened.size == (3 * 64 + 8, 64 + 16)
        for picture in media(file, row["probes-masks"]["filenames"]):
            with Image.open(picture) as opened:
                assert opened.size == (64, 64)
                assert 40 < np.asarray(opened).mean() < 215  # the crop, no longer normalised
        for caption, layers in zip(row["probes-masks"]["captions"], row["probes-masks"]["all_masks"], strict=True):
            masks = {name: np.asarray(Image.open(file.parent / "files" / layers[name]["path"])) for name in layers}
            assert masks.keys() == {"truth", "prediction"}
            assert set(np.unique(masks["prediction"])) <= {0, 1}
            if caption.startswith(("Deepfakes", "original")):
                assert masks["truth"].max() == caption.startswith("Deepfakes")
    labels = [value for key, value in offline.config(files[0])["_wandb"]["mask/class_labels"].items() if "truth" in key]
    assert labels[0]["value"] == {"0": "real", "1": "forged", "255": "unknown"}


@pytest.mark.parametrize(("number", "name"), [(2, None), (3, "one")])
def test_a_test_leaves_a_table_of_every_frame(files, logged, number, name):
    (row,) = (row for row in offline.read_rows(files[number]))
    key = f"{name}/test/frames" if name else "test/frames"
    (path,) = media(files[number], [row[key]["path"]])
    table = json.loads(path.read_text())
    told = pd.DataFrame(table["data"], columns=table["columns"])
    known = pd.read_parquet(RunFolder(logged).file("frames", name, "parquet"))
    assert list(told) == ["method", "clip", "frame", "label", "score", "predicted", "iou"]
    for column in ("method", "clip", "frame", "label", "score"):
        assert told[column].tolist() == known[column].tolist()
    for said, frame in zip(table["data"], known.itertuples(), strict=True):
        union = frame.tp + frame.fp + frame.fn
        assert said[-1] == (pytest.approx(frame.tp / union) if union else None)
    stage = f"test-{name}" if name else "test"
    threshold = json.loads((logged / "provenance.json").read_text())[stage]["operating_point"]["frame_threshold"]
    assert told["predicted"].tolist() == [int(score > threshold) for score in known["score"]]


def test_a_table_of_a_classifier_has_no_pixels(logged, tmp_path):
    for kind in ("metrics.json", "provenance.json", "histograms.npz"):
        (tmp_path / kind).write_bytes((logged / kind).read_bytes())
    pd.read_parquet(logged / "frames.parquet").drop(columns=["tp", "fp", "fn", "tn"]).to_parquet(
        tmp_path / "frames.parquet"
    )
    assert list(frame_table(RunFolder(tmp_path), None))[-1] == "predicted"


def test_all_of_it_is_sent_and_becomes_one_run(files, logged, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with serving() as (address, server):
        monkeypatch.setenv("WANDB_BASE_URL", address)
        assert sync.main([str(logged)]) == 0
    (sent,) = server.history
    assert sent == run_id(logged)
    assert server.names[sent] == ("demo", "segmentation-seed0")
    assert [row["_step"] for row in server.history[sent]] == list(range(13))
    metrics = json.loads((logged / "metrics.json").read_text())
    summary = server.summary[sent]
    assert all(summary[key] == value for key, value in metrics.items() if value is not None)
    assert {"val/pixel_iou", "one/test/pixel_iou", "one/test/frames", "probes", "probes-masks"} <= summary.keys()
    (tested,) = (row for row in server.history[sent] if "test/frames" in row)
    assert summary["test/frames"] == tested["test/frames"]
    assert server.config[sent]["data"]["value"]["init_args"]["size"] == 64
    arrived = server.files[sent]
    for part, count in (("media/images/probes_", 10), ("media/images/probes-masks_", 10), ("media/images/mask/", 12)):
        assert len([name for name in arrived if name.startswith(part)]) >= count - 2  # equal pictures are one file
    assert {name.rsplit("_", 2)[0] for name in arrived if name.startswith("media/table")} == {
        "media/table/test/frames",
        "media/table/one/test/frames",
    }


def test_a_row_that_shares_a_run_is_a_run_of_its_own_table(logged, monkeypatch):
    other = RunFolder(logged.parents[2] / "other" / "same" / "seed0")
    link(logged, other)
    (same,) = further_tests({**other.read_config(), "tests": {"own": {"data": {}}}})
    take_own(other, same)
    row = Run("other", "same", 0, other)
    assert list_unlogged(row) == []  # W&B is not wanted
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert list_unlogged(row) == ["", "own"]
    for _ in range(2):
        log_missing([row])
        assert list_unlogged(row) == []
    (file,) = offline.files_of(other.path)
    (begun,) = (record.run for record in offline.records(file) if record.WhichOneof("record_type") == "run")
    assert (begun.run_id, begun.run_group, begun.display_name) == (run_id(other.path), "other", "same-seed0")
    assert offline.config(file)["shares"] == "demo/segmentation/seed0"
    summary, metrics = offline.summary(file), json.loads((logged / "metrics.json").read_text())
    assert summary["test/pixel_iou"] == summary["own/test/pixel_iou"] == metrics["test/pixel_iou"]
    assert {"test/frames", "own/test/frames"} <= summary.keys()

    for name, value in {"SWEEP_ROW": "other/same", "WANDB_SWEEP_ID": "s", "WANDB_RUN_ID": "fromagent"}.items():
        monkeypatch.setenv(name, value)
    assert list_unlogged(row) == ["", "own"]
    log_missing([row])
    last = offline.files_of(other.path)[-1]
    assert offline.id_of(last) == "fromagent"
    assert offline.summary(last)["test/pixel_iou"] == metrics["test/pixel_iou"]
    assert list_unlogged(row) == []


def test_logging_and_probes_change_nothing_that_is_learnt(logged, tree, tmp_path):
    layer = tmp_path / "layer.yaml"
    csv = {"class_path": "pytorch_lightning.loggers.CSVLogger", "init_args": {"name": "logs", "save_dir": "runs"}}
    layer.write_text(yaml.safe_dump({"trainer": {"logger": [csv]}}))
    status, output = run_apart("fit", tree, tmp_path, *OFTEN, row=[*FILES[:2], "-c", str(layer), *FILES[2:]])
    assert status == 0, output
    assert not (tmp_path / "wandb").exists()
    states = [torch.load(at / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for at in (logged, tmp_path)]
    assert all(torch.equal(states[0][key], value) for key, value in states[1].items())


def test_after_a_kill_no_step_is_there_twice_and_none_of_the_last_part_lacks(tree, tmp_path):
    folder = tmp_path / "run"
    row = stopping(tmp_path, tmp_path / "stopped", killed=True)
    assert run_apart("fit", tree, folder, *OFTEN, row=row)[0] == -9
    status, output = run_apart("fit", tree, folder, *OFTEN, row=row)
    assert status == 0, output
    first, second = offline.files_of(folder)
    assert not offline.is_complete(first)
    steps = [row["_step"] for file in (first, second) for row in offline.read_rows(file)]
    assert len(steps) == len(set(steps))
    assert {5, 6, 7, 8, 9} <= set(steps)
    assert offline.id_of(first) == offline.id_of(second)
    online = tmp_path / "online" / first.parent.name.removeprefix("offline-") / first.name
    online.parent.mkdir(parents=True)
    online.write_bytes(first.read_bytes())
    known, unsure = offline.LoggedRows(), offline.LoggedRows()
    known.add(first)
    unsure.add(online)  # killed before all of it was sent, perhaps: it is repeated
    assert known.begun == unsure.begun > 0
    assert known.done > unsure.done == 0


def test_online_too_an_interrupted_run_goes_on_under_its_id(tree, tmp_path):
    row = stopping(tmp_path, tmp_path / "stopped")
    with serving() as (address, server):
        environment = {"WANDB_BASE_URL": address, "WANDB_API_KEY": "0" * 40}
        for ended in (1, 0):
            status, output = run_apart("fit", tree, tmp_path / "run", *OFTEN, row=row, mode=None, **environment)
            assert bool(status) == bool(ended), output
            assert "logging offline" not in output
    ((sent, rows),) = server.history.items()
    assert sent == run_id(tmp_path / "run")
    assert [row["_step"] for row in rows] == list(range(11))
    assert [row["trainer/global_step"] for row in rows if "train/loss" in row] == list(range(10))
    assert [row["trainer/global_step"] for row in rows if "probes" in row] == [4, 9]


def test_a_classifier_s_probes_have_two_parts_and_one_layer_and_a_sweep_s_run_its_agent_s_id(tree, tmp_path):
    row = [*FILES[:2], "-c", "experiments/tables/demo/classification.yaml"]
    agent = {"WANDB_SWEEP_ID": "abcdefgh", "WANDB_RUN_ID": "fromagent"}
    small = [word for word in SMALL if "decoder" not in word]
    status, output = run_apart("fit", tree, tmp_path, row=row, small=small, **agent)
    assert status == 0, output
    assert "Ignoring" not in output
    (file,) = offline.files_of(tmp_path)
    assert offline.id_of(file) == run_id(tmp_path) == "fromagent"
    (row,) = (row for row in offline.read_rows(file) if "probes" in row)
    with Image.open(media(file, row["probes"]["filenames"])[0]) as opened:
        assert opened.size == (2 * 64 + 4, 64 + 16)
    assert {tuple(layers) for layers in row["probes-masks"]["all_masks"]} == {("truth",)}


def test_a_key_that_is_refused_means_offline_with_one_sentence_and_probes_can_be_switched_off(tree, tmp_path):
    off = "--trainer.callbacks.init_args.every_n_epochs=0"  # of the last one in the list
    with serving(refuses=True) as (address, _):
        environment = {"WANDB_BASE_URL": address, "WANDB_API_KEY": "0" * 40}
        status, output = run_apart("fit", tree, tmp_path, off, mode=None, **environment)
    assert status == 0, output
    assert output.count("logging offline, send later with make wandb-sync") == 1
    (file,) = (file for file in offline.files_of(tmp_path) if file.parent.name.startswith("offline-run-"))
    rows = list(offline.read_rows(file))
    assert any("val/pixel_iou" in row for row in rows)
    assert not any("probes" in row for row in rows)


def test_disabled_and_a_trial_run_write_nothing(tree, tmp_path):
    run("fit", tree, tmp_path / "disabled")
    status, output = run_apart("fit", tree, tmp_path / "trial", "--trainer.fast_dev_run=1")
    assert status == 0, output
    assert not list(tmp_path.glob("*/wandb/**/*.wandb"))


def test_what_is_trained_anew_where_a_run_was_moved_aside_is_a_run_of_its_own(tmp_path):
    folder = RunFolder(tmp_path / "demo" / "segmentation" / "seed0")
    first = run_id(folder.path)
    assert run_id(folder.path) == first
    aside = move_aside(folder)
    assert run_id(aside) == first
    assert run_id(folder.path) != first


def test_rows_rise_and_steps_that_are_done_are_left_out():
    anew = offline.LoggedRows()
    assert [anew.of(step) for step in (0, 0, 1, 10)] == [0, 0, 1, 10]
    resumed = offline.LoggedRows(begun=9, done=8)
    assert [resumed.of(step) for step in (5, 7, 8, 8, 9)] == [None, None, 9, 9, 10]
    lost = offline.LoggedRows(begun=3, done=2)  # what was logged after it, W&B lost: the training goes on behind
    assert [lost.of(step) for step in (5, 6)] == [5, 6]


def test_what_is_no_file_of_wandb_is_said(files, tmp_path):
    (tmp_path / "run-a.wandb").write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"begins with b'some', but W&B's files with b':W&B'"):
        list(offline.records(tmp_path / "run-a.wandb"))
    whole = files[0].read_bytes()
    (tmp_path / "run-b.wandb").write_bytes(whole[:-5])
    assert 0 < len(list(offline.records(tmp_path / "run-b.wandb"))) < len(list(offline.records(files[0])))
