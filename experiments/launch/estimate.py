"""How long what is still to be done will take, and within which factor that is sure, see `rate_of`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..config.layers import Config
from ..runs.damage import DamagedFiles
from ..runs.data_used import count_clips
from .plan import Planned, tests_due
from .rates import Rates
from .workload import work

START_S = 25.0
"""Seconds until a process has imported what it needs, built its model and read its headers; 2 CPU cores."""


class Estimate(NamedTuple):
    """Seconds for each of some rows, and where they are from.

    Attributes:
        seconds: By position.
        factors: By position, how far off they may be: from seconds / factor to seconds * factor.
        sources: What they are told by, in words, each once.
    """

    seconds: list[float]
    factors: list[float]
    sources: list[str]

    @property
    def span(self) -> tuple[float, float]:
        """The least and the most that all of them may take together, in seconds."""
        both = list(zip(self.seconds, self.factors, strict=True))
        return sum(seconds / factor for seconds, factor in both), sum(seconds * factor for seconds, factor in both)


def estimate(planned: Sequence[Planned], runs: Path, left_out: DamagedFiles | None = None) -> Estimate:
    """Says how long each row of a plan will take, one after the other.

    Args:
        planned: The rows.
        runs: Folder of runs.
        left_out: Is told of damaged files, which are passed over.
    """
    rates = Rates(runs, left_out or DamagedFiles())
    seconds, factors, sources = [], [], dict[str, None]()
    for one in planned:
        config, tests = one.job.config, _tests(one)
        if not (one.trains or tests):
            seconds.append(0.0)
            factors.append(1.0)
            continue
        amount = work(config, count_clips(one.job.data, config))
        rate = rates.of(str(one.job.row), config)
        computed = (amount.training if one.trains else 0.0) + tests * amount.test
        read = (amount.training_frames if one.trains else 0) + tests * amount.test_frames
        taken = rate.seconds(computed, read, _devices(config), config["data"]["init_args"]["num_workers"])
        seconds.append(START_S + taken)
        factors.append(rate.factor)
        sources[rate.source] = None
    return Estimate(seconds, factors, list(sources))


def _tests(one: Planned) -> int:
    """How many tests of its own a row is still to have."""
    if one.state == "damaged":
        return 0
    if one.state in ("done", "to test"):
        return len(tests_due(one.job, one.folder))
    own = one.job.row.is_listed and not one.home
    return own + sum(not (test.same or test.lacking) for test in one.job.tests)


def _devices(config: Mapping[str, Any]) -> int:
    """How many devices a row is asked to run on; one where that is found out when it starts."""
    trainer: Config = config["trainer"]
    named = str(trainer["devices"])
    return (int(named) if named.isdigit() and named != "0" else 1) * int(trainer["num_nodes"])


def format_span(least: float, most: float) -> str:
    """Two times in words: `2 to 6 h`, `40 min to 2.1 days`."""
    low, high = format_duration(least), format_duration(most)
    return f"{low.removesuffix(high.partition(' ')[2]).strip()} to {high}"


def format_duration(seconds: float) -> str:
    """Seconds in words: `40 s`, `12 min`, `3.5 h`, `2.1 days`."""
    for limit, unit, name in ((100, 1, "s"), (100 * 60, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}" if unit < 3600 else f"{seconds / unit:.1f} {name}"
    return f"{seconds / 86400:.1f} days"
