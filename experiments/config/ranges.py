"""What a Trainer and the seed may be set to: some values Lightning takes without a word, of others it speaks late."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from pytorch_lightning.accelerators import AcceleratorRegistry
from pytorch_lightning.strategies import StrategyRegistry

from ..errors import ExperimentValueError
from .seeds import SEEDS

Rule = tuple[Callable[[Any], bool], str]
"""Whether a value is sound, and what is wanted."""

IN_PROCESS = re.compile("spawn|fork|notebook")
"""In names of strategies whose processes cannot hand back what they measured; a run says so."""

DEVICES = re.compile(r"auto|-1|0*[1-9]\d*|\d+(,\d*)+")


def _at_least(smallest: int, more: str = "") -> Rule:
    return lambda value: smallest <= value < math.inf, f"{smallest} or more{more}"


def _one_of(*names: str) -> Rule:
    return lambda value: not isinstance(value, str) or value in names, f"one of {', '.join(names)}"


def _is_amount(value: float) -> bool:
    return 0 <= value <= 1 or (value > 1 and value % 1 == 0)


def _names_devices(value: Any) -> bool:
    if isinstance(value, str):
        return DEVICES.fullmatch(value) is not None
    return value == -1 or value >= 1 if isinstance(value, int) else bool(value) and min(value) >= 0


AMOUNT: Rule = (_is_amount, "a number of batches, such as 1, or a share of them up to 1.0")

RULES: Mapping[str, Rule] = {
    "accelerator": _one_of("auto", "gpu", *AcceleratorRegistry.available_accelerators()),
    "strategy": (
        _one_of("auto", *StrategyRegistry.available_strategies())[0],
        _one_of("auto", *(name for name in StrategyRegistry.available_strategies() if not IN_PROCESS.search(name)))[1],
    ),
    "devices": (_names_devices, "auto, a number from 1 on, -1 for all there are, or numbers of GPUs such as 0,1"),
    "num_nodes": _at_least(1),
    "fast_dev_run": _at_least(0, " batches, or true"),
    "max_epochs": _at_least(0, ", or -1 for no end"),
    "min_epochs": _at_least(0),
    "max_steps": _at_least(0, ", or -1 for no end"),
    "min_steps": _at_least(0),
    "limit_train_batches": AMOUNT,
    "limit_val_batches": AMOUNT,
    "limit_test_batches": AMOUNT,
    "limit_predict_batches": AMOUNT,
    "overfit_batches": AMOUNT,
    "val_check_interval": (
        lambda value: not isinstance(value, int | float) or (value > 0 and _is_amount(value)),
        "a number of training batches from 1 on, a share of them up to 1.0, or a time DD:HH:MM:SS",
    ),
    "check_val_every_n_epoch": _at_least(1),
    "num_sanity_val_steps": _at_least(0, ", or -1 for all"),
    "log_every_n_steps": _at_least(0),
    "accumulate_grad_batches": _at_least(1),
    "gradient_clip_val": _at_least(0),
    "gradient_clip_algorithm": _one_of("norm", "value"),
    "reload_dataloaders_every_n_epochs": _at_least(0),
    "profiler": _one_of("simple", "advanced", "pytorch", "xla"),
    "barebones": (lambda value: not value, "false: a run logs and keeps checkpoints, which that leaves out"),
}
"""Of the Trainer's settings."""

WITHOUT_END = ("max_epochs", "max_steps", "num_sanity_val_steps")
"""What -1 takes every limit from."""


def check_ranges(settings: Mapping[str, Any]) -> None:
    """Refuses settings that no run can use.

    Args:
        settings: `seed_everything`, and those of `trainer`; what is not there or null is Lightning's own.

    Raises:
        ValueError: Says which, and what is wanted.
    """
    seed = settings.get("seed_everything", 0)
    if not isinstance(seed, int) or not 0 <= seed < SEEDS:
        raise ExperimentValueError(f"seed_everything is {seed}, wanted a whole number from 0 to {SEEDS - 1}")
    trainer = settings.get("trainer") or {}
    for name, (sound, wanted) in RULES.items():
        value = trainer.get(name)
        if value is not None and not (value == -1 and name in WITHOUT_END) and not sound(value):
            raise ExperimentValueError(f"trainer.{name} is {_show(value)}, wanted {wanted}")


def _show(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, str) else str(value)
