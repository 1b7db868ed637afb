"""Steps wait for one another, fail alone, and end when they are told to."""

import os
import signal
import sys
import threading
import time

import pytest

from experiments.launch.local import Local
from experiments.launch.steps import Step, carry_out, last_sentence, progress


@pytest.fixture
def step(tmp_path):
    def make(name, script="pass", after=(), nothing=False, lacking=""):
        log = tmp_path / f"{name}.txt"
        code = f"import pathlib, sys, time; {script}; pathlib.Path({str(tmp_path / name)!r}).touch()"
        command = None if nothing else [sys.executable, "-c", code]
        return Step(name, tuple(after), lambda: command, lambda: lacking, log)

    return make


def test_what_is_needed_comes_first_and_what_is_done_starts_nothing(step, tmp_path):
    waits = f"assert pathlib.Path({str(tmp_path / 'b')!r}).exists()"
    assert carry_out([step("a", waits, after="b"), step("b"), step("c", nothing=True)], Local(), 2) == {}
    assert (tmp_path / "a").exists()
    assert not (tmp_path / "c").exists()


def test_a_failed_step_stops_only_those_that_need_it(step, tmp_path, capsys):
    fails = "print('error: the disk is full', file=sys.stderr); sys.exit(2)"
    steps = [step("a", fails), step("b", after="a"), step("c", after="b"), step("d")]
    assert carry_out(steps, Local()) == {
        "a": "the disk is full",
        "b": "not begun, for it needs a, which failed",
        "c": "not begun, for it needs b, which failed",
    }
    assert (tmp_path / "d").exists()
    assert "failed   a: the disk is full" in capsys.readouterr().out


def test_a_step_that_waits_for_nobody_is_refused(step):
    with pytest.raises(ValueError, match=r"steps wait for \['b'\], which are none of them"):
        carry_out([step("a", after="b")], Local())


def test_a_step_that_ends_without_a_result_has_failed(step):
    assert carry_out([step("a", lacking="ended, but is missing")], Local()) == {"a": "ended, but is missing"}


def test_a_killed_step_is_named(step):
    failed = carry_out([step("a", "import os; os.kill(os.getpid(), 9)")], Local())
    assert failed == {"a": "ended with status -9"}


def test_a_log_keeps_earlier_starts_and_tells_of_the_newest(step):
    assert carry_out([step("a", "sys.exit('error: the disk is full')")], Local()) == {"a": "the disk is full"}
    one = step("a", "import os; print('again', flush=True); os.kill(os.getpid(), 9)")
    assert carry_out([one], Local()) == {"a": "again"}
    assert one.log.read_text().count("== started ") == 2
    assert "the disk is full" in one.log.read_text()


def test_as_many_are_at_work_as_asked_for(step, tmp_path):
    started = time.monotonic()
    both = (
        "other = pathlib.Path({!r}); [time.sleep(0.1) for _ in range(300) if not other.exists()]; assert other.exists()"
    )
    marks = [tmp_path / "at-a", tmp_path / "at-b"]
    scripts = [f"pathlib.Path({str(own)!r}).touch(); {both.format(str(other))}" for own, other in (marks, marks[::-1])]
    assert carry_out([step("a", scripts[0]), step("b", scripts[1])], Local(), 2) == {}
    assert time.monotonic() - started < 30


def test_ctrl_c_ends_what_is_at_work(step, tmp_path):
    def interrupt():
        while not (tmp_path / "begun").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    script = f"pathlib.Path({str(tmp_path / 'begun')!r}).touch(); time.sleep(60)"
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        carry_out([step("a", script), step("b")], Local())
    assert time.monotonic() - started < 30
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


def test_the_end_of_a_log_says_how_far_it_is_and_what_went_wrong(tmp_path):
    log = tmp_path / "log.txt"
    assert (last_sentence(log), progress(log)) == ("", "")
    log.write_text("Epoch 0:  10%|#   | 1/9\rEpoch 0:  45%|##  | 4/9\nerror: no face\n\nbye\n")
    assert progress(log) == "Epoch 0:  45%"
    assert last_sentence(log) == "no face"


class Queueing(Local):
    """Starts commands before what they wait for has ended; such a one waits by itself."""

    queues = True

    def __init__(self):
        super().__init__()
        self.waits = {}

    def start(self, name, command, log, resources, after):
        self.waits[name] = [process.exit_status() for process in after]
        return super().start(name, command, log, resources, after)


def test_a_launcher_that_queues_gets_steps_before_what_they_wait_for_has_ended(step, tmp_path):
    waits = f"[time.sleep(0.1) for _ in range(300) if not pathlib.Path({str(tmp_path / 'a')!r}).exists()]"
    launcher = Queueing()
    b, c = (step(name, waits, after="a") for name in ("b", "c"))
    assert carry_out([step("a", "time.sleep(3)"), b._replace(early=True), c], launcher, 3) == {}
    assert launcher.waits == {"a": [], "b": [None], "c": []}  # c's command is not known before


def test_what_was_queued_behind_a_failed_step_is_said_to_need_it(step):
    steps = [step("a", "time.sleep(2); sys.exit('error: no')"), step("b", "time.sleep(4); sys.exit(1)", after="a")]
    failed = carry_out([steps[0], steps[1]._replace(early=True)], Queueing(), 2)
    assert failed == {"a": "no", "b": "not begun, for it needs a, which failed"}
