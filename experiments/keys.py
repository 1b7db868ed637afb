"""Finds misspelt keys in YAML files and on the command line, and says them in one line."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import yaml
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.loggers import Logger

from .tables import TAKES

TOP = ("seed_everything", "trainer", "model", "data", "ckpt_path", "name", "verbose", "weights_only", *TAKES, "tests")
"""Keys at the top of a configuration."""

OF_A_TEST = ("optional", "model", "data", "trainer")
"""Keys of each of `tests`."""

OF_A_CLASS = ("class_path", "init_args", "dict_kwargs")
"""Keys of what names a class."""

CLASSES = ("model", "data")
"""What is of a class that is named."""

LISTS = ("trainer.callbacks", "trainer.logger")
"""What may hold several such; on the command line a key is of the one that was named last."""

KINDS = dict(zip((*CLASSES, *LISTS), (LightningModule, LightningDataModule, Callback, Logger), strict=True))
"""What these classes are."""

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
            layers.append(("command line", _spelt_out(option[2:], value if equals else words[0] if words else None)))
    return layers


def _spelt_out(option: str, value: str | None) -> Mapping[str, Any]:
    """An option of the command line as a file would have it: `--model NAME` is its class, `--model.lr` an argument."""
    keys = option.split(".")
    if option in CLASSES:
        keys.append("class_path")
    elif keys[0] in CLASSES and keys[1] not in OF_A_CLASS:
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
        for name in [name for name in trainer if f"trainer.{name.rstrip('+')}" in LISTS]:
            yield from _unknown_of_list(trainer[name], f"trainer.{name}", classes)


def _unknown_of_list(items: Any, prefix: str, classes: dict[str, str]) -> Iterator[tuple[str, Sequence[str]]]:
    last = prefix.rstrip("+")
    for number, item in enumerate(items if isinstance(items, list) else [items]):
        named = {"class_path": item} if isinstance(item, str) and not Path(item).is_file() else item
        place = f"{prefix}[{number}]" if isinstance(items, list) else last
        yield from _unknown_of_class(named, place, classes)
        classes[last] = classes.get(place, "")
        if place != last:
            classes.pop(place, None)  # of a list in another file the first is another


def _unknown_of_class(settings: Any, prefix: str, classes: dict[str, str]) -> Iterator[tuple[str, Sequence[str]]]:
    if not isinstance(settings, dict):
        return
    yield from _outside(settings, OF_A_CLASS, f"{prefix}.")
    classes[prefix] = settings.get("class_path") or classes.get(prefix, "")
    parameters = _parameters(classes[prefix], prefix)
    if parameters and isinstance(settings.get("init_args"), dict):
        yield from _outside(settings["init_args"], parameters, f"{prefix}.init_args.")


def _outside(settings: Mapping[str, Any], valid: Sequence[str], prefix: str) -> Iterator[tuple[str, Sequence[str]]]:
    yield from ((f"{prefix}{key}", valid) for key in settings if str(key).rstrip("+") not in valid)


def _parameters(class_path: str, prefix: str) -> list[str]:
    """Names of a constructor's arguments; none where they cannot be told (no name, any arguments)."""
    module, dot, name = class_path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name) if dot else _known(name, prefix) if name else None
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"{prefix}.class_path is {class_path!r}, which cannot be imported ({error}): check its spelling"
        ) from error
    parameters = inspect.signature(kind).parameters if kind else {}
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return [] if open_ended else list(parameters)


def _known(name: str, prefix: str) -> type:
    """The class of a name without its module, as the parser takes it."""
    kinds: list[type] = [kind for key, kind in KINDS.items() if prefix.startswith(key)]
    for kind in kinds:
        kinds += kind.__subclasses__()
    known = {kind.__name__: kind for kind in kinds}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0)[0]
        raise ValueError(
            f"{prefix} names the class {name!r}, which is not known: did you mean {near!r}? A class of your own needs "
            "its module too, as in package.module.Name"
        )
    return known[name]
