"""Which files a data module uses, told without making one: plans ask it, and do without torch and Lightning."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ..clips.identity import fingerprint, identify_files, one_row
from ..clips.index import FOLDERS, FOUR_METHODS, Compression, list_clips
from ..clips.splits import read_splits, split_of
from ..errors import DataMissingError
from ..faces.tracks import SOURCES
from .selection import find_official_pairs, refuse_contradictions
from .video_table import list_videos


def list_faceforensics(
    root: str | Path,
    methods: Sequence[str] = FOUR_METHODS,
    compression: Compression | Literal["mixed"] = "c23",
    splits: str | Path | None = None,
    cache_dir: str | Path | None = None,
) -> pd.DataFrame:
    """What the files of the selected clips hold, see `clips.identity.identify_files`.

    Args:
        root: Folder that holds `original_sequences` and `manipulated_sequences`.
        methods: Manipulations; YouTube's originals always belong to it, those of the actors with DeepFakeDetection.
        compression: Quality of the videos; `mixed` for all three.
        splits: Folder of `train.json`, `val.json` and `test.json`; by default `<root>/splits`.
        cache_dir: Where fingerprints are kept; by default the user's cache folder.

    Raises:
        FileNotFoundError: Folder or splits are missing.
        ValueError: The splits cannot be read.
    """
    root = Path(root)
    table = list_clips(root, tuple(FOLDERS) if compression == "mixed" else (compression,))
    if "DeepFakeDetection" not in methods:
        table = table[table.target.str.fullmatch(r"\d{3}")]
    clips = table[table.method.isin(("original", *methods))].reset_index(drop=True)
    official = read_splits(Path(splits) if splits else root / "splits")
    names = [Path(os.path.relpath(path, root)).as_posix() for path in clips.path]
    named = clips.assign(name=names, split=split_of(clips, official), pair=find_official_pairs(clips, official))
    return identify_files(named, root, Path(cache_dir) if cache_dir else None)


def list_video_folder(csv: str | Path, cache_dir: str | Path | None = None) -> pd.DataFrame:
    """What the files that a CSV names hold, see `clips.identity.identify_files`.

    Args:
        csv: Its columns are described in `VideoFolderDataModule`.
        cache_dir: Where fingerprints are kept; by default the user's cache folder.

    Raises:
        FileNotFoundError: The CSV or all that it names is missing.
        ValueError: A line says what it cannot.
    """
    clips = list_videos(Path(csv), lacking=True)
    named = clips.assign(name=clips.method + "/" + clips["clip"])
    found = identify_files(named, Path(csv), Path(cache_dir) if cache_dir else None)
    if found.empty:
        raise DataMissingError(f"none of the {len(clips)} videos that {csv} names is there")
    return found


def _faceforensics(faces: str = "masks", **options: Any) -> pd.DataFrame:
    methods = options.get("methods", FOUR_METHODS)
    refuse_contradictions(methods, faces, balance=False, self_blend=0.0 if methods else 0.5)
    return _add_faces_file(list_faceforensics(**options), faces)


def _video_folder(faces: str = "dlib", **options: Any) -> pd.DataFrame:
    return _add_faces_file(list_video_folder(**options), faces)


def _add_faces_file(files: pd.DataFrame, faces: str) -> pd.DataFrame:
    """Files with that of the faces behind them, where a file says them."""
    if faces in SOURCES:
        return files
    return pd.concat([files, one_row("faces file", fingerprint(faces, whole=True))], ignore_index=True)


FILES_OF = {
    "datamodules.FaceForensicsDataModule": _faceforensics,
    "datamodules.VideoFolderDataModule": _video_folder,
}
"""By class path: takes the arguments of a data module that say which files it uses, and lists them as its `files` does
before `setup`."""
