"""Looks for the faces of all targets, shared among processes, and remembers each as soon as it is found."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pandas as pd

from ..clips.index import Clip
from ..clips.masks import RULE, THRESHOLDS
from ..files import cache_folder, write_parquet
from ..parallel.pool import run_parallel
from .detection import FINDERS, FOLLOWING, TRACK_COLUMNS, UPSAMPLINGS, Search, Source, face_detector, list_searches

FRAMES_FOR_PROCESSES: dict[Source, int] = {"masks": 5000, "dlib": 200}
"""Frames to look at from which processes pay: about six seconds of masks of 640 x 480, twenty of dlib."""


def find_tracks(
    candidates: pd.DataFrame, source: Source, lengths: Mapping[str, int], cache_dir: Path | None
) -> pd.DataFrame:
    """Finds the faces of all targets, or recalls them.

    Each target's boxes are kept in a file of their own until all are there, then in one file: a run that was cut short
    goes on where it was. A target is looked at again only when its files, its length or the rules have changed.

    Args:
        candidates: Clips to look at, see `detection.list_searches`.
        source: `masks` or `dlib`.
        lengths: Frames of each target.
        cache_dir: Where tracks are kept; by default the user's cache folder.

    Returns:
        The rows that `detection` finds, sorted by target and frame.

    Raises:
        ValueError: dlib is not installed, and there is something to look for.
        OSError: A file cannot be decoded.
    """
    wanted = {_key(search, source): search for search in list_searches(candidates, lengths)}
    folder = cache_folder(cache_dir)
    whole = folder / f"tracks-{source}-{_digest(sorted(wanted))}.parquet"
    if whole.is_file():
        return pd.read_parquet(whole, columns=TRACK_COLUMNS)
    parts = {key: folder / "parts" / f"{key}.parquet" for key in wanted}
    found = _read_cache(folder, source, parts)
    left = [item for item in wanted.items() if item[0] not in found]
    if left and source == "dlib":
        face_detector()  # refuses before any process starts
    frames = sum(search.length for _, search in left)
    workers = None if frames >= FRAMES_FOR_PROCESSES[source] else 1
    for key, rows in run_parallel(partial(_find, source), left, f"tracking faces ({source})", "target", workers):
        found[key] = rows
        write_parquet(rows, parts[key])
    known = [found[key].assign(key=key) for key in wanted if len(found[key])]
    tracks = pd.concat(known, ignore_index=True) if known else pd.DataFrame(columns=[*TRACK_COLUMNS, "key"])
    write_parquet(tracks.astype({"key": "category"}), whole)
    for part in parts.values():
        part.unlink(missing_ok=True)
    return tracks[TRACK_COLUMNS]


def _find(source: Source, item: tuple[str, Search]) -> tuple[str, pd.DataFrame]:
    key, search = item
    return key, FINDERS[source](search)


def _read_cache(folder: Path, source: Source, parts: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """What earlier runs have found: in the parts of one cut short, in the whole of one that had other targets too."""
    found: dict[str, pd.DataFrame] = {}
    for key, part in parts.items():
        try:
            found[key] = pd.read_parquet(part)
        except FileNotFoundError:  # not found yet, or joined by another run just now
            continue
    for whole in folder.glob(f"tracks-{source}-*.parquet"):
        tracks = pd.read_parquet(whole)
        tracks = tracks[tracks.key.isin(parts.keys() - found.keys())]
        found |= {str(key): rows[TRACK_COLUMNS] for key, rows in tracks.groupby("key", observed=True)}
    return found


def _key(search: Search, source: Source) -> str:
    """Hash of all that shapes a track."""
    if source == "masks":
        own = {clip.method: level for clip, level in zip(search.clips, search.thresholds, strict=True)}
        rules: tuple[object, ...] = (RULE, sorted({**THRESHOLDS, **own}.items()))
    else:
        rules = (FOLLOWING, UPSAMPLINGS)
    return _digest((source, rules, search.target, search.length, [_facts(clip, source) for clip in search.clips]))


def _facts(clip: Clip, source: Source) -> tuple[object, ...]:
    geometry = (clip.width, clip.height, clip.dx)
    masks = (clip.method, clip.mask_frames, clip.mask_width, clip.mask_height)
    path, others = (clip.mask_path, masks) if source == "masks" else (clip.path, (clip.frames,))
    status = Path(path).stat()
    return path, status.st_size, status.st_mtime_ns, *geometry, *others


def _digest(facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
