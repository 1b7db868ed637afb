"""A setting that no run can use ends in one sentence, before anything is trained."""

import errno
import os
import subprocess
import sys

import pytest
import torch
from pytorch_lightning import Callback

from experiments.cli import main
from experiments.config.ranges import RULES
from tests.experiments.test_cli import run


@pytest.fixture(autouse=True)
def seed_of_this_test_alone(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")


def sentence_of(capsys, words, *where):
    """What a command ends with, which has to be one sentence, status 2 and no traceback."""
    with pytest.raises(SystemExit) as ended:
        run("fit", *where, *words) if where else main(words)
    errors = capsys.readouterr().err
    (sentence,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert ended.value.code == 2
    assert "Traceback" not in errors
    assert errors.splitlines()[-1] == sentence
    return sentence.removeprefix("error: ")


OUT_OF_RANGE = {
    "accumulate_grad_batches": [0, -2],
    "barebones": ["true"],
    "check_val_every_n_epoch": [0],
    "fast_dev_run": [-1],
    "gradient_clip_val": [-1, ".nan"],
    "limit_predict_batches": [-1],
    "limit_test_batches": [1.5],
    "limit_train_batches": [2.5, ".inf"],
    "limit_val_batches": [-1],
    "log_every_n_steps": [-1],
    "max_epochs": [-5],
    "max_steps": [-5],
    "min_epochs": [-1],
    "min_steps": [-1],
    "num_nodes": [0],
    "num_sanity_val_steps": [-3],
    "overfit_batches": [-1],
    "reload_dataloaders_every_n_epochs": [-1],
    "val_check_interval": [0, -1],
}

NO_NAME = {
    "accelerator": ("gpuu", "one of auto, gpu, "),
    "devices": ("two", "auto, a number from 1 on, -1 for all there are"),
    "gradient_clip_algorithm": ("nrm", "one of norm, value"),
    "profiler": ("simpel", "one of simple, advanced, pytorch"),
    "strategy": ("dpp", "one of auto, ddp, "),
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in OUT_OF_RANGE.items() for value in values]
)
def test_a_number_of_the_trainer_out_of_range_is_a_sentence(name, value, tree, tmp_path, capsys):
    said = sentence_of(capsys, [f"--trainer.{name}={value}"], tree, tmp_path)
    assert said.startswith(f"trainer.{name} is {str(value).removeprefix('.')}, wanted ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NO_NAME)
def test_a_misspelt_name_of_the_trainer_is_answered_with_those_there_are(name, tree, tmp_path, capsys):
    value, wanted = NO_NAME[name]
    said = sentence_of(capsys, [f"--trainer.{name}={value}"], tree, tmp_path)
    assert said.startswith(f"trainer.{name} is '{value}', wanted {wanted}")


def test_every_rule_has_a_test():
    assert set(RULES) == {*OUT_OF_RANGE, *NO_NAME}


@pytest.mark.parametrize(
    "option",
    [
        *(f"devices={devices}" for devices in ("auto", "-1", "2", "0,1", "[0, 1]", "3,")),
        *("max_epochs=-1", "max_steps=-1", "num_sanity_val_steps=-1", "fast_dev_run=true", "gradient_clip_val=0"),
        *("val_check_interval=00:01:00:00", "val_check_interval=0.25", "limit_train_batches=7", "limit_val_batches=0"),
        *("check_val_every_n_epoch=null", "log_every_n_steps=0", "precision=bf16-mixed", "accelerator=gpu"),
    ],
)
def test_what_lightning_has_a_meaning_for_is_left_to_it(option, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fit", "-c", "experiments/tables/base.yaml", f"--trainer.{option}", "--print_config"])
    assert ended.value.code == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("devices", ["0", "-3", "[]", "0,x"])
def test_devices_that_are_none_are_a_sentence(devices, tree, tmp_path, capsys):
    said = sentence_of(capsys, [f"--trainer.devices={devices}"], tree, tmp_path)
    assert said.startswith("trainer.devices is ")


@pytest.mark.parametrize("seed", ["-1", str(2**32)])
def test_a_seed_that_is_none_is_a_sentence(seed, tree, tmp_path, capsys):
    said = sentence_of(capsys, [f"--seed_everything={seed}"], tree, tmp_path)
    assert said == f"seed_everything is {seed}, wanted a whole number from 0 to 4294967295"


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize("seed", ["-1", "4294967296", "x"])
def test_a_seed_of_tables_that_is_none_is_a_sentence(command, seed, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "demo", "--seeds", seed])
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith(f"argument --seeds: '{seed}' is no seed, wanted a whole number from 0 to 4294967295")


def test_a_plan_refuses_what_its_rows_would(tree, capsys):
    said = sentence_of(capsys, ["plan", "demo", "--", f"--data.init_args.root={tree}", "--trainer.max_steps=-7"])
    assert said.startswith("trainer.max_steps is -7, wanted ")


@pytest.mark.parametrize(
    ("option", "key", "value", "wanted"),
    [
        ("--trainer.precision=bf16-mix", "trainer.precision", "'bf16-mix'", "bf16-mixed"),
        ("--trainer.max_epochs=many", "trainer.max_epochs", "'many'", "a whole number"),
        ("--model.init_args.decoder=unett", "decoder", "'unett'", "unetplusplus"),
        ("--model.init_args.lr=fast", "lr", "'fast'", "a number"),
        ("--model.init_args.output_stride=12", "output_stride", "12", "8, 16, 32 or null"),
        ("--data.init_args.missing=errr", "missing", "'errr'", "error or skip"),
        ("--data.init_args.size=big", "size", "'big'", "a whole number"),
        ("--seed_everything=x", "seed_everything", "'x'", "a whole number"),
        ("--seed_everything=true", "seed_everything", "'True'", "a whole number"),
    ],
)
def test_a_value_of_another_type_is_answered_with_what_is_wanted(option, key, value, wanted, tree, tmp_path, capsys):
    said = sentence_of(capsys, [option], tree, tmp_path)
    assert f"{key} is {value}, wanted " in said
    assert wanted in said.partition("wanted ")[2]
    assert "typing" not in said
    assert "<class" not in said


MONITORED = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.mode=max"]


@pytest.mark.parametrize("name", ["val/lss", "val/pixel_iou_per_frame", "val/frame_auroc/Deepfake", "test/frame_auroc"])
def test_a_metric_that_is_never_measured_is_refused_before_the_training(name, tree, tmp_path, capsys):
    said = sentence_of(capsys, [*MONITORED, f"--trainer.callbacks.monitor={name}"], tree, tmp_path)
    assert said.startswith(
        f"EarlyStopping goes by {name}, which is never measured, wanted one of train/loss, val/loss, "
    )
    assert ": did you mean val/" in said
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(
    "name", ["val/loss", "train/loss", "val/frame_auroc", "val/frame_auroc/Deepfakes", "val/pixel_iou_balanced"]
)
def test_a_metric_that_is_measured_is_gone_by(name, tree, tmp_path):
    run("fit", tree, tmp_path, *MONITORED, f"--trainer.callbacks.monitor={name}")


class Measures(Callback):
    """Measures something of its own."""

    def on_validation_epoch_end(self, trainer, pl_module):
        pl_module.log("val/own", 1.0)


def test_a_metric_that_a_callback_of_ones_own_measures_is_gone_by(tree, tmp_path):
    own = f"--trainer.callbacks+={__name__}.Measures"
    run("fit", tree, tmp_path, own, *MONITORED, "--trainer.callbacks.monitor=val/own")


def test_a_metric_that_turns_out_to_be_missing_is_a_sentence(tree, tmp_path, capsys):
    own = f"--trainer.callbacks+={__name__}.Measures"
    said = sentence_of(capsys, [own, *MONITORED, "--trainer.callbacks.monitor=val/won"], tree, tmp_path)
    assert "`val/won` which is not available" in said
    assert "`val/own`" in said


def test_more_batches_between_validations_than_an_epoch_has_are_a_sentence(tree, tmp_path, capsys):
    said = sentence_of(capsys, ["--trainer.val_check_interval=100"], tree, tmp_path)
    assert "must be less than or equal to the number of the training batches (5)" in said


@pytest.mark.parametrize("decoder", ["deeplabv3", "deeplabv3plus"])
def test_a_batch_of_one_that_cannot_be_normalised_is_a_sentence(decoder, tree, tmp_path, capsys):
    options = [f"--model.init_args.decoder={decoder}", "--data.init_args.batch_size=1"]
    said = sentence_of(capsys, options, tree, tmp_path)
    assert said.startswith(
        "a training batch has 1 frame of 64 x 64 pixels, of which a batch norm of encoder 'test_resnet'"
    )
    assert "data.init_args.batch_size 2 or more" in said


def test_no_training_batch_of_our_data_is_smaller_than_the_others(tree, tmp_path):
    whole = ["--model.init_args.decoder=deeplabv3", "--data.init_args.batch_size=19"]  # of 20 frames
    run("fit", tree, tmp_path, *whole)


def test_a_size_that_a_network_cannot_take_is_a_sentence_with_one_that_it_can(tree, tmp_path, capsys):
    options = ["--model.init_args.encoder=test_convnext", "--data.init_args.size=16"]
    said = sentence_of(capsys, options, tree, tmp_path)
    assert said.startswith("data.init_args.size is 16, but encoder 'test_convnext' with FCN takes no images of 16 x 16")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    ("name", "said"), [("gpu", "trainer.accelerator is gpu, but there is none"), ("cuda", "['cpu']")]
)
def test_a_gpu_that_is_not_there_is_a_sentence(name, said, tree, tmp_path, capsys):
    assert said in sentence_of(capsys, [f"--trainer.accelerator={name}"], tree, tmp_path)


def test_a_file_in_the_place_of_a_run_is_named(tree, tmp_path, capsys):
    (tmp_path / "run").write_text("")
    said = sentence_of(capsys, [], tree, tmp_path / "run")
    assert (
        said == f"{tmp_path / 'run'} cannot be written (File exists): move away what is in its place, or name another"
    )


def test_a_folder_that_cannot_be_made_is_named(tree, capsys):
    said = sentence_of(capsys, [], tree, "/dev/null/run")
    assert said.startswith(
        "/dev/null/run cannot be written to (Not a directory): make it writable, or take another folder"
    )


def test_a_cache_that_cannot_be_made_is_named(tree, tmp_path, capsys):
    said = sentence_of(capsys, ["--data.init_args.cache_dir=/dev/null/cache"], tree, tmp_path)
    assert said.startswith("/dev/null/cache cannot be written (Not a directory): move away what is in its place")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_folder_that_is_read_only_is_named(tree, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    for folder in (tmp_path / "run", tmp_path):
        folder.chmod(0o555)
    try:
        said = sentence_of(capsys, [], tree, tmp_path / "run")
    finally:
        tmp_path.chmod(0o755)
    assert said.startswith(f"{tmp_path / 'run'} cannot be written to (Permission denied): make it writable")


class Failing(Callback):
    """Raises what it is told before the first batch."""

    error: Exception

    def on_train_start(self, trainer, pl_module):
        raise Failing.error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "a/b"),
            "a/b cannot be written (No space left on device): make room",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "a file of {tmp_path} cannot be written (No space left on device): make room",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "a/b"),
            "a/b cannot be written (Read-only file system): give this user",
        ),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried."),
            "CUDA out of memory: take a smaller data.init_args.batch_size",
        ),
    ],
)
def test_what_the_machine_lacks_is_a_sentence(error, sentence, tree, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Failing, "error", error, raising=False)
    said = sentence_of(capsys, [f"--trainer.callbacks+={__name__}.Failing"], tree, tmp_path)
    assert said.startswith(sentence.format(tmp_path=tmp_path))


@pytest.mark.parametrize("error", [ValueError("a bug"), RuntimeError("a bug"), OSError("a bug"), KeyError("a bug")])
def test_a_bug_keeps_its_traceback(error, tree, tmp_path, monkeypatch):
    monkeypatch.setattr(Failing, "error", error, raising=False)
    with pytest.raises(type(error), match="a bug"):
        run("fit", tree, tmp_path, f"--trainer.callbacks+={__name__}.Failing")


READ = """
import typing
typing.Optional[typing.Union[{first}]]
from pytorch_lightning import Trainer
from experiments.config.parser import SentenceParser
parser = SentenceParser()
parser.add_lightning_class_args(Trainer, "trainer")
for value in ("1", "1.0", "0.5"):
    read = parser.parse_args(["--trainer.limit_val_batches=" + value]).trainer.limit_val_batches
    assert repr(read) == value, (value, read)
    read = parser.parse_object({{"trainer": {{"limit_val_batches": value}}}}).trainer.limit_val_batches
    assert repr(read) == value, (value, read)
"""


@pytest.mark.parametrize("first", ["int, float", "float, int"])
def test_a_whole_number_is_one_whatever_was_imported_before(first):
    subprocess.run([sys.executable, "-c", READ.format(first=first)], check=True)
