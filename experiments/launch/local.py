"""Starts commands here, each as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from datamodules.parallel.pool import count_cores

from ..signals import END_PATIENCE_S, STARTER
from .launcher import Resources, Started, open_log


class LocalProcess:
    """A process of this machine. Ctrl-C on the terminal does not reach it, so that it is asked to end once.

    A command of this program ends itself when the process that started it is gone, also where that was killed.
    """

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        with open_log(log) as file:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={"TQDM_MINITERS": "20", **environment, **os.environ, STARTER: str(os.getpid())},
                process_group=0,
            )

    def exit_status(self) -> int | None:
        """Its exit status; None while it is at work."""
        return self._process.poll()

    def stop(self) -> None:
        """Terminates it; a training first completes its batch."""
        if self.exit_status() is None:
            self._process.terminate()

    def wait(self) -> None:
        """Returns when it has ended, which it is helped to after a minute."""
        try:
            self._process.wait(END_PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Local:
    """Starts commands as processes of this machine.

    Args:
        at_once: How many will be at work at a time; they share the cores, but for an OMP_NUM_THREADS that is set.
    """

    queues = False
    look_s = 0.2

    def __init__(self, at_once: int = 1) -> None:
        self._environment = {"OMP_NUM_THREADS": str(max(1, count_cores() // at_once))} if at_once > 1 else {}

    def start(
        self, name: str, command: Sequence[str], log: Path, resources: Resources, after: Sequence[Started]
    ) -> LocalProcess:
        """Starts a command; see `Launcher`."""
        return LocalProcess(command, log, self._environment)
