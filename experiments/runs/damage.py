"""Reads the files of runs: one that does not hold what it should is a sentence that names it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ..errors import ExperimentValueError

OF_RUN = "put back a sound copy, or move its folder away and train again"
"""What to do about a file that a training has left."""

SAFE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Reads as `yaml.safe_load` does, ten times as fast where libyaml is there."""

LONGEST_REASON = 160
"""Characters of what a reader says of a file; garbage can be long."""


class DamagedFileError(ExperimentValueError):
    """A file that does not hold what it should; the text says which, why, and what to do."""


class DamagedFiles:
    """What a command over many runs passes over, for a file of it is damaged.

    Attributes:
        sentences: About those files, each once.
    """

    def __init__(self) -> None:
        self.sentences: list[str] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Leaves the rest of a block undone where a file turns out to be damaged."""
        try:
            yield
        except DamagedFileError as error:
            if str(error) not in self.sentences:
                self.sentences.append(str(error))

    def tell(self) -> None:
        """Says on stderr what was passed over, a line a file."""
        for sentence in self.sentences:
            print(f"left out: {sentence}", file=sys.stderr)
        self.sentences.clear()


@contextmanager
def blame_file(path: Path, remedy: str = OF_RUN) -> Iterator[None]:
    """Whatever goes wrong in this block is taken for damage of a file, so it holds nothing but what reads that.

    Args:
        path: The file.
        remedy: What to do about it.

    Raises:
        DamagedFileError: Something went wrong.
    """
    try:
        yield
    except DamagedFileError:
        raise
    except Exception as error:  # garbage makes readers raise anything
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, KeyError):
            reason = f"it lacks {reason}"
        raise DamagedFileError(
            f"{path} is damaged, or another program's ({reason[:LONGEST_REASON]}): {remedy}"
        ) from error


def read_object(path: Path, remedy: str = OF_RUN) -> dict[str, Any]:
    """Reads a JSON object.

    Args:
        path: The file.
        remedy: What to do where it is damaged.

    Raises:
        DamagedFileError: It is none, or holds NaN or Infinity, which JSON has no words for.
    """
    with blame_file(path, remedy):
        text = path.read_text("utf-8")
        if not text.strip():
            raise ValueError("it is empty")
        found = json.loads(text, parse_constant=_refuse)
        if not isinstance(found, dict):
            raise TypeError(f"it holds a {type(found).__name__}, wanted an object")
    return dict(found)


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def read_mapping(path: Path, remedy: str = OF_RUN) -> dict[str, Any]:
    """Reads a YAML file of keys and values that was written whole, by its last line.

    Args:
        path: The file.
        remedy: What to do where it is damaged.

    Raises:
        DamagedFileError: It is none.
    """
    with blame_file(path, remedy):
        text = path.read_text("utf-8")
        found = yaml.load(text, Loader=SAFE)
        if not isinstance(found, dict):
            raise TypeError(f"it holds a {type(found).__name__}, wanted keys and values")
        if not text.endswith("\n"):
            raise ValueError("it ends within a line")
    return dict(found)


def read_metrics(path: Path) -> dict[str, float | None]:
    """Reads a metrics file: finite numbers, None for what is not defined.

    Raises:
        DamagedFileError: It holds anything else.
    """
    remedy = _advise_test(path)
    found = read_object(path, remedy)
    with blame_file(path, remedy):
        for key, value in found.items():
            if value is not None:
                _check_number(key, value)
    return found


def read_intervals(path: Path, metrics: Path) -> dict[str, tuple[float, float]]:
    """Reads the ends of the intervals that are defined, by key.

    Args:
        path: The file.
        metrics: That of the same test's metrics.

    Raises:
        DamagedFileError: It holds no intervals.
    """
    remedy = _advise_test(metrics)
    found, pairs = read_object(path, remedy), {}
    with blame_file(path, remedy):
        for key, pair in found["intervals"].items():
            if pair is not None:
                low, high = pair
                _check_number(key, low)
                _check_number(key, high)
                pairs[key] = low, high
    return pairs


def _advise_test(metrics: Path) -> str:
    return f"put back a sound copy, or remove {metrics.name} and test again"


def _check_number(key: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{key} is {value!r}, wanted a number")


def read_csv(path: Path, numbers: list[str], remedy: str, **options: Any) -> pd.DataFrame:
    """Reads a table.

    Args:
        path: The file.
        numbers: Columns of numbers; those that are not there are passed over.
        remedy: What to do where it is damaged.
        options: Of pandas.

    Raises:
        DamagedFileError: It is none.
    """
    with blame_file(path, remedy):
        table = pd.read_csv(path, **options)
        return table.astype({name: float for name in numbers if name in table})


def to_json(value: Any) -> Any:
    """The same with None for what JSON has no words for: NaN and the infinities."""
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
