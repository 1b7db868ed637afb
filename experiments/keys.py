"""Finds misspelt keys in YAML files and on the command line, and says them in one line."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning import Trainer

from .tables import TAKES

TOP = ("seed_everything", "trainer", "model", "data", "ckpt_path", "name", "verbose", "weights_only", *TAKES, "tests")
"""Keys at the top of a configuration."""

OF_A_TEST = ("optional", "model", "data", "trainer")
"""Keys of each of `tests`."""

HELP = re.compile(r"--(.*\.)?help|--print_config")
"""Options that ask the parser something rather than set a key."""

Layer = tuple[str, Mapping[str, Any]]
"""Where settings come from (a file, or `command line`), and the settings."""


class MisspeltKeyError(ValueError):
    """A key that nothing takes."""


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
            keys = option[2:].split(".")
            if keys in (["model"], ["data"]):  # the class by itself
                keys.append("class_path")
            settings: Any = (value if equals else words[0] if words else None) if keys[-1] == "class_path" else None
            for key in reversed(keys):
                settings = {key: settings}
            layers.append(("command line", settings))
    return layers


def read_yaml(path: Path) -> Mapping[str, Any]:
    """Reads a configuration file.

    Raises:
        FileNotFoundError: It is missing.
        ValueError: It is no YAML mapping.
    """
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [file.name for file in path.parent.glob("*.yaml")], n=1)
        raise FileNotFoundError(f"{path} does not exist" + (f": did you mean {path.parent / near[0]}?" if near else ""))
    try:
        settings = yaml.safe_load(path.read_text("utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path} holds {type(settings).__name__}, wanted keys such as {', '.join(TOP[:4])}")
    return settings


def check_keys(layers: Iterable[Layer]) -> None:
    """Refuses the first key that nothing takes.

    Args:
        layers: Settings in the order in which they replace each other; a class named by one holds for the next.

    Raises:
        MisspeltKeyError: Says where, which key, and the nearest valid one.
    """
    classes: dict[str, str] = {}
    for origin, settings in layers:
        for key, valid in _unknown(settings, classes):
            near = difflib.get_close_matches(key.rpartition(".")[2], valid, n=1, cutoff=0)[0]
            nearest = f"{key.rpartition('.')[0]}.{near}".lstrip(".")
            raise MisspeltKeyError(f"{origin}: unknown key {key}; nearest valid key: {nearest}")


def _unknown(settings: Mapping[str, Any], classes: dict[str, str]) -> Iterator[tuple[str, Sequence[str]]]:
    yield from _outside(settings, TOP, "")
    for part in ("model", "data"):
        yield from _unknown_of_class(settings.get(part), part, classes)
    tests = settings.get("tests")
    for name, test in tests.items() if isinstance(tests, dict) else ():
        if not isinstance(test, dict):
            continue
        yield from _outside(test, OF_A_TEST, f"tests.{name}.")
        inner = {part: test.get(part) for part in ("model", "data", "trainer")}
        yield from ((f"tests.{name}.{key}", valid) for key, valid in _unknown(inner, dict(classes)))
    trainer = settings.get("trainer")
    if isinstance(trainer, dict):
        yield from _outside(trainer, list(inspect.signature(Trainer).parameters), "trainer.")
        for name, items in trainer.items():
            # `--trainer.callbacks.patience 3` is of the last one that was named; the parser knows which
            for number, item in enumerate(items if isinstance(items, list) else [items]):
                short = item is items and isinstance(item, dict) and not item.keys() & {"class_path", "init_args"}
                if name.rstrip("+") in ("callbacks", "logger") and isinstance(item, dict) and not short:
                    yield from _unknown_of_class(item, f"trainer.{name}[{number}]", {})


def _unknown_of_class(settings: Any, prefix: str, classes: dict[str, str]) -> Iterator[tuple[str, Sequence[str]]]:
    if not isinstance(settings, dict):
        return
    yield from _outside(settings, ("class_path", "init_args", "dict_kwargs"), f"{prefix}.")
    classes[prefix] = settings.get("class_path") or classes.get(prefix, "")
    parameters = _parameters(classes[prefix], prefix)
    if parameters and isinstance(settings.get("init_args"), dict):
        yield from _outside(settings["init_args"], parameters, f"{prefix}.init_args.")


def _outside(settings: Mapping[str, Any], valid: Sequence[str], prefix: str) -> Iterator[tuple[str, Sequence[str]]]:
    yield from ((f"{prefix}{key}", valid) for key in settings if str(key).rstrip("+") not in valid)


def _parameters(class_path: str, prefix: str) -> list[str]:
    """Names of a constructor's arguments; none where they cannot be told (a short name, arguments of any name)."""
    module, dot, name = class_path.rpartition(".")
    if not dot:
        return []
    try:
        parameters = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"{prefix}.class_path is {class_path!r}, which cannot be imported ({error}): check its spelling"
        ) from error
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return [] if open_ended else list(parameters)
