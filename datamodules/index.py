"""From a FaceForensics++ folder to a table, one line a clip, without decoding anything."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd

from .parallel import in_parallel
from .scan import probe

Compression = Literal["raw", "c23", "c40"]

ON_DISK = (
    "original",
    "Deepfakes",
    "Face2Face",
    "FaceSwap",
    "NeuralTextures",
    "FaceShifter",
    "DeepFakeDetection",
)
"""FaceForensics++'s own names; originals of YouTube and of actors are both the first."""

METHODS = (*ON_DISK, "SelfBlended")
"""Names of the values of a batch's `method`; the last has no folder, it is made of originals, see `SelfBlend`."""

FOLDERS: dict[Compression, tuple[str, ...]] = {"raw": ("raw", "c0"), "c23": ("c23",), "c40": ("c40",)}
"""Names of the folder of each quality; `raw` and `c0` are one thing."""

_NAMES = {
    "youtube": re.compile(r"(?P<target>\d{3})"),
    "actors": re.compile(r"(?P<target>\d\d__.+)"),
    "DeepFakeDetection": re.compile(r"(?P<actor>\d\d)_(?P<source>\d\d)__(?P<scene>.+)__[A-Z0-9]{8}"),
}
_PAIR = re.compile(r"(?P<target>\d{3})_(?P<source>\d{3})")
_STAMP = ["path", "size", "mtime_ns"]
_FACTS = {"path": str} | dict.fromkeys((*_STAMP[1:], "frames", "width", "height"), "int64") | {"fps": float}

FILES_FOR_PROCESSES = 2000
"""Files to read from which processes pay: three seconds of headers on a local disk."""


class Clip(NamedTuple):
    """One row of the index.

    Attributes:
        number: Label of the row; what a batch calls `clip`.
        clip: File name without its ending.
        target: Id whose background, body and timing are seen.
        source: Id whose face or expression was put in; "" for an original.
        method: One of `ON_DISK`.
        label: 0 original, 1 fake.
        compression: `raw`, `c23` or `c40`.
        path: Video.
        mask_path: Mask video, "" where there is none.
        frames: Number of frames; 0 for a file that cannot be read.
        width: Pixels.
        height: Pixels.
        fps: Frames a second in the header.
        mask_frames: 0 where there is no mask, like the next two.
        mask_width: Pixels.
        mask_height: Pixels.
        dx: Columns that a centred crop lost at the left side of its target.
    """

    number: int
    clip: str
    target: str
    source: str
    method: str
    label: int
    compression: Compression
    path: str
    mask_path: str
    frames: int
    width: int
    height: int
    fps: float
    mask_frames: int
    mask_width: int
    mask_height: int
    dx: int


def clips_of(table: pd.DataFrame) -> list[Clip]:
    """The rows of an index, or of a part of it."""
    return list(map(Clip._make, table[list(Clip._fields[1:])].itertuples(name=None)))


def index(root: Path, compression: Compression = "c23", cache_dir: Path | None = None) -> pd.DataFrame:
    """Lists every clip of one quality that lies under a FaceForensics++ folder.

    Args:
        root: The folder that holds `original_sequences` and `manipulated_sequences`.
        compression: Quality.
        cache_dir: Where facts about files are kept; by default the user's cache folder.

    Returns:
        One row a clip, sorted by method and name, with the columns that `Clip` describes.

    Raises:
        FileNotFoundError: The folder holds no such video.
        ValueError: A file's name is none of FaceForensics++'s.
    """
    return _table(Path(root), (compression,), (compression,), cache_dir)


def index_all(root: Path, cache_dir: Path | None = None, needed: Compression | None = None) -> pd.DataFrame:
    """Lists every clip of every quality that lies under a FaceForensics++ folder.

    Args:
        root: The folder that holds `original_sequences` and `manipulated_sequences`.
        cache_dir: Where facts about files are kept; by default the user's cache folder.
        needed: Quality that must be there; by default any.

    Returns:
        The tables of `index`, one below the other. Rows keep the labels they have there, so a label is unique within
        its quality only.

    Raises:
        FileNotFoundError: The folder holds no such video.
        ValueError: A file's name is none of FaceForensics++'s.
    """
    return _table(Path(root), tuple(FOLDERS), (needed,) if needed else tuple(FOLDERS), cache_dir)


def _table(
    root: Path, qualities: Sequence[Compression], needed: Sequence[Compression], cache_dir: Path | None
) -> pd.DataFrame:
    found = {quality: list(_clips(root, quality)) for quality in qualities}
    if not any(found[quality] for quality in needed):
        folders = sorted(path.name for path in root.iterdir())[:5] if root.is_dir() else "no such folder"
        raise FileNotFoundError(
            f"{root} holds no {' or '.join(needed)} video of FaceForensics++: wanted original_sequences/youtube/"
            f"{'|'.join(needed)}/videos/NNN.mp4, found {folders}; give the folder above these, or another quality"
        )
    rows = pd.concat([pd.DataFrame(clips) for clips in found.values() if clips])
    masks_found = rows.mask_path[rows.mask_path != ""].unique()  # qualities share them
    facts = header_facts([*rows.path, *masks_found], root, cache_dir).set_index("path")
    table = rows.join(facts[["frames", "width", "height", "fps"]], on="path")
    masks = facts[["frames", "width", "height"]].add_prefix("mask_")
    table = table.join(masks, on="mask_path").fillna({name: 0 for name in masks}).astype({name: int for name in masks})
    table["dx"] = _lost_columns(table)
    return table


def _clips(root: Path, compression: Compression) -> Iterator[dict[str, Any]]:
    for method in ON_DISK:
        parts = ("youtube", "actors") if method == "original" else (method,)
        for part in parts:
            folder = root / ("original_sequences" if method == "original" else "manipulated_sequences") / part
            videos = [path for name in FOLDERS[compression] for path in (folder / name / "videos").glob("*.mp4")]
            for _, path in sorted({path.name: path for path in reversed(videos)}.items()):  # raw before c0
                match = _NAMES.get(part, _PAIR).fullmatch(path.stem)
                if match is None:
                    raise ValueError(
                        f"{path} is not named as a video of {part} in FaceForensics++: rename it or take it out"
                    )
                ids = match.groupdict()
                mask = folder / "masks" / "videos" / path.name
                yield {
                    "clip": path.stem,
                    "target": f"{ids['actor']}__{ids['scene']}" if "actor" in ids else ids["target"],
                    "source": ids.get("source", ""),
                    "method": method,
                    "label": int(method != "original"),
                    "compression": compression,
                    "path": str(path),
                    "mask_path": str(mask) if method != "original" and mask.is_file() else "",
                }


def _lost_columns(table: pd.DataFrame) -> pd.Series[int]:
    """Columns lost on the left, against the target's original or, where that is not there, its widest fake."""
    readable = table[table.frames > 0]
    originals = readable[readable.label == 0].groupby("target").width.max()
    widths = originals.combine_first(readable.groupby("target").width.max())
    lost = ((table.target.map(widths) - table.width) // 2).clip(lower=0)
    return lost.where(table.frames > 0, 0).astype(int)


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


def header_facts(paths: list[str], root: Path, cache_dir: Path | None) -> pd.DataFrame:
    """Header facts of files, remembered by path, size and time of change."""
    name = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
    cache = cache_folder(cache_dir) / f"facts-{name}.parquet"
    stats = [(path, status.st_size, status.st_mtime_ns) for path in paths for status in [os.stat(path)]]
    wanted = pd.DataFrame(stats, columns=_STAMP)
    known = pd.read_parquet(cache) if cache.is_file() else pd.DataFrame(columns=list(_FACTS))
    known = known.astype(_FACTS)
    facts = wanted.merge(known, on=_STAMP)
    others = known[~known.path.isin(wanted.path)]
    new = wanted.path[~wanted.path.isin(facts.path)].tolist()
    workers = None if len(new) >= FILES_FOR_PROCESSES else 1
    headers: list[tuple[str, int, int, int, float]] = []
    try:
        headers.extend(in_parallel(_header, new, "reading headers", "file", workers))
    finally:
        if headers:  # also those of a run that is cut short
            read = pd.DataFrame(headers, columns=["path", *list(_FACTS)[3:]])
            facts = pd.concat([facts, wanted.merge(read, on="path").astype(_FACTS)])
            write_parquet(pd.concat([others, facts], ignore_index=True), cache)
    return facts


def _header(path: str) -> tuple[str, int, int, int, float]:
    try:
        return path, *probe(path)[:4]
    except (OSError, ValueError):
        return path, 0, 0, 0, 0.0
