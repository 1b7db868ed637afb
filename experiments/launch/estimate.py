"""How long what is still to be done will take, told from what finished runs took, or else from a measured cost."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..config.layers import Config
from ..runs.data_used import count_clips, read_data
from ..runs.reading import DamagedFiles, reading
from ..runs.run import all_runs
from .plan import Planned, tests_due

START_S = 25.0
"""Seconds until a process has imported what it needs, built its model and read its headers; 2 CPU cores."""

CPU_S = 6.0
"""Seconds a megapixel of a forward pass, resnet50 under a UNet at 52 pixels, one CPU core; larger crops take less."""

BACKWARD = 2
"""A training step against a forward pass, beside that pass."""


class Work(NamedTuple):
    """Megapixels that a row shows to its network, a training step counted as three forward passes.

    Attributes:
        training: With the validations.
        test: Of one test.
    """

    training: float
    test: float


class Estimate(NamedTuple):
    """Seconds for each of some rows, and where they are from.

    Attributes:
        seconds: By position.
        source: In words.
    """

    seconds: list[float]
    source: str


def work(config: Config, clips: Mapping[str, int]) -> Work:
    """How much a row computes; a pure function.

    Args:
        config: Resolved.
        clips: Of the training, validation and test split, see `count_clips`.
    """
    data, epochs = config["data"]["init_args"], config["trainer"]["max_epochs"]
    pixels = data["size"] ** 2 / 1e6
    seen = clips["train"] * data["frames_per_clip"]
    looked, tested = (clips[split] * data["eval_frames_per_clip"] for split in ("val", "test"))
    trained = looked if config.get("checkpoint_from") else epochs * ((1 + BACKWARD) * seen + looked)
    return Work(pixels * trained, pixels * tested)


def estimate(planned: Sequence[Planned], runs: Path, left_out: DamagedFiles | None = None) -> Estimate:
    """Says how long each row of a plan will take, one after the other.

    A row's own network is told by runs of it, others by the median over all that have finished under the folder.

    Args:
        planned: The rows.
        runs: Folder of runs.
        left_out: Is told of damaged files, which are passed over.
    """
    known: dict[str, list[float]] = {}
    for run in (each.folder for each in all_runs(runs)):
        if run.config.is_symlink() or not run.config.exists() or not run.provenance.exists():
            continue
        with (left_out or DamagedFiles()).noted():
            config, seconds, data = run.known(), run.noted("fit").get("seconds"), read_data(run)
            try:
                done = work(config, count_clips(data, config)).training if data else 0.0  # written before it was kept
            except (KeyError, TypeError):  # of a data module of somebody's own, whose cost is another
                continue
            with reading(run.provenance):
                if done and seconds and not config.get("checkpoint_from"):
                    known.setdefault(_network(config), []).append(seconds / done)
    every = [rate for rates in known.values() for rate in rates]
    usual = statistics.median(every) if every else CPU_S
    seconds = []
    for one in planned:
        config = one.job.config
        rates = known.get(_network(config))
        rate = statistics.median(rates) if rates else usual
        amount = work(config, count_clips(one.job.data, config))
        training, tests = amount.training if one.trains else 0.0, _tests(one)
        seconds.append((START_S if training or tests else 0.0) + rate * (training + tests * amount.test))
    counted = f"{len(every)} finished training{'s' if len(every) > 1 else ''}"
    source = f"what {counted} took here" if every else "the cost of resnet50-unet on one CPU core"
    return Estimate(seconds, source)


def _tests(one: Planned) -> int:
    """How many tests of its own a row is still to have."""
    if one.state == "damaged":
        return 0
    if one.state in ("done", "to test"):
        return len(tests_due(one.job, one.folder))
    own = one.job.row.listed and not one.home
    return own + sum(not (test.same or test.lacking) for test in one.job.tests)


def _network(config: Config) -> str:
    arguments = config["model"]["init_args"]
    return f"{arguments.get('encoder')} {arguments.get('decoder')}"


def spoken(seconds: float) -> str:
    """Seconds in words: `40 s`, `12 min`, `3.5 h`, `2.1 days`."""
    for limit, unit, name in ((100, 1, "s"), (100 * 60, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}" if unit < 3600 else f"{seconds / unit:.1f} {name}"
    return f"{seconds / 86400:.1f} days"
