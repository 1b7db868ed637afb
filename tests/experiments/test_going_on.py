"""Trainings that are broken off, moved, damaged or cut short end as undisturbed ones, or say why not."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from pytorch_lightning import Callback
from pytorch_lightning.trainer.states import RunningStage

from experiments.callbacks.checkpoints import BestCheckpoint, timers
from experiments.cli import main  # noqa: F401 - of the process that is killed
from experiments.config.layers import add_table_base
from experiments.runs.checkpoints import damage
from experiments.runs.folder import RunFolder
from experiments.training.resume import last_checkpoint
from experiments.training.stages import StagesCLI
from tests.experiments.test_cli import FILES, SMALL, run

HERE = "tests.experiments.test_going_on"
AFTER_EACH_BATCH = "--trainer.callbacks+=tests.experiments.test_cli.AfterEachBatch"
TWO = ["--trainer.max_epochs=2", AFTER_EACH_BATCH, f"--trainer.callbacks+={HERE}.Worsens"]


class Worsens(Callback):
    """Empties the network before its second epoch: the first is the best."""

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            for values in pl_module.network.parameters():
                values.data.zero_()


class Stops(Callback):
    """Does something to a training when a batch of it begins, once."""

    at: tuple[int, int] | None = None

    @staticmethod
    def what(trainer):
        raise KeyboardInterrupt

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if Stops.at == (trainer.current_epoch, batch_idx):
            Stops.at = None
            Stops.what(trainer)


STOPS = f"--trainer.callbacks+={HERE}.Stops"


def kill_in_save(trainer):
    """Has the process killed as soon as a checkpoint is written, but not yet in its place."""
    os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)


def let_time_run_out(trainer):
    for timer in timers(trainer):
        timer._start_time[RunningStage.TRAINING] -= 1e6


def fill_the_disk(trainer):
    """No file can be larger than 100 kB from now on."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))


@pytest.fixture(autouse=True)
def seed_of_this_test_alone(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")


@pytest.fixture(scope="module")
def trained(tree, tmp_path_factory):
    """Where a training was stopped at the start of its second epoch, and where it was not."""
    at = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", "0")
        patch.setattr(Stops, "at", (1, 0))
        with pytest.raises(SystemExit):
            run("fit", tree, at / "stopped", *TWO, STOPS)
        run("fit", tree, at / "whole", *TWO, STOPS)
    return at


def checkpoint(folder, name):
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


def assert_same_end(folder, whole):
    for name in ("best", "last"):
        one, other = checkpoint(folder, name), checkpoint(whole, name)
        assert one.keys() == other.keys()
        assert {key: one[key] for key in ("epoch", "global_step", "operating_point")} == {
            key: other[key] for key in ("epoch", "global_step", "operating_point")
        }
        assert one.get("chosen") == other.get("chosen")
        assert all(torch.equal(one["state_dict"][key], value) for key, value in other["state_dict"].items())
    notes = [json.loads((at / "provenance.json").read_text())["fit"] for at in (folder, whole)]
    assert notes[0]["selected_at"] == notes[1]["selected_at"]
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


def refused(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        run(*words)
    printed = capsys.readouterr().err
    assert "Traceback" not in printed
    (said,) = (line for line in printed.splitlines() if line.startswith("error: "))
    return ended.value.code, said


def test_the_best_model_outlives_that_its_folder_is_moved_and_spelt_otherwise(tree, trained, tmp_path):
    shutil.copytree(trained / "stopped", tmp_path / "moved")
    run("fit", tree, os.path.relpath(tmp_path / "moved"), *TWO, STOPS)
    assert checkpoint(tmp_path / "moved", "best")["epoch"] == 0
    assert_same_end(tmp_path / "moved", trained / "whole")


def test_a_checkpoint_that_was_written_before_gives_its_score_wherever_it_lay(tree, trained, tmp_path):
    folder = shutil.copytree(trained / "stopped", tmp_path / "moved")
    (key,) = (key for key in checkpoint(folder, "last")["callbacks"] if key.startswith("BestCheckpoint"))
    last, best = checkpoint(folder, "last"), checkpoint(folder, "best")
    score = torch.tensor(best.pop("chosen")["val/pixel_iou_balanced"])
    last["callbacks"][key] = {
        "monitor": "val/pixel_iou_balanced",
        "best_model_score": score,
        "best_model_path": "/gone/best.ckpt",
        "dirpath": "/gone",
        "best_k_models": {"/gone/best.ckpt": score},
    }
    torch.save(last, folder / "checkpoints" / "last.ckpt")
    torch.save(best, folder / "checkpoints" / "best.ckpt")
    run("fit", tree, folder, *TWO, STOPS)
    assert checkpoint(folder, "best")["epoch"] == 0


def test_the_class_that_a_configuration_names_is_where_it_was(trained):
    assert "experiments.callbacks.BestCheckpoint" in (trained / "whole" / "config.yaml").read_text()


@pytest.mark.skipif(
    not os.path.isdir("/dev/shm") or os.stat("/dev/shm").st_dev == os.stat("/tmp").st_dev,
    reason="temporary files and runs cannot lie on two file systems: /dev/shm is none of its own",
)
def test_a_training_that_is_killed_in_a_save_and_moved_ends_as_an_undisturbed_one(tree, trained, tmp_path, capsys):
    script = f"import sys; from {HERE} import *; Stops.at, Stops.what = (1, 2), kill_in_save; main(sys.argv[1:])"
    words = [*FILES, f"--data.init_args.root={tree}", f"--trainer.default_root_dir={tmp_path / 'first'}", *SMALL, *TWO]
    killed = subprocess.run(
        [sys.executable, "-c", script, "fit", *words, STOPS],
        env={**os.environ, "TMPDIR": "/dev/shm"},
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (unfinished,) = (tmp_path / "first" / "checkpoints").glob(".*.ckpt")
    folder = (tmp_path / "first").rename(tmp_path / "moved")
    run("fit", tree, folder, *TWO, STOPS)
    assert "going on from last.ckpt" in capsys.readouterr().out
    assert not (folder / "checkpoints" / unfinished.name).exists()
    assert_same_end(folder, trained / "whole")
    whole = shutil.copytree(trained / "whole", tmp_path / "whole")
    for at in (folder, whole):
        run("test", tree, at, *TWO, STOPS)
    assert (folder / "metrics.json").read_bytes() == (whole / "metrics.json").read_bytes()


def cut_short(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    path.write_bytes(b"")


def overwrite(path):
    """A few bytes among those of a tensor: nothing but their sum tells."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8] = bytes(byte ^ 255 for byte in content[middle : middle + 8])
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [cut_short, empty, overwrite, Path.unlink])
def test_of_a_damaged_last_checkpoint_the_one_before_is_taken(trained, tmp_path, capsys, spoil):
    run_folder = RunFolder(shutil.copytree(trained / "stopped", tmp_path / "run"))
    before = run_folder.previous.read_bytes()
    assert before != run_folder.last.read_bytes()
    spoil(run_folder.last)
    assert last_checkpoint(run_folder, first=True) == run_folder.last
    (said,) = capsys.readouterr().err.splitlines()
    assert "last.ckpt is " in said
    assert said.endswith("going on from the one before it, previous.ckpt")
    assert run_folder.last.read_bytes() == before


def test_a_training_with_a_damaged_last_checkpoint_ends_as_an_undisturbed_one(tree, trained, tmp_path):
    folder = shutil.copytree(trained / "stopped", tmp_path / "run")
    cut_short(folder / "checkpoints" / "last.ckpt")
    unfinished = folder / "checkpoints" / ".1.last.ckpt"
    unfinished.write_bytes(b"left behind")
    run("fit", tree, folder, *TWO, STOPS)
    assert not unfinished.exists()
    assert_same_end(folder, trained / "whole")


@pytest.mark.parametrize("spoil", [cut_short, empty, overwrite])
def test_damaged_checkpoints_are_sentences(tree, trained, tmp_path, capsys, spoil):
    folder = RunFolder(shutil.copytree(trained / "stopped", tmp_path / "run"))
    spoil(folder.best)
    status, said = refused(capsys, "fit", tree, folder.path, *TWO, STOPS)
    assert status == 2
    assert f"{folder.best} is damaged" in said
    assert "put a whole copy back" in said
    spoil(folder.last)
    spoil(folder.previous)
    assert f"{folder.last} is damaged" in refused(capsys, "fit", tree, folder.path, *TWO, STOPS)[1]


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
def test_a_damaged_best_checkpoint_is_a_sentence(tree, trained, tmp_path, capsys, command):
    folder = shutil.copytree(trained / "whole", tmp_path / "run")
    cut_short(folder / "checkpoints" / "best.ckpt")
    status, said = refused(capsys, command, tree, folder, *TWO, STOPS)
    assert (status, "best.ckpt is damaged" in said) == (2, True)


def test_the_last_weights_alone_are_nothing_to_go_on_from(tree, trained, tmp_path, capsys):
    folder = shutil.copytree(trained / "whole", tmp_path / "run")
    (folder / "checkpoints" / "best.ckpt").unlink()
    for command in ("fit", "test"):
        status, said = refused(capsys, command, tree, folder, *TWO, STOPS)
        assert status == 2
        assert f"{folder}/checkpoints/best.ckpt" in said
        assert "put a whole copy back" in said
    given = f"--ckpt_path={folder / 'checkpoints' / 'last.ckpt'}"
    assert "holds weights alone" in refused(capsys, "fit", tree, tmp_path / "other", given)[1]
    assert "does not exist" in refused(capsys, "fit", tree, tmp_path / "other", "--ckpt_path=nowhere.ckpt")[1]


def test_a_full_disk_is_a_sentence_and_leaves_what_was_there(tree, trained, tmp_path, capsys, monkeypatch):
    folder = RunFolder(shutil.copytree(trained / "stopped", tmp_path / "run"))
    before = folder.last.read_bytes()
    monkeypatch.setattr(Stops, "at", (1, 0))
    monkeypatch.setattr(Stops, "what", fill_the_disk)
    try:
        status, said = refused(capsys, "fit", tree, folder.path, *TWO, STOPS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert status == 2
    assert "last.ckpt cannot be written (File too large), what was there before is kept" in said
    assert folder.last.read_bytes() == before
    assert {path.name for path in folder.last.parent.iterdir()} == {"best.ckpt", "last.ckpt", "previous.ckpt"}


def averaged(**options):
    average = {"class_path": "pytorch_lightning.callbacks.EMAWeightAveraging", "init_args": {"decay": 0.8, **options}}
    return f"--trainer.callbacks+={json.dumps(average)}"


@pytest.mark.parametrize(
    "average", [averaged(), averaged(update_every_n_steps=0, update_starting_at_epoch=0)], ids=["steps", "epochs"]
)
def test_the_best_checkpoint_holds_the_weights_that_were_measured(tree, tmp_path, average):
    run("fit", tree, tmp_path, average)
    chosen = json.loads((tmp_path / "provenance.json").read_text())["fit"]["selected_at"]
    words = [*FILES, f"--data.init_args.root={tree}", f"--trainer.default_root_dir={tmp_path}", *SMALL]
    cli = StagesCLI(["validate", *add_table_base(words)])
    assert float(cli.trainer.callback_metrics["val/pixel_iou_balanced"]) == pytest.approx(chosen, abs=1e-6)
    for name in ("best", "last"):
        assert not {"current_model_state", "averaging_state", "callbacks"} & checkpoint(tmp_path, name).keys()


def test_a_training_with_averaged_weights_goes_on_as_an_undisturbed_one(tree, tmp_path, monkeypatch):
    options = ["--trainer.max_epochs=2", AFTER_EACH_BATCH, STOPS, averaged()]
    monkeypatch.setattr(Stops, "at", (1, 3))
    with pytest.raises(SystemExit):
        run("fit", tree, tmp_path / "stopped", *options)
    run("fit", tree, tmp_path / "stopped", *options)
    run("fit", tree, tmp_path / "whole", *options)
    assert_same_end(tmp_path / "stopped", tmp_path / "whole")


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--trainer.limit_val_batches=0", "trainer.limit_val_batches is 0, so no model would be chosen by validation"),
        ("--trainer.limit_train_batches=0", "trainer.limit_train_batches is 0, so no model would be trained"),
        ("--trainer.max_epochs=0", "trainer.max_epochs is 0, so no model would be trained"),
        ("--trainer.max_steps=0", "trainer.max_steps is 0, so no model would be trained"),
        ("--trainer.callbacks=null", "trainer.callbacks lack experiments.callbacks.BestCheckpoint"),
        (
            '--trainer.callbacks+={"class_path": "pytorch_lightning.callbacks.StochasticWeightAveraging", '
            '"init_args": {"swa_lrs": 0.1}}',
            "StochasticWeightAveraging, whose average is made after the last validation",
        ),
    ],
)
def test_what_would_leave_no_model_is_refused_before_it_is_trained(tree, tmp_path, capsys, option, sentence):
    status, said = refused(capsys, "fit", tree, tmp_path, option)
    assert status == 2
    assert sentence in said
    assert not (tmp_path / "config.yaml").exists()


def test_nothing_is_chosen_by_a_metric_that_is_not_defined():
    with pytest.raises(ValueError, match="val/frame_auroc is nan, so no model can be chosen by it"):
        BestCheckpoint("val/frame_auroc").check_monitor_top_k(None, torch.tensor(torch.nan))


def test_a_best_model_that_was_removed_is_said_to_be_gone(tree, tmp_path, capsys):
    Stops.at = (1, 0)
    with pytest.raises(SystemExit):
        run("fit", tree, tmp_path, "--trainer.max_epochs=2", STOPS)
    RunFolder(tmp_path).best.unlink()
    capsys.readouterr()
    run("fit", tree, tmp_path, "--trainer.max_epochs=2", STOPS)
    assert "best.ckpt is gone: the best model is chosen among the epochs to come" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "step"),
    [("--trainer.max_steps=2", 2), ("--trainer.check_val_every_n_epoch=3", 5), ("--trainer.val_check_interval=3", 5)],
)
def test_what_a_training_ends_with_is_validated(tree, tmp_path, option, step):
    run("fit", tree, tmp_path, option)
    noted = json.loads((tmp_path / "provenance.json").read_text())["fit"]
    assert noted["steps"] == step
    assert noted["selected_at"] is not None
    log = pd.read_csv(tmp_path / "logs" / "version_0" / "metrics.csv")
    assert log.dropna(subset="val/pixel_iou_balanced").step.max() == step - 1
    last = checkpoint(tmp_path, "last")
    assert (last["global_step"], last["epoch"]) == (step, 0)
    assert last["operating_point"]["frame_threshold"] != 0.5
    run("test", tree, tmp_path, option)


@pytest.mark.parametrize(("stage", "limit"), [("validate", "val"), ("test", "test"), ("predict", "predict")])
def test_a_stage_that_would_look_at_nothing_is_refused(tree, trained, capsys, stage, limit):
    status, said = refused(
        capsys, stage, tree, trained / "whole", *TWO, STOPS, f"--trainer.limit_{limit}_batches=0", "--name=none"
    )
    assert status == 2
    assert f"trainer.limit_{limit}_batches is 0, so {stage} would look at nothing" in said


TWO_BATCHES = "--trainer.accumulate_grad_batches=2"
EVERY_THREE = "--trainer.val_check_interval=3"


@pytest.mark.parametrize("how", ["stopped", "stopped behind a validation", "out of time"])
def test_a_training_ended_between_two_steps_goes_on_as_an_undisturbed_one(tree, tmp_path, capsys, monkeypatch, how):
    monkeypatch.setattr(Stops, "at", (1, 2) if how == "out of time" else (1, 3))
    options = ["--trainer.max_epochs=2", STOPS, TWO_BATCHES if how != "stopped behind a validation" else EVERY_THREE]
    options += [AFTER_EACH_BATCH] * (how != "out of time")
    if how == "out of time":
        monkeypatch.setattr(Stops, "what", let_time_run_out)
        status, said = refused(capsys, "fit", tree, tmp_path / "run", *options, "--trainer.max_time=01:00:00:00")
        assert status == 1
        assert "was interrupted behind 1 of 2 epochs" in said
        assert "the same command goes on from last.ckpt" in said
    else:
        with pytest.raises(SystemExit):
            run("fit", tree, tmp_path / "run", *options)
    assert not RunFolder(tmp_path / "run").is_trained
    assert damage(tmp_path / "run" / "checkpoints" / "last.ckpt") is None
    run("fit", tree, tmp_path / "run", *options, *["--trainer.max_time=02:00:00:00"] * (how == "out of time"))
    run("fit", tree, tmp_path / "whole", *options)
    assert_same_end(tmp_path / "run", tmp_path / "whole")


def test_a_training_does_not_go_on_by_data_that_grew(own_tree, tmp_path, monkeypatch, capsys):
    pair = json.loads((own_tree / "splits/train.json").read_text())[0]
    later = own_tree / f"manipulated_sequences/FaceSwap/c23/videos/{'_'.join(pair)}.mp4"
    later.rename(own_tree / "later.mp4")
    monkeypatch.setattr(Stops, "at", (1, 0))
    words = ("fit", own_tree, tmp_path / "run", "--data.init_args.missing=skip", *TWO, STOPS)
    with pytest.raises(SystemExit):
        run(*words)
    capsys.readouterr()
    before = (tmp_path / "run" / "checkpoints" / "last.ckpt").read_bytes()
    (own_tree / "later.mp4").rename(later)
    code, said = refused(capsys, *words)
    assert code
    assert f"learnt by other data than there are now (1 clip added, first {later.relative_to(own_tree)})" in said
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").read_bytes() == before
    later.unlink()
    run("fit", shutil.copytree(own_tree, tmp_path / "moved"), *words[2:])
    assert RunFolder(tmp_path / "run").is_trained


def test_another_encoder_checkpoint_at_the_same_place_is_noticed(tree, trained, tmp_path, monkeypatch, capsys):
    shutil.copy(trained / "whole/checkpoints/best.ckpt", tmp_path / "weights.pt")
    monkeypatch.setattr(Stops, "at", (1, 0))
    words = [*TWO, STOPS]
    with pytest.raises(SystemExit):
        run("fit", tree, tmp_path / "run", f"--model.init_args.encoder_checkpoint={tmp_path / 'weights.pt'}", *words)
    capsys.readouterr()
    (tmp_path / "weights.pt").rename(tmp_path / "moved.pt")
    shutil.copy(trained / "stopped/checkpoints/last.ckpt", tmp_path / "weights.pt")
    other = f"--model.init_args.encoder_checkpoint={tmp_path / 'weights.pt'}"
    assert "(encoder_checkpoint changed)" in refused(capsys, "fit", tree, tmp_path / "run", other, *words)[1]
    moved = f"--model.init_args.encoder_checkpoint={tmp_path / 'moved.pt'}"
    run("fit", tree, tmp_path / "run", moved, *words)
    assert RunFolder(tmp_path / "run").is_trained
