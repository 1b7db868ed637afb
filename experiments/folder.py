"""A run's folder: `runs/<table>/<row>/seed<n>/`, what lies in it, and who may write it again."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from .places import without_places
from .reading import OF_RUN, in_json, read_mapping, read_object, reading
from .tables import TAKES

FREE = (
    "ckpt_path",
    "name",
    "tests",
    "verbose",
    "weights_only",
    "data.init_args.cache_dir",
    "trainer.default_root_dir",
    "trainer.enable_",  # progress bar and the like
    "trainer.logger",
    "trainer.max_time",  # which ends no training, but interrupts it
)
"""Beginnings of keys that may differ when a run goes on: they do not change what is learnt."""

FREE_IN_TEST = ("trainer.", "data.init_args.num_workers", "data.init_args.batch_size")
"""Beginnings of keys that may differ between training and test as well: they do not change what is measured..."""

WHERE = (
    *(f"trainer.{name}" for name in ("accelerator", "devices", "num_nodes", "strategy")),
    *(f"data.init_args.{name}" for name in ("num_workers", "prefetch", "cache_gb")),
)
"""Beginnings of keys that say on what a training runs: one that has ended is the same wherever it is asked for again,
but one that goes on must go on alike."""

MEASURED = ("trainer.limit_test_batches", "trainer.precision")
"""...but for these, which do."""


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
        """File that a process holds while it works at the run, see `at_work.alone_at`; one however it is spelt."""
        path = self.path.resolve()
        return path.parent / f".{path.name}.lock"

    @property
    def trained(self) -> bool:
        """Whether a training came to its end here and its checkpoint is still there."""
        return bool(self.noted("fit")) and self.best.is_file()

    @property
    def begun(self) -> bool:
        """Whether anything was learnt here."""
        kept = (self.last, self.previous, self.best)
        return any(path.is_file() for path in kept) or bool(self.noted("fit"))

    @property
    def key(self) -> str | None:
        """Hash of what the run here is, or was begun by; None where there is none, or a link that leads nowhere."""
        return training_key(self.known()) if self.config.exists() else None

    def differing(self, config: Mapping[str, Any]) -> list[str]:
        """Dotted names of settings that are not those of the run here."""
        return differing_keys(self.known(), config)

    def begun_from(self, option: str) -> str:
        """Hash of the run that the one here started from, as its configuration names it; "" for none."""
        value = (self.known() if self.config.exists() else {}).get(option) or ""
        return str(value).partition("@")[2]

    def keep_config(self, config: Mapping[str, Any]) -> None:
        """Writes the resolved configuration; once something was learnt by it, it must stay the same.

        Raises:
            ValueError: The folder belongs to another configuration.
        """
        if self.config.exists() and self.begun:
            self._refuse(self.differing(config), "")
        else:
            write_text(self.config, yaml.safe_dump(dict(config), sort_keys=False))

    def check_test(self, config: Mapping[str, Any], name: str | None) -> None:
        """Lets a checkpoint be tested as it was trained, or on other data under a name of its own.

        Raises:
            FileNotFoundError: Nothing was trained here, or not to its end.
            ValueError: The model is another one, or the data are and no name was given.
        """
        if not (self.config.is_file() and self.trained):
            raise FileNotFoundError(f"{self.path} holds no model trained to its end: run fit with the same options")
        differing = [key for key in self.differing(config) if not key.startswith(FREE_IN_TEST) or key in MEASURED]
        if name:
            differing = [key for key in differing if key.startswith("model.")]
        self._refuse(differing, "" if name else ", or --name NAME to write metrics-NAME.json for other test data")

    def known(self) -> dict[str, Any]:
        """The configuration that the run here was begun with, from its config.yaml."""
        known = read_mapping(self.config)
        with reading(self.config):
            for part in ("model", "data", "trainer"):
                if not isinstance(known[part], dict):
                    raise TypeError(f"{part} is {known[part]!r}, wanted keys and values")
        return known

    def _refuse(self, differing: list[str], more: str) -> None:
        if differing:
            raise ValueError(
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

    def noted(self, stage: str) -> dict[str, Any]:
        """What `provenance.json` says of a stage; empty where it says nothing."""
        facts: dict[str, Any] = self._provenance().get(stage, {})
        return facts

    def _provenance(self, **added: Any) -> dict[str, Any]:
        known = read_object(self.provenance, OF_RUN) if self.provenance.exists() else {}
        with reading(self.provenance, OF_RUN):
            for stage, facts in known.items():
                if not isinstance(facts, dict):
                    raise TypeError(f"{stage} is {facts!r}, wanted an object")
            for name, count in known.get("test_evaluations", {}).items():
                if type(count) is not int:
                    raise TypeError(f"{name} was looked at {count!r} times, wanted a whole number")
        if added:
            known |= added
            write_text(self.provenance, json.dumps(in_json(known), indent=2, allow_nan=False) + "\n")
        return known


def differing_keys(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Dotted names of settings that are not the same, but for those in `FREE`, and wherever data files lie."""
    left, right = (dict(_flat(without_places(config))) for config in (one, other))
    names = [name for name in {**left, **right} if left.get(name) != right.get(name)]
    return [name for name in names if not name.startswith(FREE)]


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, list) and any(isinstance(item, dict) for item in value):
            value = dict(enumerate(value))
        if key in TAKES and value:
            value = value.rpartition("@")[2]  # of a run in whichever row's folder
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def digest(table: pd.DataFrame) -> str:
    """Short hash of a table's content."""
    return hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()[:16]


def config_hash(config: Mapping[str, Any]) -> str:
    """Short hash of a resolved configuration, without the keys in `FREE` and those that are null."""
    pairs = sorted((key, repr(value)) for key, value in _flat(config) if value is not None and not key.startswith(FREE))
    return hashlib.sha256(repr(pairs).encode()).hexdigest()[:16]


def training_key(config: Mapping[str, Any]) -> str:
    """Short hash of the settings that shape what a training learns, wherever it runs and wherever its data lie.

    Trainings of equal keys can stand for each other if their data are the same, see `data_used`.
    """
    flat = _flat(without_places(config))
    return config_hash({key: value for key, value in flat if not key.startswith(WHERE)})


def data_key(config: Mapping[str, Any]) -> str:
    """Short hash of how the data of a resolved configuration are read, wherever they lie."""
    return training_key({"data": config["data"]})


def measured_hash(config: Mapping[str, Any]) -> str:
    """Short hash of what a test measures by: a configuration without what may differ between training and test."""
    flat = _flat(without_places(config))
    return config_hash({key: value for key, value in flat if not key.startswith(FREE_IN_TEST) or key in MEASURED})


def write_metrics(path: Path, metrics: Mapping[str, float]) -> None:
    """Writes metrics as one flat JSON object, sorted; what is not defined (NaN) as null."""
    plain = {key: None if math.isnan(value) else float(value) for key, value in sorted(metrics.items())}
    write_text(path, json.dumps(plain, indent=2, allow_nan=False) + "\n")


def surroundings() -> dict[str, Any]:
    """When, on what and with which code and packages something ran."""
    packages = ("torch", "pytorch-lightning", "timm", "segmentation-models-pytorch", "torchmetrics", "albumentations")
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "git": _git("rev-parse", "HEAD"),
        "git_changes": bool(_git("status", "--porcelain")),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": {package: version(package) for package in packages},
    }


def _git(*words: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None


def write_text(path: Path, text: str) -> None:
    """Writes a file so that whoever reads it sees either the old or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text)
    unfinished.replace(path)
