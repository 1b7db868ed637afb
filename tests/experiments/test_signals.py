"""Commands that are told to end say so by their status, and nothing outlives who started it."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import ClassVar

import pytest
from pytorch_lightning import Callback

from experiments.cli import main
from experiments.launch.local import Local
from experiments.launch.steps import Step, carry_out
from experiments.signals import listen_to_signals
from tests.experiments.test_cli import run


class Told(Callback):
    """Sends this process a signal in a hook, once."""

    what: ClassVar[list[tuple[str, int]]] = []
    ended: ClassVar[list[str]] = []

    def _tell(self, hook):
        if Told.what and Told.what[0][0] == hook:
            os.kill(os.getpid(), Told.what.pop()[1])

    def setup(self, *given, **named):
        self._tell("setup")

    def on_train_batch_start(self, trainer, module, batch, number):
        self._tell("train")

    def on_train_batch_end(self, *given, **named):
        Told.ended.append("train")

    def on_validation_batch_start(self, *given, **named):
        self._tell("validate")

    def on_train_end(self, *given, **named):
        self._tell("train end")

    def on_test_batch_start(self, *given, **named):
        self._tell("test")

    def on_test_batch_end(self, *given, **named):
        Told.ended.append("test")

    def on_predict_batch_start(self, *given, **named):
        self._tell("predict")


@pytest.fixture(autouse=True)
def seed_of_this_test_alone(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")


@pytest.fixture(scope="module")
def trained(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("signals") / "seed0"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", "0")
        run("fit", tree, folder)
    return folder


def tell(monkeypatch, hook, number, command, tree, folder, *options):
    """The status of a command that gets a signal in a hook."""
    monkeypatch.setattr(Told, "what", [(hook, number)])
    monkeypatch.setattr(Told, "ended", [])
    with pytest.raises(SystemExit) as ended:
        run(command, tree, folder, "--trainer.callbacks+=tests.experiments.test_signals.Told", *options)
    assert not Told.what
    return ended.value.code


@pytest.mark.parametrize(
    ("hook", "number", "status"),
    [
        ("setup", signal.SIGTERM, 143),
        ("train", signal.SIGTERM, 143),
        ("train", signal.SIGHUP, 129),
        ("validate", signal.SIGTERM, 143),
        ("train end", signal.SIGTERM, 143),
    ],
)
def test_a_training_that_is_told_to_end_says_so(tree, tmp_path, monkeypatch, hook, number, status):
    assert tell(monkeypatch, hook, number, "fit", tree, tmp_path / "seed0") == status
    assert Told.ended == {"setup": [], "validate": [], "train": ["train"]}.get(
        hook, ["train"] * 5
    )  # it completes its batch
    assert signal.getsignal(number) is signal.SIG_DFL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", ["test", "predict"])
def test_a_test_that_is_told_to_end_says_so_and_leaves_no_metrics(
    tree, trained, tmp_path, monkeypatch, command, number
):
    folder = shutil.copytree(trained, tmp_path / "seed0")
    status = tell(monkeypatch, command, number, command, tree, folder)
    assert status == 128 + number
    assert Told.ended == ["test"] * (command == "test")
    assert not (folder / "metrics.json").exists()
    assert not (folder / "predictions" / "predictions.csv").exists()


def test_a_row_that_is_told_to_end_in_its_training_is_not_tested(tree, tmp_path, monkeypatch):
    assert tell(monkeypatch, "train end", signal.SIGTERM, "row", tree, tmp_path / "seed0") == 143
    assert not (tmp_path / "seed0" / "metrics.json").exists()


def test_what_is_ignored_stays_ignored_as_under_nohup(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with listen_to_signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_what_is_at_work(tmp_path, number, status):
    begun = tmp_path / "begun"

    def interrupt():
        while not begun.exists():
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt, daemon=True).start()
    code = f"import pathlib, time; pathlib.Path({str(begun)!r}).write_text('x'); time.sleep(60)"
    process = [sys.executable, "-c", code]
    started = time.monotonic()
    with listen_to_signals(), pytest.raises(SystemExit) as ended:
        carry_out([Step("a", (), lambda: process, lambda: "", tmp_path / "a.txt")], Local())
    assert ended.value.code == status
    assert time.monotonic() - started < 30


def test_ctrl_c_is_status_130_without_a_traceback(tmp_path, monkeypatch, capsys):
    def interrupt(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("experiments.report.collect.collect", interrupt)
    with pytest.raises(SystemExit) as ended:
        main(["collect"])
    assert ended.value.code == 130


STARTS = """
import sys
from experiments.launch.local import Local
from experiments.launch.steps import Step, carry_out
from pathlib import Path
child = [sys.executable, "-c", {code!r}]
carry_out([Step("a", (), lambda: child, lambda: "", Path({log!r}))], Local())
"""
WAITS = """
import os, pathlib, sys, time
from experiments.signals import end_with_starter, listen_to_signals
with listen_to_signals():
    end_with_starter()
    part = pathlib.Path({begun!r} + ".part")
    part.write_text(str(os.getpid()))
    part.rename({begun!r})
    time.sleep(300)
"""


def test_what_a_killed_launcher_has_started_ends(tmp_path):
    begun = tmp_path / "begun"
    script = STARTS.format(code=WAITS.format(begun=str(begun)), log=str(tmp_path / "log.txt"))
    launcher = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    until = time.monotonic() + 120
    while not begun.exists() and time.monotonic() < until:
        time.sleep(0.05)
    child = int(begun.read_text())
    launcher.kill()
    launcher.wait()
    until = time.monotonic() + 20
    while alive(child) and time.monotonic() < until:
        time.sleep(0.1)
    assert not alive(child)


def alive(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{number}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"
