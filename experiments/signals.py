"""Ends commands that a signal tells to, and those whose starter is gone, with a status that says so."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

STARTER = "PIXEL_FORENSICS_STARTER"
"""Environment variable that holds the process whose end shall be that of the one it starts."""

LOOK_S = 1.0
"""Seconds between two looks at whether the starter is there."""

END_PATIENCE_S = 60.0
"""Seconds that a process is given to end by itself when it is told to."""

_told: list[int] = []
_listening: list[object] = []
_at_once: list[bool] = []


@contextmanager
def listen_to_signals() -> Iterator[None]:
    """In this block SIGTERM and SIGHUP end the command, with status 143 and 129.

    A training, a validation and a test first complete their batch, as Lightning has it. Signals that the caller has
    seen to itself, or ignores as under nohup, are left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    ours = [number for number, handler in before.items() if handler is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _end)
    _told.clear()
    _listening.append(signal.getsignal(signal.SIGTERM))
    try:
        yield
    finally:
        _listening.pop()
        for number in ours:
            signal.signal(number, before[number])


@contextmanager
def end_at_once() -> Iterator[None]:
    """In this block a signal ends the command where it is: Lightning's loop for it listens to none."""
    _at_once.append(True)
    try:
        yield
    finally:
        _at_once.pop()


def _end(number: int, frame: FrameType | None) -> None:
    _told.append(number)
    if not _at_once and _listening and signal.getsignal(signal.SIGTERM) is not _listening[-1]:
        if number != signal.SIGTERM:  # Lightning has put in its own handler, which is to know
            os.kill(os.getpid(), signal.SIGTERM)
        return
    raise SystemExit(128 + number)


def end_if_told() -> None:
    """Ends the command where a signal has come in a part of it that was to be completed first."""
    if _told:
        raise SystemExit(128 + _told[0])


def status_of(error: BaseException) -> int | None:
    """The exit status of a command that a signal or Ctrl-C has ended; None where neither did."""
    if _told:
        return 128 + _told[0]
    lightning = sys.modules.get("pytorch_lightning.utilities.exceptions")  # where it is not imported, it raised nothing
    if lightning and isinstance(error, lightning.SIGTERMException):
        return 128 + signal.SIGTERM
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):
        return 128 + signal.SIGINT
    return None


def end_with_starter(patience_s: float = END_PATIENCE_S) -> None:
    """Has this process end when the one is gone that started it and asked for that, by `STARTER`.

    Args:
        patience_s: It is told by SIGTERM; after so long it is killed, and with it those of its group if it leads one.
    """
    starter = os.environ.pop(STARTER, "")
    if starter.isdigit():
        threading.Thread(target=_watch, args=(int(starter), patience_s), daemon=True).start()


def _watch(starter: int, patience_s: float) -> None:
    while os.getppid() == starter:
        time.sleep(LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(patience_s)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def lead_processes() -> Iterator[None]:
    """Has the processes end with this one that Lightning starts in this block."""
    os.environ[STARTER] = str(os.getpid())
    try:
        yield
    finally:
        os.environ.pop(STARTER, None)


def is_first() -> bool:
    """Whether this is the first of the processes that do one training, or the only one."""
    lightning = sys.modules.get("pytorch_lightning.utilities")  # which no process of several is without
    node = os.environ.get("NODE_RANK") or os.environ.get("GROUP_RANK") or "0"
    return getattr(lightning and lightning.rank_zero_only, "rank", 0) == 0 and node == "0"


def fail(sentence: str) -> NoReturn:
    """Ends the program with one sentence on stderr."""
    print(f"error: {sentence}", file=sys.stderr)
    raise SystemExit(2)
