"""What a process of `child` runs: it serves what a module of this room is asked for, until its caller ends."""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections.abc import Sequence


def _end_with(caller: int) -> None:
    while os.getppid() == caller:
        time.sleep(1)
    os._exit(1)


def start_serving(module: str, caller: int, handles: Sequence[int]) -> None:
    """Imports a module and runs its `serve`; the process ends itself when its caller has.

    Args:
        module: Its whole name.
        caller: Number of the process that has started this one.
        handles: Arguments of `serve`, descriptors of open files.
    """
    threading.Thread(target=_end_with, args=(caller,), daemon=True).start()
    importlib.import_module(module).serve(*handles)
