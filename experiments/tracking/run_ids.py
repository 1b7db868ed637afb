"""What W&B has been told of a run, by `wandb.json` in its folder: the run's id, and which of its tests are there."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from datamodules.files import write_text

from ..runs.damage import blame_file, read_object
from ..runs.folder import RunFolder
from ..runs.run import Run
from .offline import files_of, id_of

NAME = "wandb.json"


def run_id(folder: Path) -> str:
    """The id of a folder's run: the one it was logged under, so that it goes on, or a new one.

    It is not made of the folder's place: what is trained there after a run was moved aside is another run.
    """
    if files := files_of(folder):
        return id_of(files[-1])
    known = _read_log(folder)
    if "id" not in known:
        known["id"] = secrets.token_hex(6)
        _keep(folder, known)
    return str(known["id"])


def note_test(folder: Path, test_set: str, run_id: str) -> None:
    """Keeps that the run of that id holds a test's metrics and frames."""
    known = _read_log(folder)
    known["tests"] = {**known.get("tests", {}), test_set: run_id}
    _keep(folder, known)


def list_unlogged(run: Run) -> list[str]:
    """Tests that W&B lacks though W&B is wanted: of a row that shares another one's run, or by a test that is the same.

    The run that a sweep's agent has begun lacks what an earlier one of the same row holds.
    """
    if os.environ.get("WANDB_MODE") == "disabled":
        return []
    begun = os.environ.get("WANDB_RUN_ID") if os.environ.get("SWEEP_ROW") == run.row_name else None
    tests = _read_log(run.folder.path).get("tests", {})
    lacking = [name for name in run.test_sets if name not in tests or begun not in (None, tests[name])]
    return lacking if lacking and logger_of(run.folder) else []


def logger_of(folder: RunFolder) -> dict[str, Any] | None:
    """Arguments of the logger to W&B that a run's configuration names; None where it names none."""
    config = folder.read_config() if folder.config.exists() else {}
    with blame_file(folder.config):
        loggers = config.get("trainer", {}).get("logger")
        for logger in loggers if isinstance(loggers, list) else []:
            if logger["class_path"].endswith("WandbLogger"):
                return dict(logger.get("init_args") or {})
    return None


def _read_log(folder: Path) -> dict[str, Any]:
    path = folder / NAME
    remedy = "put back a sound copy, or remove it: what is logged then is another run"
    known = read_object(path, remedy) if path.exists() else {}
    with blame_file(path, remedy):
        if not isinstance(known.get("id", ""), str) or not isinstance(known.get("tests", {}), dict):
            raise TypeError("wanted an id, and tests by name")
    return known


def _keep(folder: Path, known: dict[str, Any]) -> None:
    write_text(folder / NAME, json.dumps(known, indent=2) + "\n")
