"""From a CSV of anybody's videos to a table like the index of FaceForensics++, one line a clip."""

from __future__ import annotations

import os
import shlex
import stat
from collections import defaultdict
from pathlib import Path

import pandas as pd

from ..clips.csv_lines import list_names, read_lines
from ..clips.facts import add_facts
from ..clips.index import METHODS
from ..clips.splits import SPLITS
from ..errors import DataMissingError, DataValueError
from ..faces.detection import select_masked
from ..faces.tracks import FaceTracks, face_tracks

CSV_COLUMNS = ("path", "label", "mask_path", "method", "pair", "split", "target")
"""Columns of the CSV; the first two are needed."""

PATH_COLUMNS = ("path", "mask_path")
"""Columns that name files."""

NAMELESS = "fake"
"""Method of a fake whose line names none."""


def read_video_table(csv: Path, cache_dir: Path | None = None) -> pd.DataFrame:
    """Reads a CSV of videos and the headers of what it names; nothing is decoded.

    Args:
        csv: Its columns are described in `VideoFolderDataModule`.
        cache_dir: Where facts about files are kept; by default the user's cache folder.

    Returns:
        One row a line, in their order, with the columns of `Clip`, `split` and `pair`. A clip is named by its file,
        where two files share a name by its folders too. `source` and `compression` are not known, so "", and `dx` is
        0.

    Raises:
        FileNotFoundError: The CSV, a video or a mask is missing, or no file.
        ValueError: The CSV is empty or cannot be read, a value is none of those wanted, a video is
            named twice, clips of a target differ in size, or people are in two splits.
    """
    table = add_facts(list_videos(csv), csv, cache_dir)
    _refuse_clips(table, csv)
    return table


def list_videos(csv: Path, lacking: bool = False) -> pd.DataFrame:
    """Reads what a CSV says of its videos; no video is opened.

    Args:
        csv: Its columns are described in `VideoFolderDataModule`.
        lacking: Whether it may name files that are not there.

    Returns:
        The columns of `read_video_table` that the CSV tells.

    Raises:
        FileNotFoundError: The CSV is missing, or a video or a mask where these may not lack.
        ValueError: The CSV is empty or cannot be read, a value is none of those wanted, or a video is named twice.
    """
    if not os.path.isfile(csv):
        raise DataMissingError(f"csv is {str(csv)!r}, but wanted a file that exists, with the columns path and label")
    lines = read_lines(csv, CSV_COLUMNS[:2], CSV_COLUMNS[2:], others=False)
    if lines.empty:
        raise DataValueError(f"{csv} names no video: wanted a line for each, below the line of the columns")
    lines = lines.reindex(columns=list(CSV_COLUMNS), fill_value="")
    folder = csv.resolve().parent
    for name in CSV_COLUMNS:
        lines[name] = [_existing_path(folder, cell) if name in PATH_COLUMNS else cell.strip() for cell in lines[name]]
    _refuse_values(lines, csv)
    _refuse_contradictions(lines, csv)
    files = lines[list(PATH_COLUMNS)].map(lambda path: str(folder / path) if path else "")
    if not lacking:
        _refuse_files(files, csv)
    _refuse_repeated(files.path, csv)
    lines, files = lines.reset_index(drop=True), files.reset_index(drop=True)
    table = files.assign(label=lines.label.astype(int), split=lines.split.replace("", "test"))
    table["clip"] = _names(lines.path)
    table["target"] = lines.target.where(lines.target != "", table["clip"])
    table["pair"] = lines.pair.where(lines.pair != "", table["target"])
    table["method"] = lines.method.where(lines.method != "", NAMELESS).where(table.label == 1, METHODS[0])
    return table.assign(source="", compression="", dx=0)


def tracks_of(table: pd.DataFrame, faces: str, mask_threshold: int, cache_dir: Path | None) -> FaceTracks:
    """Finds the faces of all targets: by dlib in one clip of each, a real one where there is one, or as `face_tracks`.

    Args:
        table: The clips that can be read, as `read_video_table` gives them.
        faces: `dlib`, `masks`, `whole`, or the path of a CSV.
        mask_threshold: Grey level, 0 to 254, that forged pixels of a mask exceed.
        cache_dir: Where tracks that were found are kept; by default the user's cache folder.
    """
    candidates = None
    if faces == "dlib":
        candidates = table = table.sort_values("label", kind="stable").drop_duplicates("target").sort_values("target")
    elif faces == "masks":
        fakes = table[table.label == 1].sort_values(["target", "clip"])
        candidates = select_masked(fakes.assign(threshold=mask_threshold))
    return face_tracks(table, faces, cache_dir, candidates=candidates)


def _existing_path(folder: Path, cell: str) -> str:
    """A path as it stands there; without the spaces round it only where nothing has that name."""
    return cell if os.path.lexists(folder / cell) else cell.strip()


def _refuse_values(lines: pd.DataFrame, csv: Path) -> None:
    right = {
        "path": (lines.path != "", "that of a video"),
        "label": (lines.label.isin(("0", "1")), "0 (real) or 1 (fake)"),
        "split": (lines.split.isin(("", *SPLITS)), " or ".join(SPLITS)),
    }
    wrong = []
    for name, (is_right, wanted) in right.items():
        values = [f"{value!r} in line {line}" for line, value in lines[name][~is_right].items()]
        if values:
            wrong.append(f"{name} of {len(values)} lines is {list_names(values)}, but wanted {wanted}")
    if wrong:
        raise DataValueError(f"{csv}: {'; '.join(wrong)}: correct these lines")


def _refuse_contradictions(lines: pd.DataFrame, csv: Path) -> None:
    fakes = lines.label == "1"
    crossed = lines[(fakes & (lines.method == METHODS[0])) | (~fakes & lines.method.isin(METHODS[1:]))]
    if len(crossed):
        values = [f"label {line.label} with method {line.method} in line {line.Index}" for line in crossed.itertuples()]
        raise DataValueError(
            f"{csv} contradicts itself in {len(values)} lines, {list_names(values)}: "
            f"{METHODS[0]} are real, the other methods of FaceForensics++ make fakes, so correct one of the two"
        )


def _refuse_files(files: pd.DataFrame, csv: Path) -> None:
    """Refuses at once all that is no file, whichever column names it."""
    wrong = [
        (name, path, f"{name} {path} in line {line} ({problem})")
        for name in PATH_COLUMNS
        for line, path in files[name].drop_duplicates().items()
        if path and (problem := _problem(path))
    ]
    if not wrong:
        return
    folders = {
        name: [path for column, path, _ in wrong if column == name and os.path.isdir(path)] for name in PATH_COLUMNS
    }
    remedies = []
    if len(wrong) > sum(map(len, folders.values())):
        remedies.append("give paths relative to the CSV, or absolute ones, of files that are there")
    if folders["path"]:
        remedies.append("name each video of a folder in a line of its own")
    if folders["mask_path"]:
        pictures = shlex.quote(f"{folders['mask_path'][0]}/%04d.png")
        remedies.append(f"masks are videos, so make one of a folder's: ffmpeg -framerate 25 -i {pictures} mask.mp4")
    told = list_names([text for *_, text in wrong])
    raise DataMissingError(f"{csv} names {len(wrong)} videos or masks that are no files, {told}: {'; '.join(remedies)}")


def _problem(path: str) -> str:
    """Why a path is none of a file; else empty."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        reason = str(error.strerror).lower()
        return f"a link to what is not there: {reason}" if os.path.islink(path) else reason
    return "" if stat.S_ISREG(mode) else "a folder" if stat.S_ISDIR(mode) else "neither a file nor a folder"


def _refuse_repeated(paths: pd.Series[str], csv: Path) -> None:
    lines_of = defaultdict(list)
    for line, path in paths.items():
        lines_of[os.path.realpath(path)].append(line)
    twice = [
        f"{paths[lines[0]]} in lines {list_names(list(map(str, lines)))}" for lines in lines_of.values() if lines[1:]
    ]
    if twice:
        raise DataValueError(
            f"{csv} names {len(twice)} videos more than once, {list_names(twice)}: keep one line of each"
        )


def _refuse_clips(table: pd.DataFrame, csv: Path) -> None:
    sizes = table[table.frames > 0].groupby("target")[["width", "height"]].nunique().max(axis=1)
    if sizes.max() > 1:
        raise DataValueError(
            f"{csv}: clips of target {sizes.idxmax()} differ in size, so they cannot share a face track: "
            "give each a target of its own, or none"
        )
    for name in ("pair", "target"):
        homes = table.groupby(name).split.nunique()
        if homes.max() > 1:
            raise DataValueError(
                f"{csv}: {name} {homes.idxmax()} is in {homes.max()} splits, but a face may be in one only: "
                "move its clips into one"
            )


def _names(paths: pd.Series[str]) -> pd.Series[str]:
    stems = paths.map(lambda path: Path(path).stem)
    whole = paths.map(lambda path: "__".join(part for part in Path(path).parts if part not in ("/", "..")))
    names = stems.where(~stems.duplicated(keep=False), whole)
    outside = {"/": "root", "..": "up"}  # a/x.mp4 and ../a/x.mp4 are two clips
    full = paths.map(lambda path: "__".join(outside.get(part, part) for part in Path(path).parts))
    return names.where(~names.duplicated(keep=False), full)
