"""What fit, validate, test and predict do with a row's folder beside Lightning's own work."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import torch

from lightning_modules.base import ForensicsModule

from ..callbacks.predictions import PredictionFile, tell_unreadable
from ..config.hashes import measured_hash
from ..errors import ExperimentValueError
from ..evaluation.intervals import write_intervals
from ..evaluation.result import make_result, write_result
from ..runs.checkpoints import keep_weights, refuse_other_network, remove_unfinished, take_checkpoint
from ..runs.data_used import TRAINING, keep_data, keep_tested_data, refuse_other_data
from ..runs.folder import write_metrics
from ..signals import end_at_once
from ..tracking.logger import wandb_logger
from .lightning_cli import ForensicsCLI
from .notes import data_now, note_stage, say
from .resume import best_checkpoint, given_checkpoint, last_checkpoint, refuse_nothing, refuse_without_choice, train

Options = dict[str, Any]
"""Arguments of a Trainer's method: model, data and, where one was given, `ckpt_path`."""


def fit(cli: ForensicsCLI, options: Options) -> None:
    """Trains, or goes on from the last checkpoint of the same configuration."""
    if cli.settings.trainer.fast_dev_run:
        cli.trainer.fit(**options)
        return
    taken = cli.needed if cli.needed and cli.needed.option == "checkpoint_from" else None
    refuse_without_choice(cli.trainer, trained=not taken)
    config = cli.resolved
    if cli.folder.is_trained:
        best_checkpoint(cli.folder)
        cli.folder.keep_config(config)
        keep_data(cli.folder, data_now(cli), write=False)
        say(cli, f"{cli.folder.path} is trained already")
        return
    if cli.needed:
        cli.needed.check()
    cli.folder.keep_config(config)
    keep_data(cli.folder, data_now(cli), cli.trainer.is_global_zero)
    if cli.trainer.is_global_zero:
        remove_unfinished(cli.folder)
    if taken:
        _validate_anew(cli, taken.run.best, taken.name)
        return
    if given := options.get("ckpt_path"):
        options["ckpt_path"] = given_checkpoint(cli.folder, given, to_go_on=True)
    elif last := last_checkpoint(cli.folder, cli.trainer.is_global_zero):
        options["ckpt_path"] = str(last)
        say(cli, f"{cli.folder.path}: going on from {last.name}")
    if isinstance(cli.model, ForensicsModule) and not options.get("ckpt_path"):
        cli.model.check_weights()
    started = time.monotonic()
    train(cli.trainer, cli.folder, options)
    note_stage(cli, "fit", started, epochs=cli.trainer.current_epoch, steps=cli.trainer.global_step)
    if cli.trainer.is_global_zero and cli.folder.last.is_file():
        keep_weights(cli.folder.last)
        cli.folder.previous.unlink(missing_ok=True)
    cli.trainer.strategy.barrier()  # the other processes look for that note next


def _validate_anew(cli: ForensicsCLI, source: Path, name: str) -> None:
    """Chooses thresholds and rule for another row's checkpoint, and keeps it with them as this row's own."""
    refuse_other_network(source, cli.model, name)
    started = time.monotonic()
    if cli.trainer.is_global_zero:
        take_checkpoint(source, cli.model, cli.folder.best)
    cli.trainer.validate(cli.model, datamodule=cli.datamodule, ckpt_path=str(cli.folder.best))
    cli.model.refuse_undefined(float(cli.trainer.callback_metrics[f"val/{cli.model.headline}"]))
    if cli.trainer.is_global_zero:
        take_checkpoint(source, cli.model, cli.folder.best)  # now with what that chose
    cli.trainer.strategy.barrier()
    note_stage(cli, "fit", started, epochs=0, steps=0, checkpoint=str(source))
    cli.trainer.strategy.barrier()


def validate(cli: ForensicsCLI, options: Options) -> None:
    """Validates the best checkpoint."""
    cli.trainer.validate(**_take_best(cli, options))


def test(cli: ForensicsCLI, options: Options) -> None:
    """Tests the best checkpoint once and writes the metrics file."""
    name = cli.settings.name
    if cli.settings.trainer.fast_dev_run:
        cli.trainer.test(**options)
        return
    options = _take_best(cli, options)
    path = cli.folder.metrics(name)
    if path.is_file():
        say(cli, f"{path} exists: this checkpoint has been tested, and the test split is touched once")
        return
    started = time.monotonic()
    if cli.trainer.is_global_zero:
        cli.folder.count_test(name)
    results = cli.trainer.test(**options)
    if cli.trainer.is_global_zero:
        checkpoint = Path(str(cli.trainer.ckpt_path))
        epoch = torch.load(checkpoint, map_location="cpu", weights_only=True)["epoch"]
        facts = {"metrics": path.name, "checkpoint": str(checkpoint), "epoch": epoch}
        facts["checkpoint_digest"] = hashlib.sha256(checkpoint.read_bytes()).hexdigest()[:16]
        facts["operating_point"] = cli.model.point.as_dict()
        result = make_result(cli.model.testing, cli.datamodule.clips)
        facts["frames"] = len(result.frames)
        facts["measured_by"] = measured_hash(cli.resolved)
        note_stage(cli, f"test-{name}" if name else "test", started, **facts)
        write_result(result, cli.folder, name)
        write_intervals(result, cli.folder, name)
        keep_tested_data(cli.folder, data_now(cli), name)
        # The loss is no metric to compare: Dice is pooled over a batch, so it depends on what shares one. Last, for
        # these metrics say that the test is done.
        write_metrics(path, {key: value for key, value in results[0].items() if key != "test/loss"})
        logger = wandb_logger(cli.trainer.loggers)
        if logger:
            logger.log_test(cli.folder, name)


def predict(cli: ForensicsCLI, options: Options) -> None:
    """Writes predictions of the best checkpoint; see `callbacks.PredictionFile`.

    Raises:
        SystemExit: With status 1, where frames could not be read; their clips are named on stderr.
    """
    options["return_predictions"] = False
    if not cli.settings.trainer.fast_dev_run:
        options = _take_best(cli, options)
        if cli.trainer.is_global_zero and cli.datamodule.predict_split == "test":
            cli.folder.count_test(cli.settings.name)
    with end_at_once():
        cli.trainer.predict(**options)
    trainer: Any = cli.trainer
    for callback in trainer.callbacks:
        if isinstance(callback, PredictionFile) and len(callback.unreadable):
            if trainer.is_global_zero:
                tell_unreadable(callback.unreadable, cli.folder.path / callback.folder)
            raise SystemExit(1)


def _take_best(cli: ForensicsCLI, options: Options) -> Options:
    refuse_nothing(cli.trainer, str(cli.subcommand))
    if given := options.get("ckpt_path"):
        if cli.subcommand == "test" and not cli.settings.name:
            raise ExperimentValueError(
                f"a checkpoint is given, but {cli.folder.metrics(None)} is for the run's own best one: give "
                "--name NAME to write metrics-NAME.json"
            )
        return {**options, "ckpt_path": given_checkpoint(cli.folder, given)}
    best = best_checkpoint(cli.folder)
    cli.folder.check_test(cli.resolved, cli.settings.name)
    if not cli.settings.name:
        more = ", or --name NAME to write metrics-NAME.json for other test data"
        refuse_other_data(cli.folder, data_now(cli), TRAINING, more)
    return {**options, "ckpt_path": str(best)}


class StagesCLI(ForensicsCLI):
    """Runs one row in its folder, by a stage that the command line names."""

    def fit(self, **options: Any) -> None:
        """Trains, or goes on."""
        fit(self, options)

    def validate(self, **options: Any) -> None:
        """Validates the best checkpoint."""
        validate(self, options)

    def test(self, **options: Any) -> None:
        """Tests the best checkpoint, once."""
        test(self, options)

    def predict(self, **options: Any) -> None:
        """Writes predictions of the best checkpoint."""
        predict(self, options)
