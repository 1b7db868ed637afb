"""Where caches lie, and files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd


def cache_folder(cache_dir: Path | None) -> Path:
    """Where computed facts are kept: the folder given, or the user's cache folder; never among the data."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(cache_dir) if cache_dir else user / "pixel-forensics"


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Writes a table so that whoever reads it sees either the old or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    table.to_parquet(unfinished)
    unfinished.replace(path)
