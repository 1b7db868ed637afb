"""One row and its folder: what fit, validate, test and predict do beside Lightning's own work."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import yaml
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from datamodules.video_data import VideoDataModule
from lightning_modules.base import ForensicsModule

from ..callbacks.checkpoints import chooser_of
from ..callbacks.predictions import PredictionFile, tell_unreadable
from ..config.hashes import config_hash, measured_hash
from ..config.layers import named_row
from ..config.names import check_name
from ..config.parser import SentenceParser
from ..errors import ExperimentValueError
from ..evaluation.intervals import write_intervals
from ..evaluation.result import result_of, write_result
from ..runs.at_work import alone_at
from ..runs.checkpoints import keep_weights, refuse_other_network, remove_unfinished, take_checkpoint, write_safely
from ..runs.data_used import TRAINING, Data, data_of, keep_data, keep_tested, read_data, refuse_other_data
from ..runs.folder import RunFolder, write_metrics
from ..runs.provenance import data_facts, surroundings
from ..runs.run import Run
from ..signals import at_once
from ..tracking.logger import wandb_logger
from ..tracking.prepare import prepare_loggers
from .going_on import best_checkpoint, given_checkpoint, last_checkpoint, refuse_nothing, refuse_without_choice, train
from .nodes import refuse_alone
from .start import needed


class ForensicsCLI(LightningCLI):
    """Runs one row in its folder.

    Args:
        arguments: What stands on the command line.
        run: False builds everything and runs nothing.
    """

    def __init__(self, arguments: Sequence[str], run: bool = True) -> None:
        self.row = named_row(arguments)
        with ExitStack() as self._held:
            super().__init__(
                LightningModule,
                LightningDataModule,
                save_config_callback=None,
                seed_everything_default=0,
                parser_class=SentenceParser,
                subclass_mode_model=True,
                subclass_mode_data=True,
                args=list(arguments),
                run=run,
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
            )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds what a row may be given beside model, data and trainer."""
        parser.add_argument("--name", type=str | None, default=None, help="name of other test data: metrics-NAME.json")
        start = "row whose best checkpoint of the same seed"
        parser.add_argument("--encoder_from", type=str | None, default=None, help=f"{start} the encoder starts from")
        parser.add_argument(
            "--checkpoint_from", type=str | None, default=None, help=f"{start} is validated anew instead of a training"
        )
        parser.add_argument(
            "--tests", type=dict[str, Any] | None, default=None, help="further tests: settings that differ, by name"
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses without the warning that Lightning has for arguments given from Python."""
        self.config = parser.parse_args(args)

    def _parse_ckpt_path(self) -> None:
        """Leaves the model to the row: what a checkpoint holds is compared, never taken instead."""

    @property
    def settings(self) -> Any:
        """The resolved configuration of the command."""
        return self.config[self.subcommand] if self.subcommand else self.config

    @cached_property
    def resolved(self) -> dict[str, Any]:
        """The settings as plain types, as config.yaml has them; asked for once classes are built."""
        config = yaml.safe_load(self.parser.dump(self.config, skip_none=False, format="yaml"))
        plain: dict[str, Any] = config[self.subcommand] if self.subcommand else config
        if self.settings.encoder_from:  # which says it all, wherever that run lies
            plain["model"]["init_args"]["encoder_checkpoint"] = None
        return plain

    def before_instantiate_classes(self) -> None:
        """Puts everything a run writes into its folder."""
        trainer = self.settings.trainer
        run = Run.under(Path("runs"), self.row, int(self.settings.seed_everything))
        trainer.default_root_dir = trainer.default_root_dir or str(run.folder.path)
        self.folder = RunFolder(Path(trainer.default_root_dir))
        run = run._replace(folder=self.folder)
        if self.settings.name is not None:
            check_name(self.settings.name, "--name", run.test_sets)
        if self.subcommand in ("fit", "test", "predict") and not trainer.fast_dev_run:
            self._held.enter_context(alone_at(self.folder))  # what is read of it from here on stays true
        self.needed = needed(self.settings, self.folder)
        if self.needed:
            self.settings[self.needed.option] = self.needed.value
        if self.needed and self.needed.option == "encoder_from":
            self.settings.model.init_args.encoder_checkpoint = str(self.needed.run.best)
        for callback in trainer.callbacks or []:
            ours = callback.class_path.startswith("experiments.")
            if self.settings.name and ours and "folder" in callback.get("init_args", {}):
                callback.init_args.folder = f"{callback.init_args.folder}-{self.settings.name}"
        if self.subcommand == "validate":  # its figures would begin the curves of the training anew
            trainer.logger = False
        logs = bool(self.subcommand) and not trainer.fast_dev_run
        prepare_loggers(trainer.logger, run, logs)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Builds a Trainer that writes its checkpoints safely."""
        return write_safely(super().instantiate_trainer(**kwargs))

    def before_fit(self) -> None:
        """Ends with a sentence, before processes start, where one would have no data or keep what it measured."""
        strategy = str(self.settings.trainer.strategy)
        if any(kind in strategy for kind in ("spawn", "fork", "notebook")):
            raise ExperimentValueError(
                f"trainer.strategy is {strategy}, whose processes cannot hand back what they measured: use ddp"
            )
        refuse_alone(self.trainer)
        if isinstance(self.datamodule, VideoDataModule):
            processes = self.trainer.num_devices * self.trainer.num_nodes
            self.datamodule.refuse_idle_processes(str(self.subcommand), processes)

    before_validate = before_test = before_predict = before_fit

    def fit(self, **options: Any) -> None:
        """Trains, or goes on from the last checkpoint of the same configuration."""
        if self.settings.trainer.fast_dev_run:
            self.trainer.fit(**options)
            return
        taken = self.needed if self.needed and self.needed.option == "checkpoint_from" else None
        refuse_without_choice(self.trainer, trained=not taken)
        config = self.resolved
        if self.folder.trained:
            best_checkpoint(self.folder)
            self.folder.keep_config(config)
            keep_data(self.folder, self._data(), write=False)
            self._say(f"{self.folder.path} is trained already")
            return
        if self.needed:
            self.needed.check()
        self.folder.keep_config(config)
        keep_data(self.folder, self._data(), self.trainer.is_global_zero)
        if self.trainer.is_global_zero:
            remove_unfinished(self.folder)
        if taken:
            self._validate_anew(config, taken.run.best, taken.name)
            return
        if given := options.get("ckpt_path"):
            options["ckpt_path"] = given_checkpoint(self.folder, given, to_go_on=True)
        elif last := last_checkpoint(self.folder, self.trainer.is_global_zero):
            options["ckpt_path"] = str(last)
            self._say(f"{self.folder.path}: going on from {last.name}")
        if isinstance(self.model, ForensicsModule) and not options.get("ckpt_path"):
            self.model.check_weights()
        started = time.monotonic()
        train(self.trainer, self.folder, options)
        self._note("fit", config, started, epochs=self.trainer.current_epoch, steps=self.trainer.global_step)
        if self.trainer.is_global_zero and self.folder.last.is_file():
            keep_weights(self.folder.last)
            self.folder.previous.unlink(missing_ok=True)
        self.trainer.strategy.barrier()  # the other processes look for that note next

    def _validate_anew(self, config: dict[str, Any], source: Path, name: str) -> None:
        """Chooses thresholds and rule for another row's checkpoint, and keeps it with them as this row's own."""
        refuse_other_network(source, self.model, name)
        started = time.monotonic()
        if self.trainer.is_global_zero:
            take_checkpoint(source, self.model, self.folder.best)
        self.trainer.validate(self.model, datamodule=self.datamodule, ckpt_path=str(self.folder.best))
        self.model.refuse_undefined(float(self.trainer.callback_metrics[f"val/{self.model.headline}"]))
        if self.trainer.is_global_zero:
            take_checkpoint(source, self.model, self.folder.best)  # now with what that chose
        self.trainer.strategy.barrier()
        self._note("fit", config, started, epochs=0, steps=0, checkpoint=str(source))
        self.trainer.strategy.barrier()

    def validate(self, **options: Any) -> None:
        """Validates the best checkpoint."""
        self.trainer.validate(**self._from_best(options))

    def test(self, **options: Any) -> None:
        """Tests the best checkpoint once and writes the metrics file."""
        name = self.settings.name
        if self.settings.trainer.fast_dev_run:
            self.trainer.test(**options)
            return
        options = self._from_best(options)
        path = self.folder.metrics(name)
        if path.is_file():
            self._say(f"{path} exists: this checkpoint has been tested, and the test split is touched once")
            return
        started = time.monotonic()
        if self.trainer.is_global_zero:
            self.folder.count_test(name)
        results = self.trainer.test(**options)
        if self.trainer.is_global_zero:
            checkpoint = Path(str(self.trainer.ckpt_path))
            epoch = torch.load(checkpoint, map_location="cpu", weights_only=True)["epoch"]
            facts = {"metrics": path.name, "checkpoint": str(checkpoint), "epoch": epoch}
            facts["checkpoint_digest"] = hashlib.sha256(checkpoint.read_bytes()).hexdigest()[:16]
            facts["operating_point"] = self.model.point.as_dict()
            result = result_of(self.model.testing, self.datamodule.clips)
            facts["frames"] = len(result.frames)
            facts["measured_by"] = measured_hash(self.resolved)
            self._note(f"test-{name}" if name else "test", self.resolved, started, **facts)
            write_result(result, self.folder, name)
            write_intervals(result, self.folder, name)
            keep_tested(self.folder, self._data(), name)
            # The loss is no figure to compare: Dice is pooled over a batch, so it depends on what shares one. Last, for
            # these figures say that the test is done.
            write_metrics(path, {key: value for key, value in results[0].items() if key != "test/loss"})
            logger = wandb_logger(self.trainer.loggers)
            if logger:
                logger.log_test(self.folder, name)

    def predict(self, **options: Any) -> None:
        """Writes predictions of the best checkpoint; see `callbacks.PredictionFile`.

        Raises:
            SystemExit: With status 1, where frames could not be read; their clips are named on stderr.
        """
        options["return_predictions"] = False
        if not self.settings.trainer.fast_dev_run:
            options = self._from_best(options)
            if self.trainer.is_global_zero and self.datamodule.predict_split == "test":
                self.folder.count_test(self.settings.name)
        with at_once():
            self.trainer.predict(**options)
        trainer: Any = self.trainer
        for callback in trainer.callbacks:
            if isinstance(callback, PredictionFile) and len(callback.unreadable):
                if trainer.is_global_zero:
                    tell_unreadable(callback.unreadable, self.folder.path / callback.folder)
                raise SystemExit(1)

    def _from_best(self, options: dict[str, Any]) -> dict[str, Any]:
        refuse_nothing(self.trainer, str(self.subcommand))
        if given := options.get("ckpt_path"):
            if self.subcommand == "test" and not self.settings.name:
                raise ExperimentValueError(
                    f"a checkpoint is given, but {self.folder.metrics(None)} is for the run's own best one: give "
                    "--name NAME to write metrics-NAME.json"
                )
            return {**options, "ckpt_path": given_checkpoint(self.folder, given)}
        best = best_checkpoint(self.folder)
        self.folder.check_test(self.resolved, self.settings.name)
        if not self.settings.name:
            more = ", or --name NAME to write metrics-NAME.json for other test data"
            refuse_other_data(self.folder, self._data(), TRAINING, more)
        return {**options, "ckpt_path": str(best)}

    def _data(self) -> Data:
        """What the data files are now, and what the run starts from."""
        files = self.datamodule.files() if isinstance(self.datamodule, VideoDataModule) else None
        return data_of(files, self.resolved, read_data(self.needed.run) if self.needed else None)

    def _note(self, stage: str, config: dict[str, Any], started: float, **facts: Any) -> None:
        if not self.trainer.is_global_zero:
            return
        chooser = chooser_of(self.trainer)
        best = chooser.best_model_score if chooser and stage == "fit" else None
        self.folder.note(
            stage,
            {
                **surroundings(),
                "seconds": round(time.monotonic() - started, 1),
                "device": str(self.trainer.strategy.root_device),
                "processes": self.trainer.world_size,
                "config": config_hash(config),
                **data_facts(self.datamodule),
                "selected_by": getattr(chooser, "monitor", None),
                **({} if best is None else {"selected_at": float(best)}),
                **facts,
            },
        )

    def _say(self, sentence: str) -> None:
        if self.trainer.is_global_zero:
            print(sentence)
