"""Processes are real; their work is an expression, because `eval` is where every process can import it."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from datamodules.parallel.pool import lock_file, run_parallel

PID = "__import__('os').getpid()"
SLEEP = "__import__('time').sleep(60)"


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_every_item_is_worked_on_once():
    assert sorted(run_parallel(abs, range(-20, 0), workers=3)) == list(range(1, 21))


def test_alone_the_results_keep_the_order_and_come_one_at_a_time():
    results = run_parallel(int, ["3", "1", "2", "x"], workers=1)
    assert [next(results) for _ in range(3)] == [3, 1, 2]
    with pytest.raises(ValueError, match="invalid literal"):
        next(results)


@pytest.mark.parametrize("items", [[], [PID]], ids=["nothing", "one item"])
def test_little_work_starts_no_process(items):
    assert list(run_parallel(eval, items)) == [os.getpid()] * len(items)


def test_processes_have_one_thread_and_neither_torch_nor_lightning():
    facts = (
        f"({PID}, cv2.getNumThreads(), *[name in __import__('sys').modules for name in ('torch', 'pytorch_lightning')])"
    )
    found = list(run_parallel(eval, [facts] * 4, workers=2))
    assert os.getpid() not in {fact[0] for fact in found}
    assert {fact[1:] for fact in found} == {(1, False, False)}


@pytest.mark.parametrize(("work", "item", "error"), [(int, "x", ValueError), (open, "gone", FileNotFoundError)])
def test_an_error_keeps_its_type_and_notes_where_it_arose(tmp_path, monkeypatch, work, item, error):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as caught:
        list(run_parallel(work, [item] * 2, workers=2))
    assert "In a process of its own:\nTraceback" in caught.value.__notes__[0]


def test_a_killed_process_is_a_sentence():
    with pytest.raises(ChildProcessError, match="ended from outside, perhaps for want of memory: start again"):
        list(run_parallel(eval, ["__import__('os')._exit(1)"] * 2, workers=2))


def test_whoever_stops_asking_leaves_no_process_behind():
    results = run_parallel(eval, [PID, PID, SLEEP, SLEEP], workers=2)
    pids = [next(results), next(results)]
    results.close()
    assert all(map(gone, pids))


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_script_needs_no_guard_and_its_processes_end_with_it(tmp_path, stop):
    script = tmp_path / "script.py"
    work = f"__import__('os').write(1, b'%d\\n' % {PID}) and __import__('time').sleep(60)"
    script.write_text(
        f"from datamodules.parallel.pool import run_parallel\nlist(run_parallel(eval, [{work!r}] * 2, workers=2))"
    )
    with subprocess.Popen(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as caller:
        pids = [int(caller.stdout.readline()) for _ in range(2)]
        assert caller.pid not in pids
        caller.send_signal(stop)
        said = caller.communicate(timeout=30)[1]  # ends when all that write into it have ended, the processes too
        assert said.count("Traceback") == (stop == signal.SIGINT), said
    assert caller.returncode == -stop.value, said


def test_a_second_waits_until_the_first_is_done(tmp_path):
    order = []

    def work():
        with lock_file(tmp_path / "new folder" / "lock"):
            order.append("second")

    with lock_file(tmp_path / "new folder" / "lock"):
        other = threading.Thread(target=work)
        other.start()
        other.join(0.2)
        order.append("first")
    other.join(10)
    assert order == ["first", "second"]
