"""What rows resolve to by the command line's own parser, which is imported where it is not known from before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..config.layers import Config, add_table_base, find_row_name
from ..config.rows import Row
from .kept_settings import KeptSettings, layers_of

if TYPE_CHECKING:  # which takes ten seconds
    from .parsing import RowParser


class Settings:
    """Resolves rows.

    Args:
        options: Further options of the command line, the same for all rows.
        kept: What was resolved before; by default nothing is.
    """

    def __init__(self, options: Sequence[str] = (), kept: KeptSettings | None = None) -> None:
        self.options = list(options)
        self._kept = kept
        self._parser: RowParser | None = None
        self._words: list[str] = []

    def of(self, row: Row) -> Config:
        """The resolved configuration of a row, as a run of it would keep it in config.yaml.

        Raises:
            ValueError: A key is misspelt, or a value is none.
        """
        self._words = words = add_table_base([*row.files, *self.options])

        def resolve() -> Config:
            return self._parsing().check_and_parse(words)

        return self._kept.recall(lambda: layers_of(words), resolve) if self._kept else resolve()

    def parse(self, words: Sequence[str]) -> tuple[Row, Config]:
        """The row that arguments name, and its resolved configuration."""
        self._words = list(words)
        return find_row_name(words), self._parsing().parse(words)

    def apply(self, config: Config, changes: Mapping[str, Any]) -> Config:
        """A configuration with some values replaced, which are read as on the command line: 2 or "2" may mean 2.0.

        Args:
            config: Resolved.
            changes: What differs.
        """
        if not self._words:
            raise RuntimeError("no row has been parsed yet: call parse(words) first")

        def change() -> Config:
            return self._parsing().change(config, changes, self._words)

        return self._kept.recall(lambda: (config, changes), change) if self._kept else change()

    def _parsing(self) -> RowParser:
        if self._parser is None:
            from .parsing import RowParser

            self._parser = RowParser()
        return self._parser
