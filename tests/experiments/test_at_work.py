"""One process at a time writes into a run's folder; who waits looks at it anew."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
import time

import pytest

from experiments.cli import main
from experiments.runs.folder import RunFolder
from experiments.runs.folder_lock import AtWorkError, hold_folder
from tests.experiments.test_cli import run

HOLDS = """
import sys, time
from pathlib import Path
from datamodules.parallel.pool import lock_file
with lock_file(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def seed_of_this_test_alone(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")


@pytest.fixture
def held(tmp_path):
    """A folder that another process is at work at, and that process; closing its input ends it."""
    folder = RunFolder(tmp_path / "runs" / "demo" / "segmentation" / "seed0")
    command = [sys.executable, "-c", HOLDS, str(folder.lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        yield folder, other
        other.stdin.close()


def test_a_second_training_waits_and_then_sees_what_the_first_has_left(tree, held, monkeypatch, capsys):
    folder, other = held

    def end():
        while "waiting for" not in "".join(said):
            time.sleep(0.05)
            said.append(capsys.readouterr().err)
        folder.keep_config(begun)
        folder.best.parent.mkdir(parents=True)
        folder.last.touch()
        other.stdin.close()

    said, begun = [], {"model": {"lr": 1}, "data": {}, "trainer": {}}
    ending = threading.Thread(target=end, daemon=True)
    ending.start()
    with pytest.raises(SystemExit) as ended:
        run("fit", tree, folder.path)
    ending.join()
    said.append(capsys.readouterr().err)
    assert ended.value.code == 2
    assert f"waiting for process {other.pid} on " in "".join(said)
    assert "was written for another configuration" in "".join(said)
    assert folder.read_config() == begun  # the one that the weights are of


def test_processes_that_were_started_together_are_refused_at_once(tree, held, monkeypatch, capsys):
    folder, other = held
    monkeypatch.setenv("SLURM_NTASKS", "2")
    with pytest.raises(SystemExit) as ended:
        run("test", tree, folder.path)
    assert ended.value.code == 2
    assert f"process {other.pid} on " in capsys.readouterr().err


@pytest.mark.parametrize("spelt", ["absolute", "relative", "link", "dots"])
def test_a_folder_is_held_however_it_is_spelt(held, monkeypatch, spelt):
    folder, _ = held
    folder.path.mkdir(parents=True)
    monkeypatch.chdir(folder.path.parent)
    (folder.path.parent / "link").symlink_to("seed0")
    other = {"absolute": str(folder.path), "relative": "seed0", "link": "link", "dots": "../segmentation/seed0/"}[spelt]
    with (
        pytest.raises(AtWorkError, match="is at work at"),
        hold_folder(RunFolder(type(folder.path)(other)), wait=False),
    ):
        pass


def test_the_working_directory_itself_can_be_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with hold_folder(RunFolder(type(tmp_path)())):
        assert (tmp_path.parent / f".{tmp_path.name}.lock").is_file()


def test_what_this_process_holds_it_may_hold_again(tmp_path):
    folder = RunFolder(tmp_path / "seed0")
    with hold_folder(folder), hold_folder(folder), folder.lock.open() as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert file.read().startswith(f"process {os.getpid()} on ")
    with folder.lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_where_nobody_may_write_beside_the_folder_the_lock_lies_in_it(tmp_path):
    folder = RunFolder(tmp_path / "seed0")
    folder.lock.mkdir()  # so that it cannot be opened
    with hold_folder(folder):
        assert (folder.path / ".lock").is_file()
    (folder.path / ".lock").unlink()
    (folder.path / ".lock").mkdir()
    with pytest.raises(OSError, match=r"cannot be written to .*: make it writable, or take another folder"):
        with hold_folder(folder):
            pass


def test_run_moves_no_folder_away_from_under_a_training(held, tmp_path, capsys):
    folder, _ = held
    tables = tmp_path / "tables"
    (tables / "demo").mkdir(parents=True)
    for name in ("base.yaml", "demo/segmentation.yaml"):
        shutil.copy(f"experiments/tables/{name}", tables / name)
    folder.keep_config({"model": {"lr": 1}, "data": {}, "trainer": {}})
    folder.note("fit", {"epochs": 1})
    where = ["--tables", str(tables), "--runs", str(tmp_path / "runs")]
    with pytest.raises(SystemExit) as ended:
        main(["run", "demo/segmentation", *where, "--", "--data.init_args.root=nowhere"])
    assert ended.value.code == 2
    assert f"is at work at {folder.path}" in capsys.readouterr().err
    assert json.loads(folder.provenance.read_text())["fit"] == {"epochs": 1}
