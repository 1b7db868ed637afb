"""Where the baselines of a table lie, and whether they are those that are wanted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from datamodules.clips.splits import SPLITS

from ..config.hashes import data_key
from ..runs.data_used import Data
from ..runs.folder import RunFolder

OF_PIXELS = ("baseline-all-fake", "baseline-all-real", "baseline-centre-box", "baseline-mean-mask")


NAMES = (*OF_PIXELS, "baseline-colour-regression", "baseline-geometry-crop", "baseline-geometry-file")


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
        return cls(data_key(config), data.digest(SPLITS), data.clips is not None or not data.places)

    def lies_in(self, folder: RunFolder) -> bool:
        """Whether a baseline's folder holds it."""
        noted = folder.noted("test")
        same = noted.get("config") == self.key and (not self.data or noted.get("data") == self.data)
        return same and folder.metrics(None).is_file()


def at_work_at(table: Path, seed: str) -> RunFolder:
    """The folder that stands for all baselines of a table where one process at a time works at them."""
    return RunFolder(table / f"baselines-{seed}")
