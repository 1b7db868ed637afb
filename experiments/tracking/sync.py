"""`python -m experiments sync [RUNS]`: sends to W&B what was logged offline, in its order."""

from __future__ import annotations

import argparse
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from .lost_rows import complete
from .mode import find_obstacle
from .offline import HEADER, files_of, id_of, is_complete, is_offline, whole_bytes

UNLOCKED_S = 3600
"""Seconds without a change after which a run counts as ended where the file system has no locks."""

UNHEEDED = ("WANDB_MODE", "WANDB_QUIET", "WANDB_SILENT")
"""What the environment may say to W&B's command that would keep it from sending, or from saying why it does not."""


def list_waiting(runs: Path) -> list[Path]:
    """The `.wandb` files of offline folders that have not been sent, the oldest first."""
    return [file for file in files_of(runs) if is_offline(file) and not _sent_mark(file).is_file()]


def send_folder(file: Path) -> str | None:
    """Sends one offline folder with W&B's own command, which then leaves a mark beside the file.

    Returns:
        None if it was sent, else why it was not.
    """
    environment = {key: value for key, value in os.environ.items() if key not in UNHEEDED}
    command = [sys.executable, "-m", "wandb", "sync", str(file.parent)]
    ended = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if ended.returncode == 0 and _sent_mark(file).is_file():
        return None
    lines = [line.removeprefix("wandb: ").strip() for line in ended.stdout.splitlines() if line.strip()]
    wrong = [line for line in lines if line.startswith("ERROR") or "rror:" in line]
    reason = (wrong or lines or [f"wandb sync ended with status {ended.returncode} and said nothing"])[-1]
    elsewhere = f" (wandb sync --entity NAME {file.parent} sends it to another one)"
    return reason + elsewhere if "entity" in reason else reason


def send_all(files: Sequence[Path]) -> dict[Path, str]:
    """Sends offline folders in turn, each after those of the same run that were made before it.

    Returns:
        Those that were not sent, with the reason: W&B's, or that one before it was not, or that it is still written to.
    """
    left: dict[Path, str] = {}
    held_up: set[str] = set()
    for file in tqdm(files, "sending to W&B", unit="folder"):
        run = id_of(file)
        if run in held_up:
            reason: str | None = "waits for the folder of the same run before it"
        elif _is_held(file) and not is_complete(file):
            reason = "its run is still going on: send it when that has ended"
        elif _end_where_whole(file):
            reason = send_folder(file)
        else:
            _sent_mark(file).touch()
            reason = None
            tqdm.write(f"{file.parent} is empty: its process was killed before W&B wrote anything, so it is left out")
        if reason:
            held_up.add(run)
            left[file] = reason
            tqdm.write(f"not sent: {file.parent}: {reason}")
    return left


def complete_all(files: Sequence[Path]) -> None:
    """Has what W&B lost of runs whose processes were killed logged anew, into further offline folders of theirs.

    Args:
        files: Those that wait, the oldest first.
    """
    newest = {(file.parents[2], id_of(file)): file for file in files}
    for file in newest.values():
        if not _is_held(file) and (reason := complete(file)):
            tqdm.write(f"{file.parents[2]}: what W&B lost of it when it was killed stays lost: {reason}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Sends what waits and says what was not sent.

    Returns:
        Exit status: 0 if all was sent, 1 if some was not, 2 if nothing can be sent.
    """
    parser = argparse.ArgumentParser("python -m experiments sync", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="?", default=Path("runs"), help="folder of runs (default runs)")
    runs = parser.parse_args(arguments).runs
    files = list_waiting(runs)
    if not files:
        print(f"{runs} holds no offline run that has not been sent")
        return 0
    lack = find_obstacle()
    if lack:
        print(f"error: {lack}: {len(files)} folders in {runs} wait; make wandb-sync sends them then", file=sys.stderr)
        return 2
    complete_all(files)
    files = list_waiting(runs)
    left = send_all(files)
    print(f"sent {len(files) - len(left)} of {len(files)} folders" + "".join(f"\nnot sent: {f.parent}" for f in left))
    return 1 if left else 0


def _sent_mark(file: Path) -> Path:
    return file.with_suffix(".wandb.synced")


def _is_held(file: Path) -> bool:
    """Whether a process logs to it, which has it locked until it ends, however it ends."""
    with file.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # no locks in this file system
            return time.time() - file.stat().st_mtime < UNLOCKED_S
    return False


def _end_where_whole(file: Path) -> bool:
    """Cuts off the record that a killed process was writing: W&B refuses a file that ends inside one, or holds none.

    Returns:
        Whether it holds a record.
    """
    with suppress(ValueError):  # no file of W&B's, as W&B will say
        whole = whole_bytes(file)
        if whole <= HEADER:
            return False
        if whole < file.stat().st_size:
            os.truncate(file, whole)
    return True
