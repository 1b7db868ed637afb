"""What provenance says of the data of a run."""

from __future__ import annotations

import datetime
import hashlib
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:  # plans read runs without Lightning
    from datamodules.video_data import VideoDataModule


def data_facts(data: VideoDataModule) -> dict[str, Any]:
    """What provenance says of the data: face tracks, canvas, clips, and hashes of split and index."""
    clips, tracks, canvas = data.clips, data.tracks, data.canvas_tracks
    if clips is None or tracks is None or canvas is None:
        raise RuntimeError("the data are not known yet: call setup(stage) first")
    problem = clips["mask_problem"]  # which names paths
    told = clips.drop(columns=["path", "mask_path"]).assign(mask_problem=problem.where(problem == "", "unusable"))
    return {
        "faces": {"source": tracks.source, "digest": tracks.digest},
        "canvas": {"source": canvas.source, "digest": canvas.digest},
        "clips": clips.groupby(["split", "method"]).size().unstack(fill_value=0).to_dict("index"),
        "splits": digest(clips[["method", "clip", "split"]]),
        "index": digest(told),
    }


def digest(table: pd.DataFrame) -> str:
    """Short hash of a table's content."""
    return hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()[:16]


def surroundings() -> dict[str, Any]:
    """When, on what and with which code and packages something ran."""
    packages = ("torch", "pytorch-lightning", "timm", "segmentation-models-pytorch", "torchmetrics", "albumentations")
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "git": _git("rev-parse", "HEAD"),
        "git_changes": bool(_git("status", "--porcelain")),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": {package: version(package) for package in packages},
    }


def _git(*words: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
