"""What an evaluation leaves beside its metrics: every frame's score and counts, every clip's histogram of pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datamodules.files import write_atomically, write_parquet
from lightning_modules import OperatingPoint
from lightning_modules.metrics.operating_point import LARGEST

from ..errors import ExperimentMissingError, ExperimentValueError
from ..runs.folder import RunFolder

if TYPE_CHECKING:  # reports read results without torch
    from torch import Tensor

    from lightning_modules import Evaluation

COUNTS = ["tp", "fp", "fn", "tn"]
"""Columns of a frame's pixels on the canvas; with `own_` before them, of those by the labels that were trained on."""


class Result(NamedTuple):
    """An evaluation, by names that hold for every run on the same data.

    Attributes:
        frames: One row a frame: `method` (of other data sets, whatever they call it), `clip`, `pair`, `label`, `frame`,
            `score` and its log-odds `logit`, by which frames are ranked and called; `tp`, `fp`, `fn`, `tn` where pixels
            were judged; the same behind `own_` where labels of its own were trained on.
        groups: One row for each clip and label: `method`, `clip`, `pair`, `label`; none where pixels were not judged.
        histograms: int64 (G, 2, BINS), see `lightning_modules.Measurements`.
        point: The operating point in use.
    """

    frames: pd.DataFrame
    groups: pd.DataFrame
    histograms: NDArray[np.int64]
    point: OperatingPoint


def make_result(evaluation: Evaluation, clips: pd.DataFrame) -> Result:
    """Names what an evaluation has measured.

    Args:
        evaluation: After `compute`.
        clips: The rows of the index that batches number, with `clip` and `pair`.
    """
    measured = evaluation.measured
    if measured is None:
        raise ExperimentValueError("the evaluation has computed nothing yet: call compute() first")
    several = measured.logits.shape[1] > 1
    logit = measured.logits[:, evaluation.decisions.index(evaluation.point.decision) if several else 0]
    facts = {"frame": measured.frame.numpy(), "score": logit.sigmoid().numpy(), "logit": logit.numpy()}
    frames = _name_clips(measured.clip, measured.label, clips).assign(**facts)
    for prefix, counts in (("", measured.counts), ("own_", measured.own)):
        if counts is not None:
            frames[[prefix + name for name in COUNTS]] = counts.numpy()
    clip, _, label = measured.groups.unbind(1)
    groups = _name_clips(clip, label, clips)
    return Result(frames, groups, measured.histograms.numpy(), evaluation.point)


def _name_clips(clip: Tensor, label: Tensor, clips: pd.DataFrame) -> pd.DataFrame:
    known = clips.loc[clip.numpy(), ["method", "clip", "pair"]].reset_index(drop=True)
    return known.assign(label=label.numpy())


def rightness(frames: pd.DataFrame, label: int) -> pd.Series[float]:
    """How right the frames of one label were judged, higher is better: what the best and the worst are told by.

    Fake frames by their IoU, real ones by the share of pixels not called forged; where pixels were not judged, both by
    the log-odds of the score. NaN where that is not defined.

    Args:
        frames: Rows of `Result.frames`, all of one label.
        label: 0 real, 1 fake.
    """
    if "tp" not in frames:
        return frames["logit"] if label else -frames["logit"]
    if label:
        return frames["tp"] / frames[["tp", "fp", "fn"]].sum(axis=1)
    return frames["tn"] / frames[["fp", "tn"]].sum(axis=1)


def write_result(result: Result, folder: RunFolder, name: str | None) -> None:
    """Writes `frames.parquet` and `histograms.npz`, or `frames-NAME.parquet` and so on for other test data."""
    write_parquet(result.frames, folder.file("frames", name, "parquet"))
    path = folder.file("histograms", name, "npz")
    groups = {column: result.groups[column].to_numpy(dtype=str) for column in ("method", "clip", "pair")}
    with write_atomically(path) as unfinished:
        np.savez_compressed(
            unfinished, histograms=result.histograms.astype(np.int32), label=result.groups["label"].to_numpy(), **groups
        )


def read_result(folder: RunFolder, name: str | None = None) -> Result:
    """Reads what `write_result` wrote.

    Raises:
        FileNotFoundError: Nothing was tested there.
    """
    path = folder.file("frames", name, "parquet")
    if not (path.is_file() and folder.metrics(name).is_file()):  # metrics are written last
        raise ExperimentMissingError(
            f"{path} does not exist, but holds what a test has measured: give a run's folder, such as "
            "runs/table-2/resnet50-joint/seed0, that `python -m experiments test` has tested"
        )
    with np.load(folder.file("histograms", name, "npz")) as stored:
        groups = pd.DataFrame({column: stored[column] for column in ("method", "clip", "pair", "label")})
        histograms = stored["histograms"].astype(np.int64)
    noted = folder.read_provenance(f"test-{name}" if name else "test")["operating_point"]
    frames = pd.read_parquet(path)
    if "logit" not in frames:  # written before there were log-odds
        with np.errstate(divide="ignore"):
            frames["logit"] = (np.log(frames["score"]) - np.log1p(-frames["score"])).clip(-LARGEST, LARGEST)
    return Result(frames, groups, histograms, OperatingPoint.read(noted))
