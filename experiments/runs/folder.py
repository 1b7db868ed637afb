"""A run's folder: `runs/<table>/<row>/seed<n>/`, what lies in it, and who may write it again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from datamodules.files import write_text

from ..config.hashes import FREE_IN_TEST, MEASURED, differing_keys, training_key
from ..config.layers import rename_classes
from ..errors import ExperimentMissingError, ExperimentValueError
from .damage import OF_RUN, blame_file, read_mapping, read_object, to_json


class RunFolder:
    """The files of one run.

    Args:
        path: `runs/<table>/<row>/seed<n>`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.provenance = path / "provenance.json"
        self.best = path / "checkpoints" / "best.ckpt"
        self.last = path / "checkpoints" / "last.ckpt"
        self.previous = path / "checkpoints" / "previous.ckpt"

    def file(self, kind: str, name: str | None, suffix: str) -> Path:
        """A file that a test leaves, such as `frames.parquet`; `name` is that of another test set."""
        return self.path / (f"{kind}-{name}.{suffix}" if name else f"{kind}.{suffix}")

    def metrics(self, name: str | None) -> Path:
        """File of the test metrics; `name` is that of another test set."""
        return self.file("metrics", name, "json")

    @property
    def lock(self) -> Path:
        """File that a process holds while it works at the run, see `at_work.hold_folder`; one however it is spelt."""
        path = self.path.resolve()
        return path.parent / f".{path.name}.lock"

    @property
    def is_trained(self) -> bool:
        """Whether a training came to its end here and its checkpoint is still there."""
        return bool(self.read_provenance("fit")) and self.best.is_file()

    @property
    def is_started(self) -> bool:
        """Whether anything was learnt here."""
        kept = (self.last, self.previous, self.best)
        return any(path.is_file() for path in kept) or bool(self.read_provenance("fit"))

    @property
    def key(self) -> str | None:
        """Hash of what the run here is, or was begun by; None where there is none, or a link that leads nowhere."""
        return training_key(self.read_config()) if self.config.exists() else None

    def list_differences(self, config: Mapping[str, Any]) -> list[str]:
        """Dotted names of settings that are not those of the run here."""
        return differing_keys(self.read_config(), config)

    def started_from(self, option: str) -> str:
        """Hash of the run that the one here started from, as its configuration names it; "" for none."""
        value = (self.read_config() if self.config.exists() else {}).get(option) or ""
        return str(value).partition("@")[2]

    def keep_config(self, config: Mapping[str, Any]) -> None:
        """Writes the resolved configuration; once something was learnt by it, it must stay the same.

        Raises:
            ValueError: The folder belongs to another configuration.
        """
        if self.config.exists() and self.is_started:
            self._refuse(self.list_differences(config), "")
        else:
            write_text(self.config, yaml.safe_dump(dict(config), sort_keys=False))

    def check_test(self, config: Mapping[str, Any], name: str | None) -> None:
        """Lets a checkpoint be tested as it was trained, or on other data under a name of its own.

        Raises:
            FileNotFoundError: Nothing was trained here, or not to its end.
            ValueError: The model is another one, or the data are and no name was given.
        """
        if not (self.config.is_file() and self.is_trained):
            raise ExperimentMissingError(
                f"{self.path} holds no model trained to its end: run fit with the same options"
            )
        differing = [
            key for key in self.list_differences(config) if not key.startswith(FREE_IN_TEST) or key in MEASURED
        ]
        if name:
            differing = [key for key in differing if key.startswith("model.")]
        self._refuse(differing, "" if name else ", or --name NAME to write metrics-NAME.json for other test data")

    def read_config(self) -> dict[str, Any]:
        """The configuration that the run here was begun with, from its config.yaml."""
        known: dict[str, Any] = rename_classes(read_mapping(self.config))
        with blame_file(self.config):
            for part in ("model", "data", "trainer"):
                if not isinstance(known[part], dict):
                    raise TypeError(f"{part} is {known[part]!r}, wanted keys and values")
        return known

    def _refuse(self, differing: list[str], more: str) -> None:
        if differing:
            raise ExperimentValueError(
                f"{self.config} was written for another configuration, which differs in {', '.join(differing[:6])}: "
                f"use the same options, another seed (--seed_everything) or another folder (--trainer.default_root_dir)"
                f"{more}"
            )

    def note(self, stage: str, facts: Mapping[str, Any]) -> None:
        """Adds what is known of a stage to `provenance.json`."""
        self._provenance(**{stage: facts})

    def count_test(self, name: str | None = None) -> None:
        """Notes that test data are about to be looked at; a test that is cut short counts too.

        Args:
            name: Of other test data; None is the run's own test split, counted as `test`.
        """
        counted: dict[str, int] = self._provenance().get("test_evaluations", {})
        self._provenance(test_evaluations={**counted, name or "test": counted.get(name or "test", 0) + 1})

    def read_provenance(self, stage: str) -> dict[str, Any]:
        """What `provenance.json` says of a stage; empty where it says nothing."""
        facts: dict[str, Any] = self._provenance().get(stage, {})
        return facts

    def _provenance(self, **added: Any) -> dict[str, Any]:
        known = read_object(self.provenance, OF_RUN) if self.provenance.exists() else {}
        with blame_file(self.provenance, OF_RUN):
            for stage, facts in known.items():
                if not isinstance(facts, dict):
                    raise TypeError(f"{stage} is {facts!r}, wanted an object")
            for name, count in known.get("test_evaluations", {}).items():
                if type(count) is not int:
                    raise TypeError(f"{name} was looked at {count!r} times, wanted a whole number")
        if added:
            known |= added
            write_text(self.provenance, json.dumps(to_json(known), indent=2, allow_nan=False) + "\n")
        return known


def write_metrics(path: Path, metrics: Mapping[str, float]) -> None:
    """Writes metrics as one flat JSON object, sorted; what is not defined (NaN) as null."""
    plain = {key: None if math.isnan(value) else float(value) for key, value in sorted(metrics.items())}
    write_text(path, json.dumps(plain, indent=2, allow_nan=False) + "\n")
