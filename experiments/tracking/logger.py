"""Logs a run to Weights & Biases, as one run however often it is interrupted, and offline as online."""

from __future__ import annotations

import fcntl
import math
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pandas as pd
from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from ..errors import ExperimentValueError
from ..evaluation.pictures import Overlay
from ..evaluation.sound import sound_result
from ..runs.damage import read_metrics
from ..runs.folder import RunFolder
from ..runs.provenance import surroundings
from ..runs.run import Run
from ..runs.share import find_home
from .lost_rows import drop_test_metrics, lost_rows
from .mode import PROJECT, one_line
from .offline import STEP, LoggedRows, files_of, summary
from .run_ids import note_test

MASK_CLASSES = {0: "real", 1: "forged", 255: "unknown"}
"""Names of a mask layer's values."""


class ResumableWandbLogger(WandbLogger):
    """Lightning's logger for a run in a folder of its own, `save_dir`.

    A run started again goes on under its id and at the step where it was, see `offline.LoggedRows`, also where each
    process writes an offline folder of its own.

    Its configuration is the row's own (`config.yaml`), beside it the code that this process runs and, in a test, that
    which trained the model: `code`, `trained_with`.
    The metrics of a test come from the files it leaves, see `log_test`.

    Args:
        project: W&B's, as the next two.
        entity: By default the user's own.
        tags: Words to find the run by.
        save_dir: The run's folder; like what follows, a row knows it by itself.
        name: Row and seed.
        group: By default the table.
        id: See `logged.run_id`.
    """

    def __init__(
        self,
        project: str = PROJECT,
        entity: str | None = None,
        tags: Sequence[str] = (),
        save_dir: str = "runs",
        name: str | None = None,
        group: str | None = None,
        id: str | None = None,
    ) -> None:
        super().__init__(name, save_dir, project=project, id=id, group=group, entity=entity, tags=list(tags))
        del self._wandb_init["anonymous"]  # Lightning 2.6 gives it, W&B warns that it means nothing any more
        if os.environ.get("WANDB_SWEEP_ID"):  # a sweep's agent has chosen them
            self._wandb_init |= {"project": None, "entity": None, "id": None}
        self._rows = LoggedRows()
        self._held: IO[bytes] | None = None

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The run, which begins when it is asked for the first time; a dummy in all processes but the first."""
        import wandb

        known = self._experiment
        try:
            run = self._run()
        except Exception as error:  # a key that is refused, a server that falls silent, settings that cannot be
            os.environ["WANDB_MODE"] = "offline"
            wandb.teardown()  # it forgets the run it was refused, and what it read from the environment
            print(f"W&B refuses this run ({one_line(error)}): logging offline, send later with make wandb-sync")
            run = self._start_without_bad_settings()
        if known is None and not run.disabled:
            self._begin(run, RunFolder(Path(str(self.save_dir))))
        return run

    def _start_without_bad_settings(self) -> Any:
        """The run offline; where that does not help, without what the environment says of server, key and names.

        Raises:
            ValueError: The logger's own arguments cannot be.
        """
        import wandb

        with suppress(Exception):
            return self._run()
        for name in ("WANDB_BASE_URL", "WANDB_API_KEY", "WANDB_RUN_ID", "WANDB_ENTITY", "WANDB_PROJECT"):
            os.environ.pop(name, None)
        wandb.teardown()
        try:
            return self._run()
        except Exception as error:
            given = {name: self._wandb_init[name] for name in ("project", "entity", "id")}
            raise ExperimentValueError(
                f"W&B takes no run of {given} ({one_line(error)}): correct them, or set WANDB_MODE=disabled"
            ) from error

    def _run(self) -> Any:
        """Lightning's, refused where W&B would write offline what its server never takes.

        Raises:
            ValueError: The entity is no name.
        """
        entity = self._wandb_init["entity"] or os.environ.get("WANDB_ENTITY") or ""
        if self._experiment is None and self.enabled and not re.fullmatch(r"[^\s/\\#?%:]*", entity):
            raise ExperimentValueError(
                f"entity is {entity!r}, wanted the name of a user or a team, without spaces and slashes"
            )
        return super().experiment

    def _begin(self, run: Any, folder: RunFolder) -> None:
        """Tells W&B what the run is, and finds out where its history ends."""
        own = Path(run.settings.sync_file)
        with suppress(OSError):  # where the file system has no locks
            self._held = own.open("rb")
            fcntl.flock(self._held, fcntl.LOCK_SH)
        self._rows = LoggedRows(run.step, run.summary.get(STEP) or 0)  # where W&B knows of an earlier part
        for file in files_of(folder.path, run.id):
            if file.resolve() == own.resolve():
                continue
            with suppress(ValueError):  # a damaged file is told by who sends it; a training goes on
                self._rows.add(file)
                if run.offline:  # when offline folders are sent, the summary of one replaces that of the one before
                    run.summary.update({key: value for key, value in summary(file).items() if key[0] != "_"})
        trained = folder.read_provenance("fit")
        if trained:  # nothing is repeated, and each test is a row, also where earlier folders have been removed
            self.catch_up()
            tests = sum(folder.read_provenance("test_evaluations").values())
            self._rows = LoggedRows(max(self._rows.begun, trained["steps"] + tests))
        run.config.update(_description(folder), allow_val_change=True)

    @property
    def enabled(self) -> bool:
        """Whether this process logs anything."""
        return getattr(rank_zero_only, "rank", 0) == 0 and os.environ.get("WANDB_MODE") != "disabled"

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Adds to the row of an optimiser step; a test's metrics come from its file instead."""
        self.catch_up(before=step or 0)
        self._log(drop_test_metrics(metrics), step or 0)

    def catch_up(self, before: float = math.inf) -> None:
        """Logs, once, what W&B has lost of an earlier process of the run that was killed, see `lost_rows`.

        Args:
            before: The optimiser step from which on this process logs by itself.
        """
        run = self.experiment
        lost = lost_rows(RunFolder(Path(str(self.save_dir))), self._rows, before)
        self._rows.cut = False
        for step, row in lost:
            self._log(row, step)
        if lost:
            self._rows.begun = run.step + 1

    def _log(self, metrics: Mapping[str, Any], step: int) -> None:
        lacking = self._rows.missing_from(step, metrics)
        if lacking.keys() - {"epoch"}:
            self.experiment.log({**lacking, STEP: step}, step=self._rows.of(step))

    def log_overlays(self, key: str, overlays: Sequence[Overlay], step: int) -> None:
        """Logs frames twice: as rendered pictures, and with masks as layers that W&B shows and hides."""
        import wandb

        pictures = [wandb.Image(shown.picture, caption=shown.caption, file_type="jpg") for shown in overlays]
        layered = []
        for shown in overlays:
            masks = {"truth": shown.truth}
            if shown.forged is not None:
                masks["prediction"] = shown.forged
            layers = {name: {"mask_data": mask, "class_labels": MASK_CLASSES} for name, mask in masks.items()}
            layered.append(wandb.Image(shown.image, caption=shown.caption, masks=layers, file_type="jpg"))
        self.log_metrics({key: pictures, f"{key}-masks": layered}, step)

    def log_test(self, folder: RunFolder, name: str | None) -> None:
        """Puts a test's metrics into the summary, and its frames into a table.

        Args:
            folder: Where the test's files lie.
            name: Of other test data.
        """
        import wandb

        run = self.experiment
        self.catch_up()
        table = frame_table(folder, name)
        for limit in ("MAX_ROWS", "MAX_ARTIFACT_ROWS"):  # 10,000 would be shown, and the rest left out
            setattr(wandb.Table, limit, max(getattr(wandb.Table, limit), len(table)))
        rows = table.astype(object).where(table.notna(), None).to_numpy().tolist()
        logged = wandb.Table(columns=list(table), data=rows)
        run.log({_key_under(name, "test/frames"): logged}, step=max(run.step, self._rows.begun))
        metrics = read_metrics(folder.metrics(name))
        run.summary.update({_key_under(name, key): value for key, value in metrics.items() if value is not None})
        note_test(folder.path, name or "", run.id)


def wandb_logger(loggers: Sequence[Any]) -> ResumableWandbLogger | None:
    """The one among a Trainer's loggers that logs to W&B in this process, if there is one."""
    found = (logger for logger in loggers if isinstance(logger, ResumableWandbLogger) and logger.enabled)
    return next(found, None)


def frame_table(folder: RunFolder, name: str | None) -> pd.DataFrame:
    """What a test said of each frame.

    Args:
        folder: Where the test's files lie.
        name: Of other test data.

    Returns:
        `method`, `clip`, `frame`, `label`, `score`, `predicted` (1 where the score lies above the threshold) and, where
        pixels were judged, `iou` of the forged class in that frame; NaN where neither truth nor prediction has any.
    """
    result = sound_result(folder, name)
    frames = result.frames
    table = frames[["method", "clip", "frame", "label", "score"]].assign(
        predicted=(frames["logit"] > result.point.frame_logit).astype(int)
    )
    if "tp" in frames:
        table["iou"] = frames["tp"] / frames[["tp", "fp", "fn"]].sum(axis=1).where(lambda union: union > 0)
    return table


def _key_under(test_set: str | None, key: str) -> str:
    return f"{test_set}/{key}" if test_set else key


def _description(folder: RunFolder) -> dict[str, Any]:
    """A row's resolved configuration, whose run it shares, and what code runs it and has trained it."""
    known = folder.read_config() if folder.config.exists() else {}
    if home := find_home(folder):
        known["shares"] = str(Run.at(home))
    for key, facts in (("code", surroundings()), ("trained_with", folder.read_provenance("fit"))):
        if facts:
            known[key] = {part: facts[part] for part in ("git", "git_changes", "python", "packages")}
    return known
