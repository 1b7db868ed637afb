"""Predictions as files: a table of frames and mask pictures."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from datamodules import EpochLoader
from datamodules.files import write_text
from datamodules.loading.unreadable import Unreadable


def _clips(trainer: Any) -> pd.DataFrame:
    return trainer.datamodule.clips


PREDICTED = ("method", "clip", "frame", "label", "score", "logit", "predicted", "x0", "y0", "x1", "y1")
"""Columns of `predictions.csv`."""


_UNREADABLE = ["method", "clip", "frames", "reason"]


_NONE = pd.DataFrame(columns=["method", "clip", "problem"])


class PredictionFile(Callback):
    """Writes `predictions/predictions.csv`, a row a frame, and forged probabilities as grey PNGs of the crop.

    The PNG of a frame is `predictions/masks/<method>/<clip>/<frame>.png`; 255 is probability 1. The columns x0 y0 x1 y1
    say where in the video's frame it lies, `logit` is the score's log-odds, which rank where scores round to 0 or 1,
    and `predicted` is 1 where they lie above the threshold that validation chose.

    Rows are written after every batch, those of each process to a file of its own, `predictions.part-0.csv`, as they
    come; a run that is killed leaves these. At the end they become the one file, sorted by method, clip and frame.

    Frames that cannot be read are left out, and `unreadable.csv` lists the clips that have such: `method`, `clip`,
    `frames` (how many are left out, 0 where no frame of the clip can be read) and `reason`, that of the first. Where
    every frame was read there is no such file.

    Args:
        masks: Whether PNGs are written.
        folder: Name of the folder under the run's.

    Attributes:
        unreadable: The rows of `unreadable.csv` after a prediction, in every process.
    """

    def __init__(self, masks: bool = True, folder: str = "predictions") -> None:
        self.masks = masks
        self.folder = folder
        self.unreadable = unreadable_clips([], _NONE, _NONE)
        self._rows: list[dict[str, Any]] = []

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Removes what a killed run has left; the file of one that ended stays until there is another."""
        self._rows.clear()
        if trainer.is_global_zero:
            for part in self._path(trainer, "").glob("predictions.part-*.csv"):
                part.unlink()
        trainer.strategy.barrier()  # nobody has begun to write

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Mapping[str, Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Writes the masks of a batch, then its rows."""
        predicted = {key: value.cpu().numpy() for key, value in outputs.items()}
        rows = []
        for number, score in enumerate(predicted["frame_score"]):
            method, name = _clips(trainer).loc[int(batch["clip"][number]), ["method", "clip"]]
            frame = int(batch["frame"][number])
            box = dict(zip(("x0", "y0", "x1", "y1"), batch["box"][number].int().tolist(), strict=True))
            facts = {"method": method, "clip": name, "frame": frame, "label": int(batch["label"][number])}
            logit = float(predicted["frame_logit"][number])
            called = int(logit > pl_module.point.frame_logit)
            rows.append({**facts, "score": float(score), "logit": logit, "predicted": called, **box})
            if self.masks and "mask_probability" in predicted:
                path = self._path(trainer, "masks") / method / name / f"{frame:04d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                grey = (predicted["mask_probability"][number] * 255).round().astype(np.uint8)
                Image.fromarray(grey).save(path)
        path = self._part(trainer)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = pd.DataFrame(rows, columns=PREDICTED).to_csv(index=False, header=not self._rows)
        with path.open("a", newline="") as file:
            file.write(text)
        self._rows += rows

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Joins the rows of all processes into one file."""
        loader = trainer.predict_dataloaders
        own = self._rows, loader.stream.unreadable if isinstance(loader, EpochLoader) else []
        gathered: list[Any] = [own]
        if trainer.world_size > 1:
            gathered = [None] * trainer.world_size
            torch.distributed.all_gather_object(gathered, own)
        self.unreadable = unreadable_clips(
            [what for _, left_out in gathered for what in left_out], _clips(trainer), _unusable(trainer)
        )
        if trainer.is_global_zero:
            path, unreadable = self._path(trainer, "predictions.csv"), self._path(trainer, "unreadable.csv")
            rows = pd.DataFrame([row for part, _ in gathered for row in part], columns=PREDICTED)
            write_text(path, rows.sort_values(["method", "clip", "frame"]).to_csv(index=False))
            unreadable.unlink(missing_ok=True)
            if len(self.unreadable):
                write_text(unreadable, self.unreadable.to_csv(index=False))
            print(f"wrote {len(rows)} frames to {path}")
        trainer.strategy.barrier()  # until then the parts are all there is
        self._part(trainer).unlink(missing_ok=True)
        self._rows.clear()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Says where the rows are that were written before an error or Ctrl-C."""
        if self._rows:
            print(f"{len(self._rows)} frames predicted until then are in {self._part(trainer)}", file=sys.stderr)
            self._rows.clear()

    def _path(self, trainer: Trainer, name: str) -> Path:
        return Path(trainer.default_root_dir) / self.folder / name

    def _part(self, trainer: Trainer) -> Path:
        return self._path(trainer, f"predictions.part-{trainer.global_rank}.csv")


def _unusable(trainer: Any) -> pd.DataFrame:
    module = trainer.datamodule
    clips = getattr(module, "unusable", None)
    return _NONE if clips is None else clips[clips.split == module.predict_split]


def unreadable_clips(left_out: Sequence[Unreadable], clips: pd.DataFrame, unusable: pd.DataFrame) -> pd.DataFrame:
    """Lists the clips of which frames were left out, a row each, as `PredictionFile` says.

    Args:
        left_out: By whichever processes.
        clips: Rows of the index.
        unusable: Further rows, of clips that cannot be read at all.
    """
    rows = [
        {"method": clip.method, "clip": clip.clip, "frames": 0, "reason": clip.problem}
        for clip in unusable.itertuples()
    ]
    for number in sorted({what.clip for what in left_out}):
        parts = sorted(what for what in left_out if what.clip == number)
        method, clip = clips.loc[number, ["method", "clip"]]
        frames = sum(len(part.frames) for part in parts)
        rows.append({"method": method, "clip": clip, "frames": frames, "reason": parts[0].reason})
    table = pd.DataFrame(rows, columns=_UNREADABLE)
    return table.sort_values(["method", "clip"], ignore_index=True)


def tell_unreadable(clips: pd.DataFrame, folder: Path) -> None:
    """Names on stderr what a prediction left out, see `PredictionFile`."""
    for row in clips.itertuples():
        print(f"{row.method}/{row.clip}: {row.frames} frames: {row.reason}", file=sys.stderr)
    sentence = f"{len(clips)} clips could not be read whole, so {clips.frames.sum()} frames are missing from {folder}"
    print(f"error: {sentence}/predictions.csv; unreadable.csv beside it names them all", file=sys.stderr)
