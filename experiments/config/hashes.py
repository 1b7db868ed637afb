"""What tells settings apart: which keys matter to a training or a test, and hashes of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from .places import drop_places
from .rows import TAKES

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


def differing_keys(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Dotted names of settings that are not the same, but for those in `FREE`, and wherever data files lie."""
    left, right = (dict(_flat(drop_places(config))) for config in (one, other))
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


def config_hash(config: Mapping[str, Any]) -> str:
    """Short hash of a resolved configuration, without the keys in `FREE` and those that are null."""
    pairs = sorted((key, repr(value)) for key, value in _flat(config) if value is not None and not key.startswith(FREE))
    return hashlib.sha256(repr(pairs).encode()).hexdigest()[:16]


def training_key(config: Mapping[str, Any]) -> str:
    """Short hash of the settings that shape what a training learns, wherever it runs and wherever its data lie.

    Trainings of equal keys can stand for each other if their data are the same, see `data_used`.
    """
    flat = _flat(drop_places(config))
    return config_hash({key: value for key, value in flat if not key.startswith(WHERE)})


def data_key(config: Mapping[str, Any]) -> str:
    """Short hash of how the data of a resolved configuration are read, wherever they lie."""
    return training_key({"data": config["data"]})


def measured_hash(config: Mapping[str, Any]) -> str:
    """Short hash of what a test measures by: a configuration without what may differ between training and test."""
    flat = _flat(drop_places(config))
    return config_hash({key: value for key, value in flat if not key.startswith(FREE_IN_TEST) or key in MEASURED})
