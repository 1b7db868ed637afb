"""Reads what a test has measured, and names the file where one is damaged."""

from __future__ import annotations

import zipfile

import numpy as np
import pandas as pd

from lightning_modules import OperatingPoint

from ..runs.damage import DamagedFileError, blame_file
from ..runs.folder import RunFolder
from .result import Result, read_result

FRAME_COLUMNS = ("method", "clip", "pair", "label", "frame", "score")
"""Of the frames of every test."""


def sound_result(folder: RunFolder, name: str | None = None) -> Result:
    """Reads what a test has measured, see `read_result`.

    Args:
        folder: Of the run.
        name: Of other test data.

    Raises:
        FileNotFoundError: Nothing was tested there.
        DamagedFileError: A file is damaged, or lacks.
    """
    frames, histograms = folder.file("frames", name, "parquet"), folder.file("histograms", name, "npz")
    remedy = f"put back a sound copy, or remove {folder.metrics(name).name} and test again"
    with blame_file(histograms, remedy):
        if histograms.is_file() and not zipfile.is_zipfile(histograms):
            raise ValueError("it is no archive")
    try:
        result = read_result(folder, name)
        found: Exception | None = None
    except Exception as error:  # which file it is about is told by none
        if not (frames.is_file() and folder.metrics(name).is_file()):
            raise
        found = error
    if found is not None:
        with blame_file(frames, remedy):
            pd.read_parquet(frames)[[*FRAME_COLUMNS]].astype({"score": float})
        with blame_file(histograms, remedy), histograms.open("rb") as file, np.load(file) as stored:
            for part in ("method", "clip", "pair", "label", "histograms"):
                stored[part]
        with blame_file(folder.provenance):
            OperatingPoint.read(folder.read_provenance(f"test-{name}" if name else "test")["operating_point"])
        raise DamagedFileError(f"{folder.path} holds a test that cannot be read ({found}): {remedy}") from found
    with blame_file(frames, remedy):
        result.frames[[*FRAME_COLUMNS]].astype({"score": float})
    return result
