"""What a job asks a cluster for, and what is said where there is none; needs no cluster."""

import sys

import pytest

from experiments.cli import main
from experiments.launch.launcher import Resources
from experiments.launch.slurm import job_options, sbatch_options
from experiments.launch.slurm_queue import job_name


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {}),
        ("--partition=gpu --time 4:00:00", {"partition": "gpu", "time": "4:00:00"}),
        ("--exclusive --cpus-per-task=8", {"exclusive": True, "cpus_per_task": "8"}),
        ("--comment='two words'", {"comment": "two words"}),
    ],
)
def test_options_of_sbatch_are_passed_on(text, options):
    assert sbatch_options(text) == options


@pytest.mark.parametrize("text", ["-p gpu", "gpu", "--partition gpu x"])
def test_what_is_no_long_option_is_refused(text):
    with pytest.raises(ValueError, match="is no long option of sbatch"):
        sbatch_options(text)


def test_a_job_asks_for_a_core_a_process_and_a_gpu_a_device():
    asked = job_options(Resources(devices=8, nodes=4, gpus=True, workers=2), [], {})
    assert asked == {"time": "24:00:00", "requeue": True, "cpus_per_task": 3, "gpus_per_node": 8}


def test_options_given_by_hand_go_before_what_would_be_chosen():
    options = {"time": "60", "cpus_per_task": "8", "gres": "gpu:a100:2"}
    asked = job_options(Resources(devices=2, gpus=True), [], options)
    assert asked == {**options, "requeue": True}


def test_a_job_waits_for_others_and_ends_where_they_fail():
    asked = job_options(Resources(), ["7", "9"], {})
    assert asked["dependency"] == "afterok:7:9"
    assert asked["kill_on_invalid_dep"] == "yes"


def test_a_job_is_named_by_its_step_and_where_it_writes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "runs" / "table-1" / "a" / "seed0" / "log.txt"
    name = job_name("table-1/a seed0", log)
    assert name.startswith("table-1/a-seed0-")
    assert name == job_name("table-1/a seed0", log.relative_to(tmp_path))
    assert name != job_name("table-1/a seed0", tmp_path / "quick" / log.relative_to(tmp_path))
    assert not set(" .|") & set(name)


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_machine_without_slurm_is_said_to_be_one(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit):
        main([command, "demo/segmentation", "--runs", str(tmp_path / "runs"), "--launcher", "slurm"])
    assert "error: --launcher slurm needs sbatch, which is not on PATH" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_missing_package_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(SystemExit):
        main(["run", "demo/segmentation", "--runs", str(tmp_path), "--launcher", "slurm"])
    assert "error: --launcher slurm needs submitit, which is not installed: pip install '.[slurm]'" in (
        capsys.readouterr().err
    )
