"""From a FaceForensics++ folder to a table, one line a clip; only what headers do not prove is decoded, once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd

from ..errors import DataMissingError, DataValueError
from .csv_lines import refuse_unnameable
from .facts import add_facts

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


FOUR_METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
"""Those of the first version of FaceForensics++, on which most results are published."""


REWINDING = "Face2Face"
"""The method whose clips are as long as their source: where that is longer than the target, they show the target again
from its start."""


FOLDERS: dict[Compression, tuple[str, ...]] = {"raw": ("raw", "c0"), "c23": ("c23",), "c40": ("c40",)}
"""Names of the folder of each quality; `raw` and `c0` are one thing."""


_NAMES = {
    "youtube": re.compile(r"(?P<target>\d{3})"),
    "actors": re.compile(r"(?P<target>\d\d__.+)"),
    "DeepFakeDetection": re.compile(r"(?P<actor>\d\d)_(?P<source>\d\d)__(?P<scene>.+)__[A-Z0-9]{8}"),
}


_PAIR = re.compile(r"(?P<target>\d{3})_(?P<source>\d{3})")


class Clip(NamedTuple):
    """One row of the index.

    Attributes:
        number: Label of the row; what a batch calls `clip`.
        clip: File name without its ending.
        target: Id whose background, body and timing are seen.
        source: Id whose face or expression was put in; "" for an original, and where it is not known.
        method: One of `ON_DISK`, or of another data set any name.
        label: 0 original, 1 fake.
        compression: `raw`, `c23` or `c40`; "" where it is not known.
        path: Video.
        mask_path: Mask video, "" where there is none.
        frames: Number of frames that can be read; 0 for a file that cannot be used.
        width: Pixels.
        height: Pixels.
        fps: Frames a second in the header.
        mask_frames: 0 where there is no mask that can be used, like the next two.
        mask_width: Pixels.
        mask_height: Pixels.
        dx: Columns that a centred crop lost at the left side of its target; 0 for what is no crop.
        lost: Pictures before its first frame that cannot be decoded, for the file begins without a whole key frame.
        problem: Why the file cannot be used, a sentence; "" where it can.
        mask_problem: Why its mask cannot be used, a sentence; "" where it can.

    Examples:
        >>> clip = clips_of(index(root))[0]  # root: a folder of FaceForensics++
        >>> clip.method, clip.label, clip.compression, clip.frames > 0
        ('original', 0, 'c23', True)
    """

    number: int
    clip: str
    target: str
    source: str
    method: str
    label: int
    compression: Compression | Literal[""]
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
    lost: int = 0
    problem: str = ""
    mask_problem: str = ""

    @property
    def rewinds(self) -> bool:
        """Whether behind its target's end it shows that again from the start."""
        return self.method == REWINDING


def clips_of(table: pd.DataFrame) -> list[Clip]:
    """The rows of an index, or of a part of it, as clips.

    Args:
        table: With the columns of `Clip`; its labels are the clips' numbers.

    Examples:
        >>> table = index(root)
        >>> [clip.label for clip in clips_of(table[table.method == "original"])]
        [0, 0, 0, 0, 0, 0]
    """
    return list(map(Clip._make, table[list(Clip._fields[1:])].itertuples(name=None)))


def index(root: Path, compression: Compression = "c23", cache_dir: Path | None = None) -> pd.DataFrame:
    """Lists every clip of one quality that lies under a FaceForensics++ folder.

    Args:
        root: The folder that holds `original_sequences` and `manipulated_sequences`.
        compression: Quality.
        cache_dir: Where facts about files are kept; by default the user's cache folder.

    Returns:
        One row a clip, sorted by method and name, with the columns that `Clip` describes. `attrs["passed_over"]` of
        the table lists the files beside the clips that are not named as clips of FaceForensics++.

    Raises:
        FileNotFoundError: The folder holds no such video.

    Examples:
        >>> index(root, "c23").groupby("label").size().to_dict()
        {0: 6, 1: 24}
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

    Examples:
        >>> sorted(index_all(root).compression.unique())
        ['c23']
    """
    return _table(Path(root), tuple(FOLDERS), (needed,) if needed else tuple(FOLDERS), cache_dir)


def _table(
    root: Path, qualities: Sequence[Compression], needed: Sequence[Compression], cache_dir: Path | None
) -> pd.DataFrame:
    rows = list_clips(root, qualities, needed)
    table = add_facts(rows, root, cache_dir)
    table["dx"] = _lost_columns(table)
    table = table[list(Clip._fields[1:])]
    table.attrs["passed_over"] = rows.attrs["passed_over"]
    return table


def list_clips(
    root: Path, qualities: Sequence[Compression], needed: Sequence[Compression] | None = None
) -> pd.DataFrame:
    """Lists clips by their names alone; no file is opened.

    Args:
        root: The folder that holds `original_sequences` and `manipulated_sequences`.
        qualities: Which are listed, one below the other.
        needed: Of which one must be there; by default of all that are listed.

    Returns:
        The columns of `index` that a path tells, and its `attrs`.

    Raises:
        FileNotFoundError: The folder holds no such video.
    """
    refuse_unnameable(root)
    needed = qualities if needed is None else needed
    passed_over: list[str] = []
    found = {quality: list(_clips(root, quality, passed_over)) for quality in qualities}
    if not any(found[quality] for quality in needed):
        folders = sorted(path.name for path in root.iterdir())[:5] if root.is_dir() else "no such folder"
        raise DataMissingError(
            f"{root} holds no {' or '.join(needed)} video of FaceForensics++: wanted original_sequences/youtube/"
            f"{'|'.join(needed)}/videos/NNN.mp4, found {folders}; give the folder above these, or another quality"
        )
    rows = pd.concat([pd.DataFrame(clips) for clips in found.values() if clips])
    rows.attrs["passed_over"] = tuple(passed_over)
    return rows


def _clips(root: Path, compression: Compression, passed_over: list[str]) -> Iterator[dict[str, Any]]:
    for method in ON_DISK:
        parts = ("youtube", "actors") if method == "original" else (method,)
        for part in parts:
            folder = root / ("original_sequences" if method == "original" else "manipulated_sequences") / part
            videos = [path for name in FOLDERS[compression] for path in (folder / name / "videos").glob("*.mp4")]
            for _, path in sorted({path.name: path for path in reversed(videos)}.items()):  # raw before c0
                match = _NAMES.get(part, _PAIR).fullmatch(path.stem)
                if match is None:  # such as "000 (1).mp4", or "._000.mp4" of macOS
                    passed_over.append(os.fsencode(path).decode(errors="replace"))
                    continue
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
                    "mask_path": str(mask) if method != "original" and os.path.lexists(mask) else "",
                }


def _lost_columns(table: pd.DataFrame) -> pd.Series[int]:
    """Columns lost on the left, against the target's original or, where that is not there, its widest fake."""
    readable = table[table.frames > 0]
    originals = readable[readable.label == 0].groupby("target").width.max()
    widths = originals.combine_first(readable.groupby("target").width.max())
    lost = ((table.target.map(widths) - table.width) // 2).clip(lower=0)
    return lost.where(table.frames > 0, 0).astype(int)


def even_frames(length: int, count: int) -> tuple[int, ...]:
    """The middles of `count` equal parts of a clip, or all frames where there are fewer."""
    count = min(count, length)
    return tuple(int((part + 0.5) * length / count) for part in range(count))


NAMED_FILES = 20
"""Files that a sentence names, at most."""


def refuse_broken(clips: pd.DataFrame, place: object) -> None:
    """Refuses clips that cannot be used, and names them all at once.

    Args:
        clips: Rows of an index.
        place: What names them, for the message.

    Raises:
        ValueError: A clip has no frames.
    """
    broken = clips[clips.frames == 0]
    if len(broken):
        shown = "; ".join(broken.problem[:NAMED_FILES])
        more = f"; and {len(broken) - NAMED_FILES} more" if len(broken) > NAMED_FILES else ""
        remedy = "so download or copy them again, or leave them out"
        raise DataValueError(f"{len(broken)} clips of {place} cannot be read, {remedy}: {shown}{more}")
