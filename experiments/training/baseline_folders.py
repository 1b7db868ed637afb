"""Where the baselines of a table lie, and whether they are those that are wanted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..config.hashes import data_key
from ..config.rows import Row
from ..runs.data_used import EVERY_SPLIT, Data
from ..runs.folder import RunFolder
from ..runs.run import Run

OF_PIXELS = ("baseline-all-fake", "baseline-all-real", "baseline-centre-box", "baseline-mean-mask")


BASELINES = (*OF_PIXELS, "baseline-colour-regression", "baseline-geometry-crop", "baseline-geometry-file")


class Asked(NamedTuple):
    """What the baselines of a table are wanted for.

    Attributes:
        key: Hash of the settings of the data.
        data: Hash of the data files; "" where they are not known, which holds for any.
        known: Whether that tells them from the data of other tables.
    """

    key: str
    data: str
    known: bool

    @classmethod
    def of(cls, config: Mapping[str, Any], data: Data) -> Asked:
        """What a row's configuration asks for, with its data as they are now."""
        return cls(data_key(config), data.digest(EVERY_SPLIT), data.clips is not None or not data.places)

    def lies_in(self, folder: RunFolder) -> bool:
        """Whether a baseline's folder holds it."""
        noted = folder.read_provenance("test")
        same = noted.get("config") == self.key and (not self.data or noted.get("data") == self.data)
        return same and folder.metrics(None).is_file()


def baseline_folders(runs: Path, table: str, seed: int) -> dict[str, RunFolder]:
    """Where the baselines of a table lie under a folder of runs, by their names."""
    return {name: Run.of_row(runs, Row(table, name), seed).folder for name in BASELINES}


def lock_of_baselines(runs: Path, table: str, seed: int) -> RunFolder:
    """The folder that stands for all baselines of a table where one process at a time works at them."""
    return RunFolder(runs / table / f"baselines-seed{seed}")
