"""Layers of settings: YAML files and options, each over those before."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import yaml

from ..errors import ExperimentMissingError, ExperimentValueError
from .rows import TAKES, Row

TOP = ("seed_everything", "trainer", "model", "data", "ckpt_path", "name", "verbose", "weights_only", *TAKES, "tests")
"""Keys at the top of a configuration."""

OF_A_CLASS = ("class_path", "init_args", "dict_kwargs")
"""Keys of what names a class."""

NAMED_BY_CLASS = ("model", "data")
"""What is of a class that is named."""

LISTS = ("trainer.callbacks", "trainer.logger")
"""What may hold several such; on the command line a key is of the one that was named last."""

HELP = re.compile(r"--(.*\.)?help|--print_config")
"""Options that ask the parser something rather than set a key."""


RENAMED = {
    "experiments.probes.ProbeFrames": "experiments.callbacks.ProbeFrames",
    "experiments.wandb_logger.ResumableWandbLogger": "experiments.tracking.logger.ResumableWandbLogger",
}
"""Classes that configurations of finished runs name as they were called then."""


Config = dict[str, Any]


Layer = tuple[str, Mapping[str, Any]]
"""Where settings come from (a file, or `command line`), and the settings."""


def read_layers(arguments: Sequence[str]) -> list[Layer]:
    """Reads the settings that arguments name, in their order.

    Args:
        arguments: As on the command line: `-c FILE`, `--config=FILE`, `--a.b value`, `--a.b=value`.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is no YAML mapping.
    """
    layers: list[Layer] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        option, equals, value = word.partition("=")
        if option in ("-c", "--config"):
            path = value if equals else words.pop(0) if words else ""
            layers.append((path, read_yaml(Path(path))))
        elif option.startswith("--") and not HELP.fullmatch(option):
            layers.append(("command line", _spell_out(option[2:], value if equals else words[0] if words else None)))
    return layers


def _spell_out(option: str, value: str | None) -> Mapping[str, Any]:
    """An option of the command line as a file would have it: `--model NAME` is its class, `--model.lr` an argument."""
    keys = option.split(".")
    if option in NAMED_BY_CLASS:
        keys.append("class_path")
    elif keys[0] in NAMED_BY_CLASS and keys[1] not in OF_A_CLASS:
        keys.insert(1, "init_args")
    elif ".".join(keys[:2]) in LISTS and len(keys) > 2 and keys[2] not in OF_A_CLASS:
        keys.insert(2, "init_args")
    settings: Any = None  # values are the parser's, but for names of classes
    if keys[-1] == "class_path":
        settings = value
    elif option.rstrip("+") in LISTS and value is not None:
        with suppress(yaml.YAMLError):
            settings = yaml.safe_load(value)
    for key in reversed(keys):
        settings = {key: settings}
    return cast("Mapping[str, Any]", settings)


def read_yaml(path: Path) -> Mapping[str, Any]:
    """Reads a configuration file.

    Raises:
        FileNotFoundError: It is missing.
        ValueError: It is no YAML mapping.
    """
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [file.name for file in path.parent.glob("*.yaml")], n=1)
        raise ExperimentMissingError(
            f"{path} does not exist" + (f": did you mean {path.parent / near[0]}?" if near else "")
        )
    try:
        settings = yaml.safe_load(path.read_text("utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ExperimentValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict):
        raise ExperimentValueError(f"{path} holds {type(settings).__name__}, wanted keys such as {', '.join(TOP[:4])}")
    return settings


def add_table_base(arguments: Sequence[str]) -> list[str]:
    """Puts a table's `_base.yaml` before each of its rows."""
    words: list[str] = []
    for position, word in enumerate(arguments):
        option, equals, value = word.partition("=")
        row = Path(value) if equals else Path(arguments[position + 1]) if position + 1 < len(arguments) else None
        if option in ("-c", "--config") and row is not None:
            base = row.with_name("_base.yaml")
            if base.is_file() and row != base and str(base) not in words:
                words += ["-c", str(base)]
        words.append(word)
    return words


def to_options(small: dict[str, Any]) -> list[str]:
    """The same as words of the command line."""
    return [f"--{key}={json.dumps(value) if isinstance(value, bool) else value}" for key, value in small.items()]


def to_changes(small: dict[str, Any]) -> Config:
    """The same as nested settings."""
    changes: Config = {}
    for key, value in small.items():
        *parts, last = key.split(".")
        inner = changes
        for part in parts:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return changes


def find_row_name(arguments: Sequence[str]) -> Row:
    """The row that the last YAML file stands for."""
    files = [Path(origin) for origin, _ in read_layers(arguments) if origin != "command line"]
    return Row(files[-1].resolve().parent.name, files[-1].stem) if files else Row("unnamed", "unnamed")


def apply_changes(config: Mapping[str, Any], changes: Mapping[str, Any]) -> Config:
    """Lays settings over others as the command line does: mappings are joined, `key+` appends, all else is replaced.

    Args:
        config: Which is not changed.
        changes: What differs.
    """
    changed = dict(config)
    for key, value in changes.items():
        name = str(key).removesuffix("+")
        known = changed.get(name)
        if name != key:
            changed[name] = [*(known or []), *(value if isinstance(value, list) else [value])]
        elif isinstance(value, Mapping) and isinstance(known, Mapping):
            changed[name] = apply_changes(known, value)
        else:
            changed[name] = value
    return changed


def read_settings(arguments: Sequence[str]) -> Config:
    """What files and options come to, by their text alone: without defaults, and without the values of options.

    Args:
        arguments: As on the command line.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is no YAML mapping.
    """
    settings: Config = {}
    for _, layer in read_layers(add_table_base(arguments)):
        settings = apply_changes(settings, layer)
    return settings


def changes_of_test(test: Mapping[str, Any]) -> Config:
    """What one of a row's `tests` changes of its settings; `optional` says something of the test itself."""
    return {key: value for key, value in test.items() if key != "optional"}


def rename_classes(settings: Any) -> Any:
    """Settings with classes called as they are now, see `RENAMED`."""
    if isinstance(settings, Mapping):
        return {key: rename_classes(value) for key, value in settings.items()}
    if isinstance(settings, list):
        return [rename_classes(value) for value in settings]
    return RENAMED.get(settings, settings) if isinstance(settings, str) else settings
