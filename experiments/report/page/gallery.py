"""Pictures of the best and the worst frames that were drawn in a test."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from contextlib import nullcontext
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from PIL import Image

from ...evaluation.pictures import CAPTION_PX
from ...evaluation.result import rightness
from ...evaluation.sound import sound_result
from ...runs.damage import DamagedFiles, blame_file
from ...runs.run import Run

BUDGET = 6_000_000
"""Bytes of all pictures of a page, as they are written into it."""

EACH = 3
"""Pictures of the best fake frames, of the worst, of the best real ones, and of the worst, of each row."""

WIDTH_PX, QUALITY = 480, 60


class JudgedPicture(NamedTuple):
    """A drawn frame.

    Attributes:
        kind: `fake` or `real`.
        name: Method, clip and frame.
        metric: How well the model did, in words.
        rank: Among all frames of this kind in the test, 1 is the best.
        frames: How many these are.
        path: Of the file.
    """

    kind: str
    name: str
    metric: str
    rank: int
    frames: int
    path: str


class EmbeddedPicture(NamedTuple):
    """A picture in the page: its data URI, width and height in pixels."""

    uri: str
    width: int
    height: int


def find_pictures(run: Run) -> dict[str, list[JudgedPicture]]:
    """Finds the overlays of a run's own test, and how well the model did on their frames.

    Returns:
        `best` and `worst`, fakes before real frames, the best and the worst of them first.
    """
    folder = run.folder.path / "overlays"
    if not (folder.is_dir() and "" in run.test_sets and run.folder.file("frames", None, "parquet").is_file()):
        return {}
    frames = sound_result(run.folder).frames
    frames["path"] = [
        str(folder / f"{method}-{clip}-{frame:04d}.png")
        for method, clip, frame in frames[["method", "clip", "frame"]].itertuples(index=False)
    ]
    there = {str(path) for path in folder.glob("*.png")}
    ends: dict[str, list[JudgedPicture]] = {"best": [], "worst": []}
    for label, kind in ((1, "fake"), (0, "real")):
        ordered = _rank_frames(frames[frames["label"] == label], label)
        pictures = [
            JudgedPicture(
                kind, f"{line.method} {line.clip}, frame {line.frame}", line.metric, rank, len(ordered), line.path
            )
            for rank, line in enumerate(ordered.itertuples(), 1)
            if line.path in there
        ]
        each = min(EACH, (len(pictures) + 1) // 2)
        ends["best"] += pictures[:each]
        ends["worst"] += pictures[max(each, len(pictures) - EACH) :][::-1]
    return ends


def _rank_frames(frames: pd.DataFrame, label: int) -> pd.DataFrame:
    """Frames of a label with `metric`, the best first."""
    right, metric = rightness(frames, label), "score " + frames["score"].map("{:.2f}".format)
    if "tp" in frames:
        shown = "IoU " + right.map("{:.2f}".format) if label else "called forged " + (1 - right).map("{:.1%}".format)
        metric = shown + ", " + metric
    judged = frames.assign(metric=metric, right=right).dropna(subset=["right"])
    return judged.sort_values(["right", "path"], ascending=[False, True])


def embed_pictures(
    galleries: Iterable[dict[str, list[JudgedPicture]]], budget: int = BUDGET, left_out: DamagedFiles | None = None
) -> tuple[dict[str, EmbeddedPicture], int]:
    """Encodes pictures until the budget is used up, in turn of each gallery and of its ends.

    Args:
        galleries: Pictures by ends.
        budget: Bytes of all that is written.
        left_out: Is told of damaged files, which are not shown.

    Returns:
        What is shown by path, and how many were left out.
    """
    queues = [iter(pictures) for gallery in galleries for pictures in gallery.values()]
    wanted = [picture.path for turn in zip_longest(*queues) for picture in turn if picture]
    shown: dict[str, EmbeddedPicture] = {}
    used = 0
    for number, path in enumerate(wanted):
        with left_out.noted() if left_out else nullcontext():
            picture = _encode(path)
            used += len(picture.uri)
            if used > budget:
                return shown, len(wanted) - number
            shown[path] = picture
    return shown, 0


def _encode(path: str) -> EmbeddedPicture:
    """Takes the line of text off a picture, and makes it as small as the page shows it."""
    with blame_file(Path(path), "put back a sound copy, or remove it"), Image.open(path) as opened:
        picture = opened.convert("RGB").crop((0, CAPTION_PX, opened.width, opened.height))
    picture.thumbnail((WIDTH_PX, WIDTH_PX))
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=QUALITY, method=6)
    return EmbeddedPicture(f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}", *picture.size)
