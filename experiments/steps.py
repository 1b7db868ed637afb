"""Carries out steps that wait for one another, some at a time; goes on after one that fails."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from .launch import START, Launcher, Started

LOOK_S = 0.2
"""Seconds between two looks at what is running."""


class Step(NamedTuple):
    """Something to do.

    Attributes:
        name: For humans; no two steps have the same.
        after: Names of the steps that must have succeeded before.
        command: Asked when its turn comes: what to start, or None where nothing is left to do.
        lacking: Asked at its end: what is still not there, "" if all is.
        log: File that gets what the command prints.
    """

    name: str
    after: tuple[str, ...]
    command: Callable[[], Sequence[str] | None]
    lacking: Callable[[], str]
    log: Path


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
        KeyboardInterrupt: After what is at work has been asked to end, and has.
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
                for step in [step for step in waiting if done.union(failed).issuperset(step.after)]:
                    broken = [name for name in step.after if name in failed]
                    if not broken and len(running) >= at_once:
                        continue
                    waiting.remove(step)
                    if broken:
                        finish(step, f"not begun, for it needs {broken[0]}, which failed")
                    elif command := step.command():
                        running[step.name] = step, launcher.start(command, step.log), time.monotonic()
                    else:
                        finish(step, step.lacking())
                for step, process, started in list(running.values()):
                    if (status := process.ended()) is not None:
                        del running[step.name]
                        reason = last_sentence(step.log) or f"ended with status {status}" if status else step.lacking()
                        finish(step, reason, time.monotonic() - started)
                bar.set_postfix_str("; ".join(f"{name} {progress(step.log)}" for name, (step, *_) in running.items()))
                if running:
                    time.sleep(LOOK_S)
        except KeyboardInterrupt:
            for _, process, _ in running.values():
                process.stop()
            for _, process, _ in running.values():
                process.wait()
            raise
    return failed


def last_sentence(log: Path) -> str:
    """What an error said last: the line that begins with `error:`, or else the last one."""
    lines = [line.strip() for line in _tail(log) if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or [""])[-1]


def progress(log: Path) -> str:
    """The newest progress bar in a log, shortened: `Epoch 3: 45%`."""
    bars = [match[0] for line in _tail(log) if (match := re.match(r"[^|]*?\d+%", line.strip()))]
    return bars[-1] if bars else ""


def _tail(log: Path, size: int = 8192) -> list[str]:
    if not log.is_file():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - size))
        _, begun, newest = file.read().decode(errors="replace").rpartition(START)
    return re.split(r"[\r\n]+", newest)[1 if begun else 0 :]
