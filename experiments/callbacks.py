"""What a run leaves in its folder beside metrics and checkpoints: overlays, predictions."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import default_collate

from datamodules import EpochLoader
from datamodules.stream import Unreadable

from .checkpoint_callbacks import BestCheckpoint, LastCheckpoint, RecentCheckpoint, RunCheckpoint
from .folder import write_text
from .pictures import overlays
from .result import result_of, rightness

__all__ = [
    "BestCheckpoint",
    "LastCheckpoint",
    "Overlays",
    "PredictionFile",
    "RecentCheckpoint",
    "RunCheckpoint",
    "SeedEachBatch",
    "extreme_frames",
    "tell_unreadable",
    "unreadable_clips",
]
for kind in (RunCheckpoint, BestCheckpoint, LastCheckpoint, RecentCheckpoint):
    kind.__module__ = __name__  # by which written configurations name them


class SeedEachBatch(Callback):
    """Seeds torch by seed, epoch, batch and process: a resumed training draws the dropout of an undisturbed one."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Seeds torch; frames and augmentation have seeds of their own."""
        key = [int(os.environ.get("PL_GLOBAL_SEED", 0)), trainer.current_epoch, trainer.global_rank, batch_idx]
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))


class Overlays(Callback):
    """Draws frames of a test: `overlays/<method>-<clip>-<frame>.png`.

    Args:
        per_method: Clips of each method of which the first frame is drawn.
        extremes: Fake frames and real ones drawn that were judged best, and as many that were judged worst, see
            `result.rightness`; read once more when the test has ended.
        folder: Name of the folder under the run's.
    """

    def __init__(self, per_method: int = 4, extremes: int = 3, folder: str = "overlays") -> None:
        if per_method < 0 or extremes < 0:
            raise ValueError(f"per_method is {per_method} and extremes {extremes}, wanted 0 or more of both")
        self.per_method = per_method
        self.extremes = extremes
        self.folder = folder
        self._drawn: Counter[str] = Counter()
        self._seen: set[int] = set()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts anew."""
        self._drawn.clear()
        self._seen.clear()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Mapping[str, Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draws the frames of this batch that show a clip for the first time."""
        clips = _clips(trainer)
        chosen = []
        for position, clip in enumerate(batch["clip"].tolist()):
            method = clips.method[clip]
            if clip not in self._seen and self._drawn[method] < self.per_method:
                self._seen.add(clip)
                self._drawn[method] += 1
                chosen.append(position)
        if not chosen or getattr(trainer, "fast_dev_run", False):
            return
        self._draw({key: value[chosen] for key, value in batch.items()}, trainer, pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Draws the frames that were judged best and worst."""
        if not self.extremes or not trainer.is_global_zero or getattr(trainer, "fast_dev_run", False):
            return
        clips = _clips(trainer)
        wanted: dict[int, list[int]] = {}
        numbers = {(method, clip): number for number, method, clip in clips[["method", "clip"]].itertuples()}
        for method, clip, frame in extreme_frames(result_of(pl_module.testing, clips).frames, self.extremes):
            wanted.setdefault(numbers[method, clip], []).append(frame)
        stream = cast("EpochLoader", trainer.test_dataloaders).stream
        samples = list(stream.only({clip: sorted(frames) for clip, frames in wanted.items()}))
        if samples:
            self._draw(trainer.strategy.batch_to_device(default_collate(samples)), trainer, pl_module)

    def _draw(self, batch: Mapping[str, Tensor], trainer: Trainer, module: Any) -> None:
        with torch.no_grad(), trainer.precision_plugin.test_step_context():
            predicted = module.predict_step(batch, 0)
        folder = Path(trainer.default_root_dir) / self.folder
        folder.mkdir(parents=True, exist_ok=True)
        for drawn in overlays(batch, predicted, _clips(trainer), module):
            Image.fromarray(drawn.picture).save(folder / f"{drawn.name}.png")


def extreme_frames(frames: pd.DataFrame, count: int) -> list[tuple[str, str, int]]:
    """Method, clip and index of the fake and the real frames that were judged best, and of those judged worst.

    Args:
        frames: See `Result`.
        count: Of each of the four.
    """
    found = []
    for label in (1, 0):
        of_label = frames[frames["label"] == label]
        order = rightness(of_label, label).dropna().sort_values(kind="stable").index
        ends = frames.loc[[*order[:count], *order[count:][-count:]], ["method", "clip", "frame"]]
        found += list(ends.itertuples(index=False, name=None))
    return found


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
