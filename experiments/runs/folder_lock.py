"""Lets one process at a time write into a run's folder; others wait, and then look at it anew."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from datamodules.parallel.pool import lock_file

from ..errors import ExperimentFileError, ExperimentValueError
from ..signals import is_first
from .folder import RunFolder

_HELD: set[Path] = set()


class AtWorkError(ExperimentValueError):
    """Another process is at work at a run's folder."""


@contextmanager
def hold_folder(folder: RunFolder, wait: bool = True) -> Iterator[None]:
    """Holds a run's folder, so that nobody else writes into it.

    What this process holds already it may hold again. Of the processes that do one training together the first holds
    the folder for all. Where the file system has no locks, nobody is held up.

    Args:
        folder: Of the run.
        wait: Until who holds it has ended. Processes that were started together from outside, by torchrun or SLURM,
            never wait: the others would go on by what they have seen before.

    Raises:
        AtWorkError: Another process holds it, and is not waited for.
        OSError: No lock can be put beside the folder or into it.
    """
    lock = folder.lock
    if lock in _HELD or not is_first():
        yield
        return

    def busy(holder: str) -> None:
        if not wait or _is_started_together():
            raise AtWorkError(
                f"{holder} is at work at {folder.path}: wait until it has ended, or take another folder "
                "(--trainer.default_root_dir)"
            )
        print(f"waiting for {holder}, which is at work at {folder.path}", file=sys.stderr)

    with ExitStack() as stack:
        try:
            stack.enter_context(lock_file(lock, busy))
        except OSError:  # beside it nobody may write
            _hold_inside(folder, stack, busy)
        _HELD.add(lock)
        stack.callback(_HELD.discard, lock)
        yield


def _hold_inside(folder: RunFolder, stack: ExitStack, busy: Callable[[str], None]) -> None:
    try:
        stack.enter_context(lock_file(folder.path / ".lock", busy))
    except OSError as error:
        raise ExperimentFileError(
            f"{folder.path} cannot be written to ({error.strerror}): make it writable, or take another folder "
            "(--trainer.default_root_dir)"
        ) from error


def _is_started_together() -> bool:
    return any(os.environ.get(name, "") not in ("", "0", "1") for name in ("WORLD_SIZE", "SLURM_NTASKS"))
