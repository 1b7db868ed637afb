"""Which checkpoints a training keeps: the best one, as it was measured, and the last one, to go on from exactly."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint, Timer
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from ..errors import ExperimentValueError
from ..runs.checkpoints import read_checkpoint
from .monitors import refuse_unknown_monitors

OF_MODEL = ("epoch", "global_step", "pytorch-lightning_version", "state_dict", "hparams_name", "hyper_parameters")
"""Parts that Lightning gives a checkpoint without which no model can be built from it."""


YEAR = 365 * 24 * 60
"""In minutes."""


class OutOfTimeError(Exception):
    """A training was stopped by the time it was given, and what it goes on from is written."""


class RunCheckpoint(ModelCheckpoint):
    """Keeps one checkpoint under a fixed name in the run's folder, wherever that lies.

    Args:
        filename: Name without ending, in `checkpoints/`.
        monitor: Metric whose highest value is kept; without one, the newest state.
        interval: Time between two checkpoints; by default one is written after every epoch.
        on_epoch_end: Write it when an epoch ends, whenever it was validated; by default, behind each validation.
    """

    def __init__(
        self,
        filename: str,
        monitor: str | None = None,
        interval: timedelta | None = None,
        on_epoch_end: bool | None = None,
    ) -> None:
        super().__init__(
            filename=filename,
            monitor=monitor,
            mode="max",
            train_time_interval=interval,
            save_on_train_epoch_end=on_epoch_end,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Learns the run's folder."""
        self.dirpath = str(Path(trainer.default_root_dir) / "checkpoints")
        super().setup(trainer, pl_module, stage)

    @property
    def path(self) -> Path:
        """The file, once the run's folder is known."""
        return Path(self.format_checkpoint_name({}))

    def state_dict(self) -> dict[str, Any]:
        """Nothing: where a file lies is known anew at every start."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes nothing, so that no path is kept from where the run lay before."""


class BestCheckpoint(RunCheckpoint):
    """Keeps `checkpoints/best.ckpt`, chosen on the validation split: the weights that were validated.

    Callbacks that put other weights in for a validation, such as an average, are so taken at their word. What a
    training ends with is validated in any case, also where it ends inside an epoch or between two validations.

    Args:
        monitor: Metric that chooses; by default the module's own headline.
    """

    def __init__(self, monitor: str | None = None) -> None:
        super().__init__("best", monitor or "val/headline")
        self._by_module = monitor is None
        self._saving = False
        self._measured: dict[str, Tensor] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Learns what to choose by, and refuses that any callback goes by what is never measured."""
        if self._by_module:
            self.monitor = f"val/{pl_module.headline}"
        if stage == TrainerFn.FITTING:
            refuse_unknown_monitors(trainer, pl_module)
        super().setup(trainer, pl_module, stage)

    def state_dict(self) -> dict[str, Any]:
        """The score so far."""
        return {"score": None if self.best_model_score is None else float(self.best_model_score)}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Takes up the score of the file that is there; without one, the next validation is the best so far."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        state = checkpoint["callbacks"].get(self.state_key, {})
        score: float | None = trainer.strategy.broadcast(self._score(state) if trainer.is_global_zero else None)
        if score is not None:
            self.best_model_path = self.kth_best_model_path = str(self.path)
            self.best_model_score = self.kth_value = torch.tensor(score)
            self.best_k_models = {str(self.path): self.best_model_score}

    def _score(self, state: dict[str, Any]) -> float | None:
        """The score of the file, of which what a training goes on from may know less, or nothing."""
        if not self.path.is_file():
            if state.get("score", state.get("best_model_score")) is not None:
                print(f"{self.path} is gone: the best model is chosen among the epochs to come", file=sys.stderr)
            return None
        kept = read_checkpoint(self.path, "put a whole copy back, or remove it to choose among the epochs to come")
        score = kept.get("chosen", {}).get(self.monitor, state.get("score", state.get("best_model_score")))
        return None if score is None else float(score)

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keeps in mind which weights are about to be measured, whoever has put them in."""
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking and batch_idx == dataloader_idx == 0:
            weights = trainer.strategy.lightning_module_state_dict()
            if trainer.is_global_zero:
                self._measured = {name: value.detach().to("cpu", copy=True) for name, value in weights.items()}

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Whether a value is the best so far.

        Raises:
            ValueError: It is NaN or infinite, so nothing can be chosen by it.
        """
        if current is not None and not current.isfinite():
            raise ExperimentValueError(
                f"{self.monitor} is {float(current)}, so no model can be chosen by it: validate on originals and on "
                "fakes, or choose by another metric"
            )
        return super().check_monitor_top_k(trainer, current)

    def on_train_batch_end(self, trainer: Trainer, *batch: Any) -> None:
        """Has what the training ends with validated."""
        self._measured = {}
        if is_trained_whole(trainer, trainer.current_epoch + trainer.is_last_batch):
            trainer.check_val_every_n_epoch = 1
            trainer.should_stop = True

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Leaves of what is saved here the model, with the weights that were measured."""
        if self._saving:
            for name in [name for name in checkpoint if name not in OF_MODEL]:
                del checkpoint[name]
            checkpoint["state_dict"] = self._measured or checkpoint["state_dict"]
            checkpoint["chosen"] = {self.monitor: self.state_dict()["score"]}

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        self._saving = True
        try:
            super()._save_checkpoint(trainer, filepath)
        finally:
            self._saving = False


class LastCheckpoint(RunCheckpoint):
    """Keeps `checkpoints/last.ckpt` after every epoch, to go on from, and where the time of a training is up.

    `ModelCheckpoint(save_last=True)` of Lightning 2.6.6 does not: it leaves out epochs that are not the best so far. By
    itself Lightning also takes an epoch that `max_time` cuts short for done.
    """

    def __init__(self) -> None:
        super().__init__("last", on_epoch_end=True)
        self._out_of_time = False

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Gives every start all of its time."""
        for timer in timers(trainer):
            checkpoint["callbacks"].pop(timer.state_key, None)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Ends a training whose time is up.

        Raises:
            OutOfTimeError: It is, and the checkpoint is written.
        """
        if self._out_of_time:
            raise OutOfTimeError

    def on_train_batch_end(self, trainer: Trainer, *batch: Any) -> None:
        """Writes what a training goes on from whose time is up, as soon as that can be exact."""
        if ends_epoch(trainer) or not time_is_up(trainer) or not trainer.fit_loop._can_stop_early:
            return
        trainer.should_stop = False
        if is_settled(trainer):
            self._save_checkpoint(trainer, str(self.path))
            self._out_of_time = True


class RecentCheckpoint(RunCheckpoint):
    """Writes `checkpoints/last.ckpt` inside long epochs too; a resumed run goes on with the first unseen batch.

    Args:
        minutes: Between two of them.
    """

    def __init__(self, minutes: float = 15) -> None:
        if not 0 <= minutes < YEAR:
            raise ExperimentValueError(f"minutes is {minutes}, wanted 0 or more, and less than a year's")
        super().__init__("last", interval=timedelta(minutes=minutes))

    def on_train_batch_end(self, trainer: Trainer, *batch: Any) -> None:
        """Leaves out batches behind which something waits, which a training that goes on would not do."""
        if is_settled(trainer):
            super().on_train_batch_end(trainer, *batch)


def chooser_of(trainer: Any) -> BestCheckpoint | None:
    """What chooses the best checkpoint of a training."""
    return next((callback for callback in trainer.callbacks if isinstance(callback, BestCheckpoint)), None)


def is_settled(trainer: Trainer) -> bool:
    """Whether all is done with a batch: no gradients wait for others', no validation and no end of an epoch is due."""
    loop: Any = trainer.fit_loop
    if ends_epoch(trainer) or loop._should_accumulate():
        return False
    return not loop.epoch_loop._should_check_val_fx(loop._data_fetcher)


def ends_epoch(trainer: Trainer) -> bool:
    """Whether an epoch ends with the batch it is at, be it by the last step of the training."""
    return trainer.is_last_batch or is_trained_whole(trainer, trainer.current_epoch)


def is_trained_whole(trainer: Trainer, epochs: int) -> bool:
    """Whether a training has done all its steps, or so many epochs are all."""
    of_epochs = trainer.max_epochs is not None and 0 <= trainer.max_epochs <= epochs
    return of_epochs or 0 <= trainer.max_steps <= trainer.global_step


def timers(trainer: Any) -> list[Timer]:
    """What keeps a training to a time."""
    return [callback for callback in trainer.callbacks if isinstance(callback, Timer)]


def time_is_up(trainer: Trainer) -> bool:
    """Whether a training has had its time."""
    left = [timer.time_remaining() for timer in timers(trainer)]
    return any(seconds is not None and seconds <= 0 for seconds in left)
