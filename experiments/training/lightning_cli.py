"""The command line of one row: parses its settings, and builds what they name to write into its folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from datamodules.video_data import VideoDataModule

from ..config.layers import find_row_name
from ..config.names import check_name
from ..config.parser import SentenceParser
from ..errors import ExperimentValueError
from ..runs.checkpoints import write_safely
from ..runs.folder import RunFolder
from ..runs.folder_lock import hold_folder
from ..runs.run import Run
from ..tracking.prepare import prepare_loggers
from .nodes import refuse_alone
from .start import find_needed


class ForensicsCLI(LightningCLI):
    """Runs one row in its folder.

    Args:
        arguments: What stands on the command line.
        run: False builds everything and runs nothing.
    """

    def __init__(self, arguments: Sequence[str], run: bool = True) -> None:
        self.row = find_row_name(arguments)
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
        run = Run.of_row(Path("runs"), self.row, int(self.settings.seed_everything))
        trainer.default_root_dir = trainer.default_root_dir or str(run.folder.path)
        self.folder = RunFolder(Path(trainer.default_root_dir))
        run = run._replace(folder=self.folder)
        if self.settings.name is not None:
            check_name(self.settings.name, "--name", run.test_sets)
        if self.subcommand in ("fit", "test", "predict") and not trainer.fast_dev_run:
            self._held.enter_context(hold_folder(self.folder))  # what is read of it from here on stays true
        self.needed = find_needed(self.settings, self.folder)
        if self.needed:
            self.settings[self.needed.option] = self.needed.value
        if self.needed and self.needed.option == "encoder_from":
            self.settings.model.init_args.encoder_checkpoint = str(self.needed.run.best)
        for callback in trainer.callbacks or []:
            ours = callback.class_path.startswith("experiments.")
            if self.settings.name and ours and "folder" in callback.get("init_args", {}):
                callback.init_args.folder = f"{callback.init_args.folder}-{self.settings.name}"
        if self.subcommand == "validate":  # its metrics would begin the curves of the training anew
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
