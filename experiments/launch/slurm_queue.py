"""What SLURM says of this user's jobs, and how they are told apart by their names."""

from __future__ import annotations

import hashlib
import re
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from ..errors import ExperimentFileError

SILENCE_S = 600.0
"""Seconds that SLURM may leave questions unanswered, as it does while its controller is restarted."""


class SlurmJob(NamedTuple):
    """A job that is queued or running.

    Attributes:
        number: SLURM's.
        state: As squeue says it, `PENDING` or `RUNNING` for instance.
        options: Hash of its command.
    """

    number: str
    state: str
    options: str

    @property
    def state_word(self) -> str:
        """In a word: `queued` or `running`."""
        return "queued" if self.state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT") else "running"


class Queue:
    """What SLURM says of this user's jobs, asked again when some time has passed.

    Args:
        look_s: Seconds that an answer is good for.
    """

    def __init__(self, look_s: float = 5.0) -> None:
        self._look_s = look_s
        self._jobs: dict[str, SlurmJob] | None = None
        self._answered = self._asked = -SILENCE_S

    def jobs(self, now: bool = False) -> dict[str, SlurmJob]:
        """Jobs that are queued or running, by the name of their step as `job_name` spells it.

        Args:
            now: Whether to ask at once.

        Raises:
            OSError: SLURM does not answer: at all, or not for ten minutes.
        """
        if self._jobs is not None and not now and time.monotonic() - self._asked < self._look_s:
            return self._jobs
        told = ask("squeue", "--me", "--noheader", "--format=%A|%T|%j")
        self._asked = time.monotonic()
        if told.returncode == 0:
            self._answered = self._asked
            lines = [line.split("|", 2) for line in told.stdout.splitlines() if line.count("|") > 1]
            named = [(*name.rpartition("."), number, state) for number, state, name in lines]
            self._jobs = {name: SlurmJob(number, state, options) for name, _, options, number, state in named}
        elif self._jobs is None or now or self._asked - self._answered > SILENCE_S:
            raise ExperimentFileError(
                f"squeue says {told.stderr.strip()!r}, wanted the list of jobs: see to the cluster; what is queued "
                "goes on, and the same command looks again"
            )
        return self._jobs


def ask(*command: str) -> subprocess.CompletedProcess[str]:
    """Asks a program of SLURM; one that says nothing for a minute and a half has failed."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"nothing for 90 seconds to {command[0]}")


def job_name(name: str, log: Path) -> str:
    """Name of a step's job, the same whenever it is submitted: its own, and a hash of where it writes."""
    return f"{re.sub(r'[^-/+=_a-zA-Z0-9]', '-', name)}-{short(str(log.resolve()))}"


def short(text: str) -> str:
    """A hash that is good enough to tell a user's jobs apart."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]
