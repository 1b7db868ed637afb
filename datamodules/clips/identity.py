"""What data files are, wherever they lie: told by size and content, never by path or time, and remembered."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from ..files import cache_folder, write_parquet
from ..parallel.pool import count_cores

FILE_COLUMNS = ("name", "split", "pair", "video", "mask")
"""Of a table of the files that are used, see `VideoDataModule.files`."""

BLOCK_BYTES = 64 * 1024
"""Bytes that are read of a large file at its head, in its middle and at its tail: MP4 keeps its packets' sizes at one
of its ends."""

IDENTITY_VERSION = 1
"""Of what is remembered: raise it with every change of `fingerprint`."""

_STAMP = {"path": str, "size": "int64", "mtime_ns": "int64", "ctime_ns": "int64", "inode": "int64"}


def fingerprint(path: str | Path, whole: bool = False) -> str:
    """Sixteen hexadecimal digits that tell a file from another: of its size and its head, middle and tail.

    Args:
        path: Of the file.
        whole: Read all of it, as is done with a file of four blocks or less anyway.

    Raises:
        OSError: It cannot be read.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if whole or size <= 4 * BLOCK_BYTES:
            digest = hashlib.file_digest(file, "sha256")
        else:
            digest = hashlib.sha256()
            for place in (0, (size - BLOCK_BYTES) // 2, size - BLOCK_BYTES):
                file.seek(place)
                digest.update(file.read(BLOCK_BYTES))
    digest.update(str(size).encode())
    return digest.hexdigest()[:16]


def fingerprints(paths: Sequence[str], root: Path, cache_dir: Path | None = None) -> dict[str, str]:
    """Fingerprints of files, recalled where size, times and inode are those of the last look; threads read the others.

    Args:
        paths: Of the files.
        root: Folder or file that names them; what is found out is kept apart for each.
        cache_dir: Where fingerprints are kept; by default the user's cache folder.

    Returns:
        By path; those that are not there, or cannot be read, are left out.
    """
    digest = hashlib.sha256(os.fsencode(Path(root).resolve())).hexdigest()[:16]
    cache = cache_folder(cache_dir) / f"identity-{IDENTITY_VERSION}-{digest}.parquet"
    stamps = _stamps(paths, root)
    known = _read_cache(cache)
    told = stamps.merge(known, on=list(_STAMP), how="left")
    new = told.print.isna()
    if new.any():
        with ThreadPoolExecutor(count_cores() + 1) as pool:
            told.loc[new, "print"] = list(pool.map(_read, told.given[new]))
        told = told[told.print != ""]
        kept = pd.concat([known[~known.path.isin(told.path)], told[[*_STAMP, "print"]]], ignore_index=True)
        write_parquet(kept.assign(path=kept.path.map(os.fsencode)), cache)
    return dict(zip(told.given, told.print, strict=True))


def identify_files(files: pd.DataFrame, root: Path, cache_dir: Path | None = None) -> pd.DataFrame:
    """Tells what files are; a video that is not there has no row.

    Args:
        files: With `name` (of a clip, wherever its file lies), `split`, `pair`, `path` and `mask_path`, "" for none.
        root: Folder or file that names them; what is found out is kept apart for each.
        cache_dir: Where fingerprints are kept; by default the user's cache folder.

    Returns:
        Sorted by name, with `FILE_COLUMNS`; `video` and `mask` are fingerprints, that of no mask is "".

    Examples:
        >>> from datamodules import index
        >>> table = index(root).query("clip in ('000', '001')")
        >>> found = identify_files(table.assign(name=table["clip"], split="train", pair="001_000"), root)
        >>> found[["name", "split", "mask"]].values.tolist(), found.video.nunique()
        ([['000', 'train', ''], ['001', 'train', '']], 2)
    """
    masks = files.mask_path[files.mask_path != ""].unique()
    prints = fingerprints([*files.path, *masks], root, cache_dir)
    table = files.assign(video=files.path.map(prints), mask=files.mask_path.map(prints).fillna(""))
    return table.dropna(subset="video")[list(FILE_COLUMNS)].astype(str).sort_values("name", ignore_index=True)


def one_row(name: str, digest: str) -> pd.DataFrame:
    """A row of `FILE_COLUMNS` about what is no clip: without a split, its fingerprint in `video`."""
    return pd.DataFrame([(name, "", "", digest, "")], columns=list(FILE_COLUMNS))


def _stamps(paths: Sequence[str], root: Path) -> pd.DataFrame:
    base = root if os.path.isdir(root) else Path(root).parent
    rows = []
    for path in dict.fromkeys(paths):
        try:
            told = os.stat(path)
        except OSError:
            continue
        stamp = (told.st_size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino)
        rows.append((os.path.relpath(path, base), *stamp, path))
    return pd.DataFrame(rows, columns=[*_STAMP, "given"]).astype({**_STAMP, "given": str})


def _read_cache(cache: Path) -> pd.DataFrame:
    columns = {**_STAMP, "print": str}
    if not cache.is_file():
        return pd.DataFrame(columns=list(columns)).astype(columns)
    known = pd.read_parquet(cache)
    return known.assign(path=known.path.map(os.fsdecode)).astype(columns)


def _read(path: str) -> str:
    try:
        return fingerprint(path)
    except OSError:
        return ""
