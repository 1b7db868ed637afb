"""A table is written as a sweep, whose commands are those that W&B's agent makes of it."""

import itertools
import os
import subprocess

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from experiments.tracking.sweep import main
from tests.experiments.test_tables import ROWS

TABLE = [str(row) for row in ROWS if row.table == "table-1"]


@pytest.fixture
def sweep(tmp_path):
    assert main(["table-1", "--seeds", "0", "1", "--out", str(tmp_path / "sweep.yaml")]) == 0
    return yaml.safe_load((tmp_path / "sweep.yaml").read_text())


def words_of(sweep, **chosen):
    """What an agent runs once the server has chosen parameters."""
    arguments = create_sweep_command_args({"args": {name: {"value": value} for name, value in chosen.items()}})
    words = []
    for word in create_sweep_command(sweep["command"]):
        words += arguments[word[2:-1]] if word.startswith("${") else [word]
    return words


def test_a_sweep_is_a_grid_of_every_row_and_seed(sweep):
    assert sweep["method"] == "grid"
    values = [sweep["parameters"][name]["values"] for name in ("row", "seed")]
    assert list(itertools.product(*values)) == list(itertools.product(TABLE, [0, 1]))
    assert sweep["project"] == "pixel-forensics"


def test_an_agent_runs_the_row_with_its_seed_and_the_machine_s_own_data(sweep):
    words = words_of(sweep, row="table-1/resnet50-fpn", seed=1)
    assert words == ["make", "--no-print-directory", "sweep-row", "row=table-1/resnet50-fpn", "seed=1"]
    told = subprocess.run(
        [*words, "--dry-run"], env={**os.environ, "DATA": "/data/FF++", "DEVICES": "8"}, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    runs = [line for line in told.stdout.splitlines() if "-m experiments" in line]
    assert runs
    for said in ("table-1/resnet50-fpn", "--seeds 1", "/data/FF++", "--trainer.devices 8"):
        assert all(said in line for line in runs)


def test_what_is_no_row_is_not_in_a_sweep(tmp_path):
    assert main(["ablation-pretraining", "--out", str(tmp_path / "sweep.yaml")]) == 0
    rows = yaml.safe_load((tmp_path / "sweep.yaml").read_text())["parameters"]["row"]["values"]
    assert rows == [f"ablation-pretraining/{name}" for name in ("imagenet", "scratch", "self-blended")]


def test_what_to_do_next_is_said(tmp_path, capsys):
    main(["demo", "--out", str(tmp_path / "sweep.yaml")])
    printed = capsys.readouterr().out
    assert "3 runs" in printed
    assert f"wandb sweep {tmp_path / 'sweep.yaml'}" in printed
    assert "wandb agent" in printed


def test_a_table_that_is_not_there_is_a_sentence(tmp_path, capsys):
    assert main(["table1", "--out", str(tmp_path / "sweep.yaml")]) == 2
    assert "did you mean 'table-1'?" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
