"""Shows in W&B how a training comes to see a few frames of the validation split, the same in every run."""

from __future__ import annotations

from typing import Any, cast

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn
from torch.utils.data import default_collate

from datamodules import Batch, EpochLoader, FrameStream
from datamodules.loading.sampling import evaluation_plan

from ..errors import ExperimentValueError
from ..evaluation.pictures import overlays
from ..tracking.logger import wandb_logger


class ProbeFrames(Callback):
    """Logs the probe frames after validation, as rendered pictures and as mask layers (`probes`, `probes-masks`).

    Probes are the middle frames of the first clips by name of each method and of the originals in the validation split:
    on the same data the same in every run. The first process reads and predicts them by itself; without W&B nothing is
    read.

    Args:
        every_n_epochs: Epochs from one time to the next; 0 shows none.
        per_method: Clips of each method.
    """

    def __init__(self, every_n_epochs: int = 1, per_method: int = 1) -> None:
        if every_n_epochs < 0 or per_method < 1:
            raise ExperimentValueError(
                f"every_n_epochs is {every_n_epochs} and per_method {per_method}, wanted at least 0 and 1: "
                "every_n_epochs 0 shows no probes"
            )
        self.every_n_epochs = every_n_epochs
        self.per_method = per_method
        self._batch: Batch | None = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Predicts and logs, while the network is still in evaluation mode."""
        logger = wandb_logger(trainer.loggers)
        training = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
        if logger is None or not training or not self._is_due(trainer.current_epoch):
            return
        module: Any = pl_module
        stream = cast("EpochLoader", trainer.val_dataloaders).stream
        if self._batch is None:
            self._batch = probe_batch(stream, self.per_method)
        batch = trainer.strategy.batch_to_device(self._batch)
        with torch.no_grad(), trainer.precision_plugin.val_step_context():
            predicted = module.predict_step(batch, 0)
        shown = overlays(batch, predicted, stream.clips, module)
        logger.log_overlays(
            "probes", shown, max(0, trainer.global_step - 1)
        )  # the row that has the validation's metrics

    def _is_due(self, epoch: int) -> bool:
        return self.every_n_epochs > 0 and (epoch + 1) % self.every_n_epochs == 0


def probe_batch(stream: FrameStream, per_method: int) -> Batch:
    """The middle frames of the first clips by name of each method, as a loader's workers hand them over: still bytes.

    Args:
        stream: Of the validation split, whatever share of it this process has.
        per_method: Clips of each method.
    """
    by_name = stream.clips.sort_values(["method", "clip"]).groupby("method", sort=False)
    batch: Batch = default_collate(list(stream.samples_of_frames(dict(evaluation_plan(by_name.head(per_method), 1)))))
    return batch
