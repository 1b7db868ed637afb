"""Which rows there are: one YAML file each, in a folder a table, in a fixed order."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..errors import ExperimentValueError

TABLES = Path(__file__).parents[1] / "tables"

TAKES = ("encoder_from", "checkpoint_from")
"""Keys by which a row names another one whose run it starts from."""


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        table: Name of its folder.
        name: Of its file, without ending; one that begins with `_` is no row but a training that rows need.
        folder: What holds `base.yaml` and the tables' folders.
    """

    table: str
    name: str
    folder: Path = TABLES

    def __str__(self) -> str:
        """As it is named on the command line and by other rows."""
        return f"{self.table}/{self.name}"

    @classmethod
    def from_name(cls, name: str) -> Row:
        """The row that another row or a command names, whether there is one or not."""
        table, _, row = name.partition("/")
        return cls(table, row)

    @property
    def is_listed(self) -> bool:
        """Whether it stands in its table, and so is tested."""
        return not self.name.startswith("_")

    @property
    def path(self) -> Path:
        """Its file, relative to the working directory where it lies below."""
        path = self.folder / self.table / f"{self.name}.yaml"
        return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

    @property
    def files(self) -> list[str]:
        """The configuration files it is made of, as options; its table's `_base.yaml` is found by the command."""
        base = self.folder / "base.yaml"
        base = base.relative_to(Path.cwd()) if base.is_relative_to(Path.cwd()) else base
        return ["-c", str(base), "-c", str(self.path)]


def all_rows(folder: Path = TABLES) -> list[Row]:
    """Every row and every training that rows need, in the order of the tables: those by number, ablations, others."""
    found = [Row(path.parent.name, path.stem, folder) for path in folder.glob("*/*.yaml") if path.stem != "_base"]
    return sorted(found, key=order_key)


def order_key(row: Row) -> tuple[bool, bool, str, str]:
    """Sorts rows as `all_rows` does."""
    return not row.table.startswith("table-"), not row.table.startswith("ablation-"), row.table, row.name


def find_rows(names: Iterable[str], folder: Path = TABLES) -> list[Row]:
    """Finds rows (`table-1/resnet50-unet`) and all rows of tables (`table-1`).

    Args:
        names: Without any, every row of every `table-` and `ablation-`.
        folder: Holds the tables' folders.

    Raises:
        ValueError: A name is none of them.
    """
    rows = all_rows(folder)
    found: list[Row] = []
    for name in names or sorted({row.table for row in rows if row.table.startswith(("table-", "ablation-"))}):
        fitting = [row for row in rows if name == str(row) or (name == row.table and row.is_listed)]
        if not fitting:
            known = [*map(str, rows), *sorted({row.table for row in rows})]
            near = difflib.get_close_matches(name, known, n=1, cutoff=0)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ExperimentValueError(f"{name!r} is neither a row nor a table of {folder}{hint}")
        found += [row for row in fitting if row not in found]
    return found
