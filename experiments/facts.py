"""What provenance says of the data of a run."""

from __future__ import annotations

from typing import Any

from datamodules.video_data import VideoDataModule

from .folder import digest


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
