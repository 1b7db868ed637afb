"""From a CSV of anybody's videos to a table like the index of FaceForensics++, one line a clip."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from .faces import FaceTracks, face_tracks
from .facts import video_facts
from .index import METHODS, with_facts
from .splits import SPLITS

COLUMNS = ("path", "label", "mask_path", "method", "pair", "split", "target")
"""Columns of the CSV; the first two are needed."""

NAMELESS = "fake"
"""Method of a fake whose line names none."""


def read_video_table(csv: Path, cache_dir: Path | None = None) -> pd.DataFrame:
    """Reads a CSV of videos and the headers of what it names; nothing is decoded.

    Args:
        csv: Its columns are described in `VideoFolderDataModule`.
        cache_dir: Where facts about files are kept; by default the user's cache folder.

    Returns:
        One row a line, in their order, with the columns of `Clip`, `split` and `pair`. A clip is named by its file,
        where two files share a name by its folders too. `compression` is not known: "".

    Raises:
        FileNotFoundError: The CSV, a video or a mask is missing.
        ValueError: The CSV is empty or lacks a column, a value is none of those wanted, a video is named twice or
            cannot be read, clips of a target differ in size, or people are in two splits.
    """
    if not csv.is_file():
        raise FileNotFoundError(f"csv is {str(csv)!r}, but wanted a file that exists, with the columns path and label")
    try:
        lines = pd.read_csv(csv, dtype=str, keep_default_na=False)
    except pd.errors.EmptyDataError:
        lines = pd.DataFrame()
    absent, other = [name for name in COLUMNS[:2] if name not in lines], sorted(set(lines) - set(COLUMNS))
    if absent or other:
        wrong = f"lacks the columns {absent}" if absent else f"has the columns {other}, which nothing reads"
        raise ValueError(f"{csv} {wrong}: wanted path,label and, if known, {','.join(COLUMNS[2:])}")
    if lines.empty:
        raise ValueError(f"{csv} names no video: wanted a line for each, below the line of the columns")
    lines = lines.reindex(columns=COLUMNS, fill_value="").apply(lambda column: column.str.strip())
    _refuse_values(lines, csv)
    folder = csv.resolve().parent
    table = pd.DataFrame({"label": lines.label.astype(int), "split": lines.split.replace("", "test")})
    for name in ("path", "mask_path"):
        table[name] = [str(folder / path) if path else "" for path in lines[name]]
        _refuse_missing(table[name], csv, name)
    twice = table.path[table.path.map(lambda path: Path(path).resolve()).duplicated()]
    if len(twice):
        raise ValueError(f"{csv} names {len(twice)} videos twice, first {twice.iloc[0]}: keep one line of each")
    table["clip"] = _names(lines.path)
    table["target"] = lines.target.where(lines.target != "", table["clip"])
    table["pair"] = lines.pair.where(lines.pair != "", table["target"])
    table["method"] = lines.method.where(lines.method != "", NAMELESS).where(table.label == 1, METHODS[0])
    table = table.assign(source="", compression="", dx=0)
    facts = video_facts([*table.path, *table.mask_path[table.mask_path != ""].unique()], csv, cache_dir)
    table = with_facts(table, facts.set_index("path"))
    _refuse_clips(table, csv)
    return table


def tracks_of(table: pd.DataFrame, faces: str, cache_dir: Path | None) -> FaceTracks:
    """Finds the faces of all targets: by dlib in one clip of each, a real one where there is one, or as `face_tracks`.

    Args:
        table: See `read_video_table`.
        faces: `dlib`, `masks`, `whole`, or the path of a CSV.
        cache_dir: Where tracks that were found are kept; by default the user's cache folder.
    """
    if faces == "dlib":  # which looks at originals, so each target gets one
        table = table.sort_values("label", kind="stable").drop_duplicates("target").assign(label=0, compression="raw")
    elif faces == "masks":  # which are told apart by method; ours are flat, as those of DeepFakeDetection
        table = table.assign(method=table.method.where(table.label == 0, "DeepFakeDetection"))
    return face_tracks(table, faces, cache_dir)


def _refuse_values(lines: pd.DataFrame, csv: Path) -> None:
    wanted = {"label": ("0", "1"), "split": ("", *SPLITS)}
    for name, values in wanted.items():
        wrong = lines[~lines[name].isin(values)]
        if len(wrong):
            raise ValueError(
                f"{csv}: {name} of {wrong.path.iloc[0]} is {wrong[name].iloc[0]!r}, but wanted "
                f"{' or '.join(filter(None, values))}: {'0 is real, 1 is fake' if name == 'label' else 'correct it'}"
            )
    fakes = lines.label == "1"
    crossed = lines[(fakes & (lines.method == METHODS[0])) | (~fakes & lines.method.isin(METHODS[1:]))]
    if len(crossed):
        line = crossed.iloc[0]
        raise ValueError(f"{csv}: {line.path} has label {line.label} and method {line.method}: correct one of them")


def _refuse_missing(paths: pd.Series[str], csv: Path, name: str) -> None:
    missing = [path for path in paths if path and not Path(path).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{csv}: {len(missing)} files of the column {name} do not exist, first {missing[0]}: "
            "give paths relative to the CSV, or absolute ones"
        )


def _refuse_clips(table: pd.DataFrame, csv: Path) -> None:
    broken = table[table.frames == 0]
    if len(broken):
        raise ValueError(
            f"{csv}: {len(broken)} videos cannot be read, first {broken.path.iloc[0]}: copy them again, "
            "or leave them out"
        )
    sizes = table.groupby("target")[["width", "height"]].nunique().max(axis=1)
    if sizes.max() > 1:
        raise ValueError(
            f"{csv}: clips of target {sizes.idxmax()} differ in size, so they cannot share a face track: "
            "give each a target of its own, or none"
        )
    for name in ("pair", "target"):
        homes = table.groupby(name).split.nunique()
        if homes.max() > 1:
            raise ValueError(
                f"{csv}: {name} {homes.idxmax()} is in {homes.max()} splits, but a face may be in one only: "
                "move its clips into one"
            )


def _names(paths: pd.Series[str]) -> pd.Series[str]:
    stems = paths.map(lambda path: Path(path).stem)
    whole = paths.map(lambda path: "__".join(part for part in Path(path).parts if part not in ("/", "..")))
    return stems.where(~stems.duplicated(keep=False), whole)
