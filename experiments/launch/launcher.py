"""How a command of a row is started: here, as a process of its own. `slurm.py` submits it to a cluster instead."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TextIO

PROGRAM = (sys.executable, "-m", "experiments")
"""How the command of a row or of baselines begins."""


STARTED_LINE = "== started "
"""How a line of a log begins that stands before what a command prints; earlier starts stand above it."""


class Resources(NamedTuple):
    """What a command asks of the machines it runs on.

    Attributes:
        devices: On each node, a process each.
        nodes: Machines.
        gpus: Whether the devices are GPUs.
        workers: Further processes beside each.
    """

    devices: int = 1
    nodes: int = 1
    gpus: bool = False
    workers: int = 0


class Started(Protocol):
    """A command that was started."""

    def exit_status(self) -> int | None:
        """Its exit status; None while it is at work."""

    def stop(self) -> None:
        """Asks it to end, unless it outlives who started it."""

    def wait(self) -> None:
        """Returns when it has ended, if it was asked to."""


class Launcher(Protocol):
    """Starts commands.

    Attributes:
        queues: Whether it takes commands that are to wait for others it has started.
        look_s: Seconds between two looks at what it has started.
    """

    queues: bool
    look_s: float

    def start(
        self, name: str, command: Sequence[str], log: Path, resources: Resources, after: Sequence[Started]
    ) -> Started:
        """Starts a command.

        Args:
            name: For humans.
            command: Its words.
            log: File that gets what it prints.
            resources: What it asks for.
            after: What must have succeeded before, of what this launcher has started; nothing where it does not queue.
        """


def open_log(log: Path) -> TextIO:
    """A log opened to be gone on with, after the line that a start begins with."""
    log.parent.mkdir(parents=True, exist_ok=True)
    file = log.open("a")
    file.write(f"{STARTED_LINE}{time.strftime('%F %T')}\n")
    file.flush()
    return file
