"""Pictures of a test: the best, the worst, and one of every clip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pandas as pd
import torch
from PIL import Image
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import default_collate

from datamodules import EpochLoader

from ..errors import ExperimentValueError
from ..evaluation.pictures import overlays
from ..evaluation.result import make_result, rightness
from .predictions import _clips


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
            raise ExperimentValueError(f"per_method is {per_method} and extremes {extremes}, wanted 0 or more of both")
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
        for method, clip, frame in extreme_frames(make_result(pl_module.testing, clips).frames, self.extremes):
            wanted.setdefault(numbers[method, clip], []).append(frame)
        stream = cast("EpochLoader", trainer.test_dataloaders).stream
        samples = list(stream.samples_of_frames({clip: sorted(frames) for clip, frames in wanted.items()}))
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
