"""What rows resolve to by the command line's own parser, without building anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .cli import with_table_base
from .keys import check_keys, read_layers
from .row import ForensicsCLI, named_row
from .tables import Row

Config = dict[str, Any]


class _Parser(ForensicsCLI):
    """The command line, stopped before anything is built."""

    def _set_seed(self) -> None:
        """Leaves random numbers alone."""

    def before_instantiate_classes(self) -> None:
        """Leaves folders alone."""

    def instantiate_classes(self) -> None:
        """Builds nothing."""


class Settings:
    """Resolves rows, a tenth of a second each.

    Args:
        options: Further options of the command line, the same for all rows.
    """

    def __init__(self, options: Sequence[str] = ()) -> None:
        self.options = list(options)
        self._parser: Any = None

    def of(self, row: Row) -> Config:
        """The resolved configuration of a row, as a run of it would keep it in config.yaml.

        Raises:
            ValueError: A key is misspelt, or a value is none.
        """
        words = with_table_base([*row.files, *self.options])
        check_keys(read_layers(words))
        return self.parse(words)[1]

    def parse(self, words: Sequence[str]) -> tuple[tuple[str, str], Config]:
        """Table and row that arguments name, and their resolved configuration."""
        if self._parser is None:
            self._parser = _Parser(words, run=False).parser
        config: Config = _plain(self._parser.parse_args(words).as_dict())
        del config["config"]  # the files themselves
        return named_row(words), config


def _plain(value: Any) -> Any:
    """The same of mappings and lists alone, as YAML would keep it."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def with_changes(config: Config, changes: Mapping[str, Any]) -> Config:
    """A configuration with some values replaced; mappings are joined."""
    changed = dict(config)
    for key, value in changes.items():
        known = changed.get(key)
        both = isinstance(value, Mapping) and isinstance(known, Mapping)
        changed[key] = with_changes(dict(known), value) if both else value  # type: ignore[arg-type]
    return changed
