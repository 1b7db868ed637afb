"""Rows as jobs of a real SLURM cluster on loopback: queued, found again, requeued, and equal to rows run here."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest

from experiments.cli import main
from tests.experiments.slurm_cluster import PROGRAMS, cluster, find
from tests.experiments.test_run import ROWS, write

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(not all(map(find, PROGRAMS)), reason="wants Debian's slurm-wlm and munge"),
]

TRAINED = {name: ROWS[name].replace("max_epochs: 2", "max_epochs: 6") for name in ("_base", "a", "b")}


@pytest.fixture(scope="module")
def slurm():
    """A cluster of two nodes, to which every command of this module's tests speaks."""
    with cluster() as configuration, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(configuration))
        patch.setenv("MASTER_ADDR", "127.0.0.1")  # the nodes' names are no hosts
        yield configuration


@pytest.fixture(scope="module")
def here(tree, tmp_path_factory):
    """Tables, and the runs of a start without SLURM."""
    folder = tmp_path_factory.mktemp("here")
    write(folder / "tables", TRAINED)
    main(words("run", folder / "tables", folder / "runs", tree))
    main(["collect", str(folder / "runs")])
    return folder


def words(command, tables, runs, tree, *names, options=(), rows=()):
    what = [*(names or ["small"]), "--tables", str(tables), "--runs", str(runs)]
    return [command, *what, *options, "--", f"--data.init_args.root={tree}", "--trainer.accelerator=cpu", *rows]


@pytest.fixture
def start():
    """Starts `run --launcher slurm` in a process of its own, which does not outlive the test."""
    started = []

    def submit(*arguments, options=("--time=30 --partition all",), rows=()):
        launched = ["--launcher", "slurm", *(f"--slurm={each}" for each in options)]
        command = [sys.executable, "-m", "experiments", *words("run", *arguments, options=launched, rows=rows)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return started[-1]

    yield submit
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def planned(tables, runs, tree, capsys):
    """States by row."""
    main(words("plan", tables, runs, tree, options=["--launcher", "slurm"]))
    lines = re.findall(r"^  (\w+) +(\w+)", capsys.readouterr().out, flags=re.MULTILINE)
    return dict(lines)


def queue():
    """Numbers of jobs that are queued or running, by the beginning of their names."""
    command = ["squeue", "--noheader", "--format=%j|%A|%T"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return {line.partition("-seed0")[0]: line.split("|")[1:] for line in lines}


def until(condition, process=None, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        assert process is None or process.poll() is None, process.stdout.read()
        time.sleep(0.1)


def test_jobs_killed_requeued_and_found_again_give_the_table_of_rows_run_here(
    here, slurm, start, tree, tmp_path, capsys
):
    tables, runs = here / "tables", tmp_path / "runs"
    a, b = (runs / "small" / name / "seed0" for name in ("a", "b"))
    first = start(tables, runs, tree)
    until(lambda: all(list((row / "slurm").glob("*_submitted.pkl")) for row in (a, b)), first)
    jobs = {name: number for name, (number, _) in queue().items()}
    assert queue()["small/b"][1] == "PENDING"  # until a has ended
    first.kill()  # whoever submitted is gone, the jobs are not
    first.wait()
    wait_for_checkpoint(a)
    subprocess.run(["scontrol", "requeue", jobs["small/a"]], check=True)
    at_once("small/a")
    states = planned(tables, runs, tree, capsys)
    assert states in ({"a": "queued", "b": "queued"}, {"a": "running", "b": "queued"})
    second = start(tables, runs, tree)
    wait_for_checkpoint(b, seconds=300)
    assert queue()["small/b"][0] == jobs["small/b"]
    subprocess.run(["scancel", "--signal=USR2", jobs["small/b"]], check=True)  # as SLURM does before the time is over
    at_once("small/b")
    output, _ = second.communicate(timeout=400)
    assert second.returncode == 0, output
    for row in (a, b):
        log = (row / "log.txt").read_text()
        assert log.count("== started ") == 2, log
        assert f"{row}: going on from last.ckpt" in log
        assert len(list((row / "slurm").glob("*_submitted.pkl"))) == 1
    main(["collect", str(runs)])
    assert (runs / "results.csv").read_bytes() == (here / "runs" / "results.csv").read_bytes()
    assert planned(tables, runs, tree, capsys) == {"a": "done", "b": "done"}


def at_once(name):
    """Takes from a requeued job the two minutes that SLURM has it wait."""
    until(lambda: queue()[name][1] == "PENDING")
    subprocess.run(["scontrol", "update", f"JobId={queue()[name][0]}", "StartTime=now"], check=True)


def wait_for_checkpoint(folder, seconds=300):
    until((folder / "checkpoints" / "last.ckpt").is_file, seconds=seconds)


def test_a_row_spans_nodes_and_devices(slurm, start, here, tree, tmp_path):
    options = ["--trainer.num_nodes=2", "--trainer.devices=2", "--trainer.max_epochs=1"]
    process = start(here / "tables", tmp_path / "runs", tree, "small/a", rows=options)
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output
    noted = json.loads((tmp_path / "runs" / "small" / "a" / "seed0" / "provenance.json").read_text())
    assert [noted[stage]["processes"] for stage in ("fit", "test", "test-few")] == [4, 4, 4]
    assert noted["test_evaluations"] == {"test": 1, "few": 1}


def test_a_job_that_fails_is_said_and_so_is_who_needs_it(slurm, start, here, tree, tmp_path):
    write(tmp_path / "tables", {**TRAINED, "a": "data: {init_args: {methods: [FaceShifter]}}"})
    process = start(tmp_path / "tables", tmp_path / "runs", tree, "small/a", "small/b")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 1, output
    said = output.splitlines()
    assert any(line.startswith("  small/a seed0: ") and "has no c23 videos of FaceShifter" in line for line in said)
    assert "  small/b seed0: not begun, for it needs small/a seed0, which failed" in said


def test_other_options_than_those_of_a_queued_job_are_refused(slurm, start, here, tree, tmp_path):
    tables, runs = here / "tables", tmp_path / "runs"
    first = start(tables, runs, tree, "small/a", options=["--hold"])
    until(lambda: "small/a" in queue(), first)
    number = queue()["small/a"][0]
    first.send_signal(signal.SIGINT)
    output, _ = first.communicate(timeout=60)
    assert first.returncode == 130
    assert "jobs that are queued or running go on, scancel ends them" in output
    second = start(tables, runs, tree, "small/a", options=["--hold"], rows=["--model.init_args.lr=0.01"])
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 2
    assert f"small/a seed0 is queued as job {number} with other options" in output
    subprocess.run(["scancel", "--me"], check=True)


def test_what_sbatch_refuses_is_said(slurm, start, here, tree, tmp_path):
    process = start(here / "tables", tmp_path, tree, "small/a", options=["--partition=x"])
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "error: sbatch does not take small/a seed0: " in output
    assert "invalid partition specified: x" in output
