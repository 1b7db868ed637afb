"""A row that starts from another row's run says so, finds it, or says what is missing."""

import json

import pytest
import torch
import yaml

from experiments.cli import main
from experiments.config.hashes import config_hash, differing_keys
from experiments.runs.folder import RunFolder

ROW = ["-c", "experiments/tables/base.yaml", "-c", "experiments/tables/demo/segmentation.yaml"]
SMALL = [
    "--model.init_args.encoder=test_resnet",
    "--model.init_args.decoder=fcn",
    "--data.init_args.size=64",
    "--data.init_args.frames_per_clip=2",
    "--data.init_args.eval_frames_per_clip=2",
    "--data.init_args.batch_size=4",
    "--data.init_args.num_workers=0",
    "--trainer.max_epochs=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]


@pytest.fixture(autouse=True)
def seed_of_this_test_alone(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")


def run(command, tree, folder, *options):
    main([command, *ROW, f"--data.init_args.root={tree}", f"--trainer.default_root_dir={folder}", *SMALL, *options])


@pytest.fixture(scope="module")
def runs(tree, tmp_path_factory):
    """A folder of runs that holds table-9/first, trained and tested in one start."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", "0")
        run("row", tree, folder / "table-9" / "first" / "seed0")
    return folder


def refused(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        run(*words)
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_row_trains_and_tests_in_one_start(runs):
    folder = RunFolder(runs / "table-9/first/seed0")
    assert folder.is_trained
    assert folder.metrics(None).is_file()
    assert folder.read_provenance("test")["config"] == folder.read_provenance("fit")["config"]


def test_an_encoder_starts_from_the_row_named_and_the_run_says_from_which_training(runs, tree):
    second = runs / "table-9/second/seed0"
    run("fit", tree, second, "--encoder_from=table-9/first", "--model.init_args.frozen_epochs=all")
    run("test", tree, second, "--encoder_from=table-9/first", "--model.init_args.frozen_epochs=all")
    first = RunFolder(runs / "table-9/first/seed0")
    known = yaml.safe_load((second / "config.yaml").read_text())
    assert known["encoder_from"] == f"table-9/first@{first.key}"
    assert known["model"]["init_args"]["encoder_checkpoint"] is None
    ours, theirs = (torch.load(RunFolder(path).best, weights_only=True)["state_dict"] for path in (second, first.path))
    frozen = [key for key in theirs if key.startswith("network.encoder.backbone")]
    assert frozen
    assert all(torch.equal(ours[key], theirs[key]) for key in frozen)
    assert not all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_checkpoint_is_validated_anew_and_kept_with_what_that_chose(runs, tree):
    third = runs / "table-9/third/seed0"
    run("row", tree, third, "--checkpoint_from=table-9/first", "--model.init_args.decision=max")
    ours, theirs = (
        torch.load(RunFolder(path).best, weights_only=True) for path in (third, runs / "table-9/first/seed0")
    )
    assert all(torch.equal(ours["state_dict"][key], value) for key, value in theirs["state_dict"].items())
    assert "optimizer_states" not in ours
    assert ours["hyper_parameters"]["decision"] == "max"
    noted = json.loads((third / "provenance.json").read_text())
    assert noted["test"]["operating_point"] == ours["operating_point"]
    assert ours["operating_point"]["decision"] == "max"
    assert ours["operating_point"]["pixel_threshold"] == theirs["operating_point"]["pixel_threshold"]
    assert noted["fit"]["epochs"] == 0


def test_a_run_that_is_missing_is_a_sentence(runs, tree, capsys):
    said = refused(capsys, "fit", tree, runs / "table-9/fourth/seed0", "--encoder_from=table-9/nobody")
    assert said == (
        f"error: encoder_from is table-9/nobody, but {runs}/table-9/nobody/seed0 holds no run trained to its end: "
        "train that row first, or let `python -m experiments run` (make train EXP=...) train both"
    )
    assert not (runs / "table-9/fourth/seed0/config.yaml").exists()


def test_another_seed_needs_the_run_of_that_seed(runs, tree, capsys):
    options = ["--encoder_from=table-9/first", "--seed_everything=1"]
    assert "table-9/first/seed1 holds no run" in refused(capsys, "fit", tree, runs / "table-9/fourth/seed1", *options)


def test_another_training_than_the_one_named_is_refused(runs, tree, capsys):
    said = refused(capsys, "fit", tree, runs / "table-9/fifth/seed0", "--encoder_from=table-9/first@0123")
    assert "encoder_from is table-9/first@0123, but the run in" in said


def test_a_checkpoint_of_another_network_is_refused(runs, tree, capsys):
    options = ["--checkpoint_from=table-9/first", "--model.init_args.frame_head=true"]
    said = refused(capsys, "fit", tree, runs / "table-9/sixth/seed0", *options)
    assert "model.init_args.frame_head is True, but checkpoint_from: table-9/first was trained with False" in said


@pytest.mark.parametrize(
    "options",
    [
        ["--encoder_from=table-9/first", "--checkpoint_from=table-9/first"],
        ["--encoder_from=table-9/first", "--model.init_args.encoder_checkpoint=x.ckpt"],
    ],
)
def test_two_things_to_start_from_are_refused(runs, tree, capsys, options):
    assert "a run can start from one of them only" in refused(capsys, "fit", tree, runs / "table-9/x/seed0", *options)


def test_only_the_training_counts_not_the_row_it_is_named_after():
    one, other, third = ({"encoder_from": name} for name in ("table-1/a@12", "table-2/b@12", "table-1/a@34"))
    assert config_hash(one) == config_hash(other) != config_hash(third)
    assert differing_keys(one, other) == []
    assert differing_keys(one, third) == ["encoder_from"]


def test_settings_that_are_null_do_not_shape_a_run():
    assert config_hash({"model": {"lr": 0.1, "new": None}}) == config_hash({"model": {"lr": 0.1}})
