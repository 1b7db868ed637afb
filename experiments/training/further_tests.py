"""Further tests of a row's checkpoint, on other data, as its `tests` says."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..config.hashes import measured_hash
from ..config.layers import Config, apply_changes, changes_of_test
from ..config.names import check_name
from ..config.places import places
from ..errors import ExperimentValueError
from ..runs.data_used import Data, DataNow, difference, read_data
from ..runs.folder import RunFolder

TEST_FILES = {"metrics": "json", "intervals": "json", "frames": "parquet", "histograms": "npz", "data": "parquet"}
"""What a test leaves, by the beginning of its name."""


class FurtherTest(NamedTuple):
    """A test of a row's checkpoint on other data.

    Attributes:
        name: Of `metrics-<name>.json`.
        options: What differs from the row, as on the command line.
        key: Hash of what it measures by, see `measured_hash`.
        data: What it measures on, as it lies now.
        same: Whether that is the row's own.
        lacking: Methods that are not on disk, where the test may be left out for want of them.
    """

    name: str
    options: tuple[str, ...]
    key: str
    data: Data
    same: bool
    lacking: tuple[str, ...]

    def is_due(self, folder: RunFolder) -> bool:
        """Whether it is still to be done in a run's folder."""
        return not self.lacking and not (folder.metrics(self.name).is_file() and self._is_of(folder))

    def _is_of(self, folder: RunFolder) -> bool:
        """Whether what lies in a run's folder under its name was measured by its settings, on its data."""
        if folder.read_provenance(f"test-{self.name}").get("measured_by") != self.key:
            return False
        known = read_data(folder, self.name)
        return known is None or not difference(known, self.data, ["test"])


def further_tests(
    config: Config,
    changed: Callable[[Config, Mapping[str, Any]], Config] = apply_changes,
    data_now: DataNow | None = None,
) -> list[FurtherTest]:
    """Reads the further tests of a row out of its resolved configuration.

    Args:
        config: Of the row.
        changed: Replaces values of it, and reads them as the command of a test will, such as 2 for 2.0; see
            `Settings.apply`. By default values stand as they are given.
        data_now: Looks at data.

    Raises:
        ValueError: One has no settings, or a name that is none of a file.
    """
    found: list[FurtherTest] = []
    look = data_now or DataNow()
    for name, settings in (config.get("tests") or {}).items():
        check_name(name, "a name in tests", [test.name for test in found])
        if not isinstance(settings, dict):
            raise ExperimentValueError(
                f"tests.{name} is {settings!r}, wanted settings that differ: "
                "c40: {data: {init_args: {compression: c40}}}"
            )
        changes = changes_of_test(settings)
        other = changed(config, changes)
        key, data = measured_hash(other), look(other)
        same = key == measured_hash(config) and data.places == places(config)
        lacking = tuple(_list_absent(other)) if settings.get("optional") else ()
        found.append(FurtherTest(name, tuple(_options(changes)), key, data, same, lacking))
    return found


def _options(changes: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in changes.items():
        if isinstance(value, dict):
            yield from _options(value, f"{prefix}{key}.")
        else:
            yield f"--{prefix}{key}={value if isinstance(value, str) else json.dumps(value)}"


def _list_absent(config: Config) -> Iterator[str]:
    data = config["data"]["init_args"]
    for method in data.get("methods", ()):
        if not Path(data.get("root", ""), "manipulated_sequences", method).is_dir():
            yield method


def put_aside(folder: RunFolder, name: str) -> None:
    """Renames what a test by other settings has left, so that it is neither lost nor taken for what it was."""
    left, number = [folder.file(kind, name, suffix) for kind, suffix in TEST_FILES.items()], 1
    while any(os.path.lexists(path.with_name(f"stale-{number}-{path.name}")) for path in left):
        number += 1
    for path in left:
        if os.path.lexists(path):
            path.rename(path.with_name(f"stale-{number}-{path.name}"))


def take_own(folder: RunFolder, test: FurtherTest) -> None:
    """Lets the row's own test stand for one that is the same, by links; the test split is touched once."""
    for kind, suffix in reversed(TEST_FILES.items()):  # the metrics last: they say that it is done
        link = folder.file(kind, test.name, suffix)
        link.unlink(missing_ok=True)
        if (own := folder.file(kind, None, suffix)).exists():
            link.symlink_to(own.name)
    folder.note(f"test-{test.name}", {**folder.read_provenance("test"), "measured_by": test.key, "same_as": "test"})
