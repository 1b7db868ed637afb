"""The command line's own parser, which reads rows without building anything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from ..config.keys import check_keys
from ..config.layers import Config, apply_changes, read_layers
from .lightning_cli import ForensicsCLI


class _Stopped(ForensicsCLI):
    """The command line, stopped before anything is built."""

    def _set_seed(self) -> None:
        """Leaves random numbers alone."""

    def before_instantiate_classes(self) -> None:
        """Leaves folders alone."""

    def instantiate_classes(self) -> None:
        """Builds nothing."""


class RowParser:
    """Parses rows, a tenth of a second each."""

    def __init__(self) -> None:
        self._parser: Any = None
        self._read: dict[str, Config] = {}

    def check_and_parse(self, words: Sequence[str]) -> Config:
        """Refuses misspelt keys, and then parses.

        Args:
            words: Of a command line, with the base of a table before its rows.

        Raises:
            ValueError: A key is misspelt, or a value is none.
        """
        check_keys(read_layers(words))
        return self.parse(words)

    def parse(self, words: Sequence[str]) -> Config:
        """The resolved configuration of a command line, as a run of it would keep it in config.yaml.

        Raises:
            ValueError: A value is none.
        """
        config: Config = _to_plain(self._make_parser(words).parse_args(words).as_dict())
        del config["config"]  # the files themselves
        return config

    def change(self, config: Config, changes: Mapping[str, Any], words: Sequence[str]) -> Config:
        """A configuration with some values replaced, which are read as on the command line: 2 or "2" may mean 2.0.

        Args:
            config: Resolved.
            changes: What differs.
            words: Of any whole command line, by which the parser is made where there is none yet.
        """
        key = json.dumps([_classes(config), changes], sort_keys=True, default=repr)
        if key in self._read:
            return apply_changes(config, self._read[key])
        parser = self._make_parser(words)
        before = parser.parse_object(deepcopy(config))  # the parser puts objects of its own into what it is given
        whole: Config = _to_plain(parser.parse_object(deepcopy(dict(changes)), namespace=before).as_dict())
        if _classes(changes):  # what another class takes of the others' settings, and by default, is its own
            return {part: whole[part] for part in config}
        self._read[key] = _of(changes, whole)
        return apply_changes(config, self._read[key])

    def _make_parser(self, words: Sequence[str]) -> Any:
        if self._parser is None:
            self._parser = _Stopped(words, run=False).parser
        return self._parser


def _to_plain(value: Any) -> Any:
    """The same of mappings and lists alone, as YAML would keep it."""
    if isinstance(value, Mapping):
        return {key: _to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(item) for item in value]
    return value


def _classes(config: Mapping[str, Any]) -> list[Any]:
    """The class paths in a configuration's mappings, in order."""
    found = [config["class_path"]] if "class_path" in config else []
    return found + [path for value in config.values() if isinstance(value, Mapping) for path in _classes(value)]


def _of(changes: Mapping[str, Any], whole: Mapping[str, Any]) -> Config:
    """The values that a whole configuration has in the places of changes."""
    return {
        key: _of(value, whole[key]) if isinstance(value, Mapping) and isinstance(whole[key], Mapping) else whole[key]
        for key, value in changes.items()
    }
