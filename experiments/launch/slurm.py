"""Rows as jobs of a SLURM cluster, submitted through submitit and found again by their names."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ExperimentFileError, ExperimentValueError
from .launcher import PROGRAM, Resources, Started, open_log
from .slurm_queue import Queue, ask, job_name, short
from .steps import newest_lines

JOB_TIME = "24:00:00"
"""Time that a job is given where --time says nothing; a training that takes longer is requeued."""

REQUEUES = 1000
"""Ends of its time after which a job is requeued: each goes on from a checkpoint at most 15 minutes old."""

ASKS_FOR_GPUS = ("gpus", "gpus_per_node", "gpus_per_task", "gpus_per_socket", "gres", "tres_per_node", "tres_per_task")


class Submitted:
    """A command that was submitted; it outlives whoever submitted it.

    Args:
        number: SLURM's of the job.
        log: File that gets what it prints.
        queue: Knows what SLURM says.
    """

    def __init__(self, number: str, log: Path, queue: Queue) -> None:
        self.number = number
        self._log = log
        self._queue = queue

    def exit_status(self) -> int | None:
        """Its exit status, 0 where SLURM knows none any more; None while it is queued or at work."""
        if self.number in {job.number for job in self._queue.jobs().values()}:
            return None
        shown = ask("scontrol", "--oneliner", "show", "job", self.number)
        state, code = (re.search(rf"\b{key}=([^\s]+)", shown.stdout) for key in ("JobState", "ExitCode"))
        if shown.returncode or not state or not code or state[1] == "COMPLETED":
            return 0
        if not any(line.startswith(("error: ", "Traceback ")) for line in newest_lines(self._log)):
            where = self._log.parent / "slurm"
            with self._log.open("a") as file:
                file.write(
                    f"\njob {self.number} ended as {state[1]}, exit code {code[1]}; what it said is in {where}\n"
                )
        return int(code[1].partition(":")[0]) or 1

    def stop(self) -> None:
        """Leaves it where it is."""

    def wait(self) -> None:
        """Waits for nothing."""


class RowJob:
    """What a job does, in each of its tasks; the first one writes the log.

    Requeued, for whatever reason, it does the same again: a row goes on from its last checkpoint.

    Args:
        command: Of a row or of baselines.
        log: File that gets what it prints.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.command = list(command)
        self.log = log

    def __call__(self) -> None:
        """Does it."""
        if os.environ.get("SLURM_PROCID", "0") == "0":
            with open_log(self.log) as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
        sys.argv = list(self.command[len(PROGRAM) - 1 :])
        runpy.run_module(PROGRAM[-1], run_name="__main__", alter_sys=True)

    def checkpoint(self) -> Any:
        """What is to be done after a requeue: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class Slurm:
    """Starts commands as jobs: a task a device, all joined by Lightning's `SLURMEnvironment`.

    A job is requeued by submitit at the end of its time, and by SLURM where it is preempted or its node fails. The
    former Lightning could do as well, but only while it trains; it listens to another signal, which is not sent.

    Args:
        options: Of sbatch: `--partition=gpu --time=24:00:00`.

    Raises:
        ValueError: submitit or SLURM are not there, or options are none.
    """

    queues = True
    look_s = 1.0

    def __init__(self, options: str = "") -> None:
        try:
            import submitit
        except ModuleNotFoundError:
            raise ExperimentValueError(
                "--launcher slurm needs submitit, which is not installed: pip install '.[slurm]'"
            ) from None
        for program in ("sbatch", "squeue", "scontrol", "srun"):
            if not shutil.which(program):
                raise ExperimentValueError(
                    f"--launcher slurm needs {program}, which is not on PATH: start on a login node of SLURM"
                )
        self._submitit = submitit
        self._options = sbatch_options(options)
        self.queue = Queue()
        self.queue.jobs()

    def start(
        self, name: str, command: Sequence[str], log: Path, resources: Resources, after: Sequence[Started]
    ) -> Submitted:
        """Submits a command, or finds its job where it is queued or running already; see `Launcher`.

        Raises:
            ValueError: That job was submitted with other options.
            OSError: SLURM does not take the command.
        """
        called, options = job_name(name, log), short(" ".join(command))
        if job := self.queue.jobs().get(called):
            if job.options != options:
                raise ExperimentValueError(
                    f"{name} is {job.state_word} as job {job.number} with other options: give the same, or end it by "
                    f"scancel {job.number}"
                )
            return Submitted(job.number, log, self.queue)
        folder = log.parent / "slurm"
        executor = self._submitit.SlurmExecutor(folder.resolve(), max_num_timeout=REQUEUES)
        waits = [one.number for one in after if isinstance(one, Submitted)]
        asked = job_options(resources, waits, self._options)
        executor.update_parameters(
            job_name=f"{called}.{options}",
            nodes=resources.nodes,
            ntasks_per_node=resources.devices,
            setup=["export TQDM_MINITERS=${TQDM_MINITERS:-20}"],
            # one that fails ends the others, which would wait for it
            srun_args=["--kill-on-bad-exit=1", f"--cpus-per-task={asked['cpus_per_task']}"],
            additional_parameters=asked,
        )
        try:
            number = executor.submit(RowJob(command, log)).job_id
        except self._submitit.core.utils.FailedJobError as error:
            said = " ".join(str(error).split())
            without = "; without GPUs, give --trainer.accelerator cpu" if resources.gpus else ""
            raise ExperimentFileError(
                f"sbatch does not take {name}: {said}: see to its options, SLURM='...'{without}"
            ) from error
        self.queue.jobs(now=True)
        return Submitted(number, log, self.queue)


def job_options(resources: Resources, waits: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of sbatch for a job, beside its name, nodes and tasks; a pure function.

    Args:
        resources: What its command asks for.
        waits: Numbers of the jobs that must have succeeded before.
        options: Given by hand; they go before what would be chosen.
    """
    chosen: dict[str, Any] = {"time": JOB_TIME, "requeue": True, "cpus_per_task": resources.workers + 1}
    if waits:
        chosen |= {"dependency": "afterok:" + ":".join(waits), "kill_on_invalid_dep": "yes"}
    if resources.gpus and not any(key in options for key in ASKS_FOR_GPUS):
        chosen["gpus_per_node"] = resources.devices
    return {**chosen, **options}


def sbatch_options(text: str) -> dict[str, Any]:
    """Reads options of sbatch, by their long names; True where one has no value.

    Raises:
        ValueError: Something is none.
    """
    found: dict[str, Any] = {}
    words = shlex.split(text)
    while words:
        option, equals, value = words.pop(0).partition("=")
        if not re.fullmatch(r"--[a-z][-a-z0-9]*", option):
            raise ExperimentValueError(
                f"{option!r} in {text!r} is no long option of sbatch, wanted such as --partition=gpu"
            )
        follows = not equals and words and not words[0].startswith("-")
        found[option[2:].replace("-", "_")] = value if equals else words.pop(0) if follows else True
    return found
