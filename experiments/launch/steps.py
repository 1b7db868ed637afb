"""Carries out steps that wait for one another, some at a time; goes on after one that fails."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from .launcher import STARTED_LINE, Launcher, Resources, Started

SHOWN_AT_WORK = 4
"""Commands at work whose progress is shown; of more only the number is."""


class Step(NamedTuple):
    """Something to do.

    Attributes:
        name: For humans; no two steps have the same.
        after: Names of the steps that must have succeeded before.
        command: Asked when its turn comes: what to start, or None where nothing is left to do.
        lacking: Asked at its end: what is still not there, "" if all is.
        log: File that gets what the command prints.
        resources: What the command asks for.
        early: Whether `command` can be asked before the steps of `after` have ended, if only it then waits for them.
    """

    name: str
    after: tuple[str, ...]
    command: Callable[[], Sequence[str] | None]
    lacking: Callable[[], str]
    log: Path
    resources: Resources = Resources()
    early: bool = False


def carry_out(steps: Sequence[Step], launcher: Launcher, at_once: int = 1) -> dict[str, str]:
    """Does every step, those first that others wait for.

    Args:
        steps: In the order wanted, as far as what they wait for allows.
        launcher: Starts their commands.
        at_once: Commands at work at a time.

    Returns:
        Why steps failed, by name; those that waited for a failed one are among them.

    Raises:
        ValueError: A step waits for one that is none of them.
        BaseException: Ctrl-C or a signal, after what is at work has been asked to end, and has.
    """
    if unknown := {name for step in steps for name in step.after} - {step.name for step in steps}:
        raise ValueError(f"steps wait for {sorted(unknown)}, which are none of them: leave out what is done already")
    waiting, failed, done = list(steps), dict[str, str](), set[str]()
    running: dict[str, tuple[Step, Started, float]] = {}
    with tqdm(total=len(steps), unit="row", disable=None, dynamic_ncols=True) as bar:

        def finish(step: Step, reason: str, seconds: float = 0.0) -> None:
            bar.update()
            if reason:
                failed[step.name] = reason
                tqdm.write(f"failed   {step.name}: {reason}")
            else:
                done.add(step.name)
                tqdm.write(f"done     {step.name}{f' ({seconds:.0f} s)' if seconds else ''}")

        try:
            while waiting or running:
                for step in [step for step in waiting if _ready(step, {*done, *failed}, running, launcher)]:
                    broken = [name for name in step.after if name in failed]
                    if not broken and len(running) >= at_once:
                        continue
                    waiting.remove(step)
                    if broken:
                        finish(step, _say_not_started(broken))
                        continue
                    after = [running[name][1] for name in step.after if name in running]
                    try:
                        command = step.command()
                        if command:
                            started = launcher.start(step.name, command, step.log, step.resources, after)
                    except OSError as error:  # of its folder; a queue that takes nothing ends all
                        if launcher.queues:
                            raise
                        finish(step, str(error))
                        continue
                    if command:
                        running[step.name] = step, started, time.monotonic()
                    else:
                        finish(step, step.lacking())
                for step, process, since in list(running.values()):
                    if (status := process.exit_status()) is not None:
                        del running[step.name]
                        broken = [name for name in step.after if name in failed]
                        reason = last_sentence(step.log) or f"ended with status {status}" if status else step.lacking()
                        finish(
                            step, _say_not_started(broken) if status and broken else reason, time.monotonic() - since
                        )
                bar.set_postfix_str(_show_logs({name: step.log for name, (step, *_) in running.items()}))
                if running:
                    time.sleep(launcher.look_s)
        except BaseException:
            for _, process, _ in running.values():
                process.stop()
            for _, process, _ in running.values():
                process.wait()
            raise
    return failed


def _ready(step: Step, ended: set[str], running: Mapping[str, object], launcher: Launcher) -> bool:
    begun = ended.union(running) if launcher.queues and step.early else ended
    return begun.issuperset(step.after)


def _show_logs(logs: Mapping[str, Path]) -> str:
    if len(logs) > SHOWN_AT_WORK:
        return f"{len(logs)} started"
    return "; ".join(f"{name} {progress(log)}" for name, log in logs.items())


def _say_not_started(broken: Sequence[str]) -> str:
    return f"not begun, for it needs {broken[0]}, which failed"


def last_sentence(log: Path) -> str:
    """What an error said last: the line that begins with `error:`, or else the last one."""
    lines = [line.strip() for line in newest_lines(log) if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or [""])[-1]


def progress(log: Path) -> str:
    """The newest progress bar in a log, shortened: `Epoch 3: 45%`."""
    bars = [match[0] for line in newest_lines(log) if (match := re.match(r"[^|]*?\d+%", line.strip()))]
    return bars[-1] if bars else ""


def newest_lines(log: Path, size: int = 8192) -> list[str]:
    """Lines of a log since its newest start, of its last bytes."""
    if not log.is_file():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - size))
        _, begun, newest = file.read().decode(errors="replace").rpartition(STARTED_LINE)
    return re.split(r"[\r\n]+", newest)[1 if begun else 0 :]
