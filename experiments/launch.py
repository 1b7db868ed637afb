"""How a command of a row is started: here, as a process of its own. What submits it elsewhere would take its place."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from datamodules.parallel import cores

START = "== started "
"""How a line of a log begins that stands before what a command prints; earlier starts stand above it."""

PATIENCE_S = 60.0
"""Seconds that a process is given to end by itself when it is told to."""


class Started(Protocol):
    """A command that was started."""

    def ended(self) -> int | None:
        """Its exit status; None while it is at work."""

    def stop(self) -> None:
        """Asks it to end."""

    def wait(self) -> None:
        """Returns when it has ended."""


class Launcher(Protocol):
    """Starts commands."""

    def start(self, command: Sequence[str], log: Path) -> Started:
        """Starts a command.

        Args:
            command: Its words.
            log: File that gets what it prints.
        """


class LocalProcess:
    """A process of this machine. Ctrl-C on the terminal does not reach it, so that it is asked to end once."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            file.write(f"{START}{time.strftime('%F %T')}\n")
            file.flush()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={"TQDM_MINITERS": "20", **environment, **os.environ},
                process_group=0,
            )

    def ended(self) -> int | None:
        """Its exit status; None while it is at work."""
        return self._process.poll()

    def stop(self) -> None:
        """Terminates it; a training first completes its batch."""
        if self.ended() is None:
            self._process.terminate()

    def wait(self) -> None:
        """Returns when it has ended, which it is helped to after a minute."""
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Local:
    """Starts commands as processes of this machine.

    Args:
        at_once: How many will be at work at a time; they share the cores, but for an OMP_NUM_THREADS that is set.
    """

    def __init__(self, at_once: int = 1) -> None:
        self._environment = {"OMP_NUM_THREADS": str(max(1, cores() // at_once))} if at_once > 1 else {}

    def start(self, command: Sequence[str], log: Path) -> LocalProcess:
        """Starts a command; see `Launcher`."""
        return LocalProcess(command, log, self._environment)
