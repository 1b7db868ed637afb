"""One face track per target, used for the original and for every fake made of it.

A crop by each clip's own mask would tell a classifier the method by the crop's geometry. So boxes belong to the target:
they are found once, over all that is on disk whatever methods and quality are selected, and clips that were cropped at
their sides are met by a shift.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..clips.csv_lines import list_names, read_lines
from ..clips.index import REWINDING, Clip
from ..clips.mask_check import COVERED
from ..errors import DataMissingError, DataValueError
from .detection import TRACK_COLUMNS, Source, official_candidates
from .search import find_tracks

SOURCES = ("masks", "dlib", "whole")
"""What `faces` can be but for a file."""


Boxes = NDArray[np.float32]
"""(N, 4): x0 y0 x1 y1 in pixels."""


NO_NUMBER = ("", "nan", "na", "n/a", "null", "none")
"""What a CSV has for a number that is not known, in any case of letters."""


@dataclass(frozen=True)
class FaceTracks:
    """Where the face is in every frame of every target.

    Attributes:
        source: `masks`, `dlib`, `whole`, the path of a CSV, or two of them joined by `, else `.
        digest: Hash of all boxes, for provenance.
        boxes: By target, one box a frame, tight round the face, in pixels of the target's original; None stands for
            whole frames.
        frame: By target, what is seen of its original in every clip made of it: x0 x1 and the height. A crop stays
            inside, so it is the same for all of them.

    Examples:
        >>> from datamodules import clips_of, index
        >>> table = index(root)
        >>> face_tracks(table, "whole").crops(clips_of(table)[0], [0], margin=1.3).tolist()
        [[0, 0, 160, 128]]
    """

    source: str
    digest: str
    boxes: Mapping[str, Boxes | None]
    frame: Mapping[str, tuple[int, int, int]]

    def digest_of(self, targets: Iterable[str]) -> str:
        """Short hash of what is cut out of some targets' clips, whichever others are known.

        Args:
            targets: Ids, in any order.
        """
        used = sorted(set(targets))
        boxes = _digest({target: self.boxes[target] for target in used})
        frames = repr([(target, self.frame[target]) for target in used])
        return hashlib.sha256(f"{frames}{boxes}".encode()).hexdigest()[:16]

    def full_targets(self) -> list[str]:
        """Targets whose box is nearly the whole frame in every frame; not those of which whole frames are asked for."""
        full = []
        for target, track in sorted(self.boxes.items()):
            if track is not None:
                left, right, height = self.frame[target]
                areas = (track[:, 2] - track[:, 0]) * (track[:, 3] - track[:, 1])
                if areas.min() >= COVERED * (right - left) * height:
                    full.append(target)
        return full

    def crops(self, clip: Clip, frames: Sequence[int], margin: float) -> NDArray[np.int64]:
        """Boxes to cut out of a clip.

        FaceForensics++'s rule: a square of `margin` times the larger side of the face, centred, clipped at the border;
        here on even coordinates, so that the planes of a yuv420p frame can be cut too. `whole` gives the whole frame.

        Args:
            clip: A row of the index.
            frames: Indices. A Face2Face clip longer than its target shows it again from its start; in any other clip
                the last box holds behind the target's end.
            margin: 1 is the tight square.

        Returns:
            (N, 4) x0 y0 x1 y1 in pixels of this clip's frame.
        """
        left, right, height = self.frame[clip.target]
        track = self.boxes[clip.target]
        if track is None:
            whole = [left - clip.dx, 0, right - clip.dx, height]
            return np.tile(np.array(whole, np.int64), (len(frames), 1))
        numbers = np.asarray(frames, int)
        x0, y0, x1, y1 = track[numbers % len(track) if clip.rewinds else np.minimum(numbers, len(track) - 1)].T
        side = margin * np.maximum(x1 - x0, y1 - y0)
        cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
        left, right, bottom = left + left % 2, right - right % 2, height - height % 2
        x = np.clip(_make_even(cx - side / 2), left, right - 8)
        y = np.clip(_make_even(cy - side / 2), 0, bottom - 8)
        side = np.clip(_make_even(side), 8, np.minimum(right - x, bottom - y))
        return np.stack([x - clip.dx, y, x - clip.dx + side, y + side], axis=1)


def face_tracks(
    table: pd.DataFrame,
    source: str = "masks",
    cache_dir: Path | None = None,
    needed: Collection[str] | None = None,
    candidates: pd.DataFrame | None = None,
) -> FaceTracks:
    """Finds, reads or omits the faces of all targets of an index.

    Args:
        table: The index of all that is on disk, see `index_all`.
        source: `masks` (official masks, in the order of `detection.PREFERENCE`), `dlib` (its detector on the
            originals), `whole` (the whole frame), or the path of a CSV with the columns target, frame, x0, y0, x1, y1
            in pixels of the original; a frame left out, or without numbers, is a gap.
        cache_dir: Where tracks that were found are kept; by default the user's cache folder.
        needed: Targets that must have a box; by default all.
        candidates: For `masks` and `dlib`, the clips to look at, see `detection.list_searches`; by default as
            `detection.official_candidates` chooses them.

    Raises:
        ValueError: A target that is needed has no box in any frame, for dlib no original; a CSV lacks columns; or dlib
            is not installed.
        FileNotFoundError: The CSV does not exist.

    Examples:
        >>> from datamodules import index
        >>> tracks = face_tracks(index(root))
        >>> tracks.source, len(tracks.boxes)
        ('masks', 6)
    """
    table = table[table.frames > 0]
    frame = {str(target): common_frame(clips) for target, clips in table.groupby("target")}
    if source == "whole":
        return FaceTracks("whole", "whole", dict.fromkeys(frame), frame)
    lengths = _target_lengths(table)
    wanted = set(lengths if needed is None else needed)
    if source in ("masks", "dlib"):
        kind = cast("Source", source)
        looked_at = official_candidates(table, kind) if candidates is None else candidates
        if kind == "dlib":
            _refuse_without_original(looked_at, wanted)
        found = find_tracks(looked_at, kind, lengths, cache_dir)
    else:
        found = _read_csv(Path(source))
    grouped = {str(target): rows for target, rows in found.groupby("target")}
    absent = sorted(wanted - set(grouped))
    if absent:
        raise DataValueError(
            f"{len(absent)} targets have no face box in {source}, first {absent[0]!r}: use faces: "
            f"{'masks, ' if source == 'dlib' else ''}whole, or a CSV with the columns target, frame, x0, y0, x1, y1"
        )
    boxes = {target: fill_gaps(grouped[target], lengths[target]) for target in lengths if target in grouped}
    return FaceTracks(source, _digest(boxes), boxes, frame)


def canvas_tracks(
    table: pd.DataFrame, own: FaceTracks, cache_dir: Path | None = None, needed: Collection[str] | None = None
) -> FaceTracks:
    """Finds where the truth is measured, alike for all that are compared: in the official masks where there are any.

    Args:
        table: The index of all that is on disk, see `index_all`.
        own: What crops are cut out by; it is taken for targets without a mask.
        cache_dir: Where tracks that were found are kept; by default the user's cache folder.
        needed: Targets that are measured, to say what was used for them; by default all.

    Returns:
        Tracks whose source is `masks`, that of `own`, or `masks, else` that of `own`.
    """
    if own.source == "masks":
        return own
    oracle = face_tracks(table, "masks", cache_dir, needed=())
    measured = set(own.boxes if needed is None else needed)
    if not measured & oracle.boxes.keys():
        return own
    if measured <= oracle.boxes.keys():
        return oracle
    boxes = {**own.boxes, **oracle.boxes}
    return FaceTracks(f"masks, else {own.source}", _digest(boxes), boxes, own.frame)


def _digest(boxes: Mapping[str, Boxes | None]) -> str:
    tracks = (boxes[target] for target in sorted(boxes))
    return hashlib.sha256(b"".join(b"whole" if track is None else track.tobytes() for track in tracks)).hexdigest()


def _refuse_without_original(looked_at: pd.DataFrame, wanted: set[str]) -> None:
    absent = sorted(wanted - set(looked_at.target))
    if absent:
        raise DataValueError(
            f"{len(absent)} targets have no readable original, first {absent[0]!r}, but dlib looks at nothing else: "
            "download the originals of one quality, or use faces: masks"
        )


def _make_even(values: NDArray[np.float32]) -> NDArray[np.int64]:
    return 2 * np.floor(values / 2).astype(np.int64)


def common_frame(clips: pd.DataFrame) -> tuple[int, int, int]:
    """What all clips of a target show of its original.

    Args:
        clips: Readable rows of an index, of one target; at least one.

    Returns:
        x0 and x1 in pixels of the original, and the height.
    """
    return int(clips.dx.max()), int((clips.dx + clips.width).min()), int(clips.height.min())


def _target_lengths(table: pd.DataFrame) -> dict[str, int]:
    """Frames of a target's original, else of its longest fake that keeps the target's time, else of its Face2Face."""
    nearness = table.label + (table.method == REWINDING)
    best = table.assign(nearness=nearness).sort_values(["nearness", "frames"], ascending=[True, False])
    return {str(target): int(frames) for target, frames in best.groupby("target").frames.first().items()}


def fill_gaps(rows: pd.DataFrame, length: int) -> Boxes:
    """Makes a track of the boxes of some frames: between two of them interpolated, outside of them held.

    Args:
        rows: `frame` and the sides `x0`, `y0`, `x1`, `y1` in pixels; one row or more.
        length: Frames of the track.
    """
    rows = rows.sort_values("frame")
    return np.stack(
        [np.interp(np.arange(length), rows.frame, rows[side]) for side in TRACK_COLUMNS[2:]], axis=1, dtype=np.float32
    )


def _read_csv(path: Path) -> pd.DataFrame:
    if not os.path.isfile(path):
        raise DataMissingError(f"faces is {str(path)!r}, but wanted masks, dlib, whole, or a CSV file that exists")
    cells = read_lines(path, TRACK_COLUMNS)[TRACK_COLUMNS].apply(lambda column: column.str.strip())
    numbers = cells[TRACK_COLUMNS[1:]].apply(pd.to_numeric, errors="coerce").astype(float)
    gaps = cells[TRACK_COLUMNS[2:]].apply(lambda column: column.str.lower().isin(NO_NUMBER))
    right = np.isfinite(numbers).assign(target=cells.target != "")
    right[gaps.columns] |= gaps
    right["frame"] &= (numbers.frame >= 0) & (numbers.frame % 1 == 0)
    wrong = np.argwhere(~right[TRACK_COLUMNS].to_numpy(bool))
    if len(wrong):
        told = [f"{TRACK_COLUMNS[name]} {cells.iat[row, name]!r} in line {cells.index[row]}" for row, name in wrong]
        raise DataValueError(
            f"{path} has {len(told)} values that cannot be, {list_names(told)}: give a target, a whole number "
            "from 0 as its frame, and x0, y0, x1, y1 in pixels with decimal points, or none where there is no face"
        )
    table = numbers.assign(target=cells.target)[~gaps.any(axis=1)]
    flat = table.index[(table.x1 <= table.x0) | (table.y1 <= table.y0)]
    if len(flat):
        raise DataValueError(
            f"{path} has {len(flat)} boxes that hold nothing, in lines {list_names(list(map(str, flat)))}: wanted "
            "corners, with x0 < x1 and y0 < y1, not width and height, and no numbers where there is no face"
        )
    twice = table[table.duplicated(["target", "frame"], keep=False)].sort_values(["target", "frame"], kind="stable")
    if len(twice):
        told = [f"frame {int(row.frame)} of {row.target} in line {row.Index}" for row in twice.itertuples()]
        raise DataValueError(
            f"{path} has several boxes of {twice.groupby(['target', 'frame']).ngroups} frames, {list_names(told)}: "
            "keep one of each"
        )
    return table
