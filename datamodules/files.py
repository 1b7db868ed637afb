"""Where caches lie, and files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd  # for the reader alone: who only writes text does without


def cache_folder(cache_dir: Path | None) -> Path:
    """Where computed facts are kept: the folder given, or the user's cache folder; never among the data."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(cache_dir) if cache_dir else user / "pixel-forensics"


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Has a file written beside its place and puts it there once it is whole.

    Whoever reads sees either what was there before or all of the new file. A writer that fails leaves nothing behind,
    one that is killed the file `.<process>.<name>`. Nothing is synced: who must outlive a power failure does that
    before the block ends.

    Args:
        path: Where the file belongs; missing folders are made.

    Yields:
        Where to write it: a path in the same folder, with the same ending.

    Raises:
        OSError: The folder cannot be made, or the file not be put into its place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{os.getpid()}.{path.name}")
    unfinished.unlink(missing_ok=True)  # of a process of this number that was killed
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)  # also a link to the file that is there already: to replace it is void


def write_text(path: Path, text: str) -> None:
    """Writes a text atomically, see `write_atomically`."""
    with write_atomically(path) as unfinished:
        unfinished.write_text(text)


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Writes a table atomically, see `write_atomically`."""
    with write_atomically(path) as unfinished:
        table.to_parquet(unfinished)
