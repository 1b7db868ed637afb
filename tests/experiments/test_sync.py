"""Offline folders are sent in the order in which they were made, each once, by W&B's own client to a local server."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from experiments.tracking import sync
from experiments.tracking.offline import files_of, id_of, is_complete

LOG = """
import sys, wandb
folder, run_id, first, last = sys.argv[1:]
run = wandb.init(project="p", id=run_id, dir=folder, resume="allow",
                 settings=wandb.Settings(silent=True, x_disable_stats=True))
for step in range(int(first), int(last)):
    run.log({"loss": float(step), "_": "x" * 20000}, step=step)  # so long that records cross blocks
run.summary[f"from {first}"] = 1
run.config[f"key{first}"] = first
run.finish()
"""

LOG_AND_WAIT = """
import sys, time
from experiments.tracking.logger import ResumableWandbLogger
logger = ResumableWandbLogger(save_dir=sys.argv[1], id=sys.argv[2])
for step in range(5):
    logger.log_metrics({"loss": float(step), "_": "x" * 20000}, step)
print("logged", flush=True)
time.sleep(99)
"""


def logging_offline(script, *words):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    environment["WANDB_MODE"] = "offline"
    command = [sys.executable, "-c", script, *map(str, words)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folders of two runs: a, b, and a again, each in its own second."""
    folder = tmp_path_factory.mktemp("runs")
    for run_id, first, last in (("aaaa", 0, 4), ("bbbb", 0, 3), ("aaaa", 4, 7)):
        with logging_offline(LOG, folder / run_id, run_id, first, last) as process:
            assert process.wait(timeout=60) == 0
        time.sleep(1.1)
    return folder


@pytest.fixture
def offline(made, tmp_path):
    return shutil.copytree(made, tmp_path / "runs", symlinks=True)


def test_folders_of_a_run_become_one_run_in_their_order_and_none_is_sent_twice(offline, server, capsys):
    order = [(id_of(file), file) for file in sync.list_waiting(offline)]
    assert [run_id for run_id, _ in order] == ["aaaa", "bbbb", "aaaa"]
    assert sync.main([str(offline)]) == 0
    assert [row["_step"] for row in server.history["aaaa"]] == list(range(7))
    assert [row["loss"] for row in server.history["bbbb"]] == [0, 1, 2]
    assert "from 4" in server.summary["aaaa"]  # and not "from 0": see ResumableWandbLogger
    assert {"key0", "key4"} <= server.config["aaaa"].keys()
    assert "sent 3 of 3 folders" in capsys.readouterr().out
    assert sync.list_waiting(offline) == []
    assert sync.main([str(offline)]) == 0
    assert len(server.history["aaaa"]) == 7


def test_a_failure_is_named_the_others_are_sent_and_later_folders_of_its_run_wait(offline, server, capsys):
    first, _, later = files_of(offline)
    whole = first.read_bytes()
    first.write_bytes(b"no such file" * 100)
    assert sync.main([str(offline)]) == 1
    printed = capsys.readouterr().out
    assert "sent 1 of 3 folders" in printed
    assert f"not sent: {first.parent}: " in printed
    assert f"not sent: {later.parent}: waits for the folder of the same run before it" in printed
    assert len(server.history["bbbb"]) == 3
    assert not server.history["aaaa"]
    first.write_bytes(whole)
    assert sync.main([str(offline)]) == 0
    assert [row["_step"] for row in server.history["aaaa"]] == list(range(7))
    assert len(server.history["bbbb"]) == 3


def test_a_run_that_is_still_logged_is_left_and_one_that_was_killed_is_sent(tmp_path, server, capsys):
    with logging_offline(LOG_AND_WAIT, tmp_path, "cccc") as process:
        try:
            assert "logged\n" in process.stdout
            assert sync.main([str(tmp_path)]) == 1
        finally:
            process.kill()
    assert "its run is still going on" in capsys.readouterr().out
    (file,) = files_of(tmp_path)
    assert not is_complete(file)
    assert sync.main([str(tmp_path)]) == 0
    sent = [row["_step"] for row in server.history["cccc"]]
    assert sent == list(range(len(sent)))
    assert sent  # the end of what was logged is lost with W&B's process


def test_what_was_killed_before_anything_was_written_holds_nothing_up(offline, server, capsys):
    first, *_ = files_of(offline)
    for begun in (b"", first.read_bytes()[:7], first.read_bytes()[:40]):
        first.write_bytes(begun)
        assert sync.main([str(offline)]) == 0
        printed = capsys.readouterr().out
        assert f"{first.parent} is empty: its process was killed before W&B wrote anything" in printed
        first.with_suffix(".wandb.synced").unlink()
    assert [row["_step"] for row in server.history["aaaa"]] == [4, 5, 6]


def test_without_a_key_it_is_one_sentence(offline, monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert sync.main([str(offline)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert "no key for W&B (wandb login): 3 folders" in errors[0]


def test_nothing_to_send_is_said(tmp_path, capsys):
    assert sync.main([str(tmp_path)]) == 0
    assert "holds no offline run" in capsys.readouterr().out
