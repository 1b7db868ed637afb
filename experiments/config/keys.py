"""Finds misspelt keys in YAML files and on the command line, and says them in one line."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.loggers import Logger

from datamodules import FaceForensicsDataModule, VideoFolderDataModule
from lightning_modules import ClassificationModule, SegmentationModule

from ..errors import ExperimentValueError
from .layers import LISTS, NAMED_BY_CLASS, OF_A_CLASS, TOP, Layer

OUR_CLASSES = (FaceForensicsDataModule, VideoFolderDataModule, ClassificationModule, SegmentationModule)
"""Classes of this project: once they are imported, the parser knows them by their names alone."""


OF_A_TEST = ("optional", "model", "data", "trainer")
"""Keys of each of `tests`."""


KINDS = dict(zip((*NAMED_BY_CLASS, *LISTS), (LightningModule, LightningDataModule, Callback, Logger), strict=True))
"""What these classes are."""


class MisspeltKeyError(ExperimentValueError):
    """A key that nothing takes."""


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
    yield from _find_unknown(settings, TOP, "")
    for part in ("model", "data"):
        yield from _unknown_of_class(settings.get(part), part, classes)
    tests = settings.get("tests")
    for name, test in tests.items() if isinstance(tests, dict) else ():
        if not isinstance(test, dict):
            continue
        yield from _find_unknown(test, OF_A_TEST, f"tests.{name}.")
        inner = {part: test.get(part) for part in ("model", "data", "trainer")}
        yield from ((f"tests.{name}.{key}", valid) for key, valid in _unknown(inner, dict(classes)))
    trainer = settings.get("trainer")
    if isinstance(trainer, dict):
        yield from _find_unknown(trainer, list(inspect.signature(Trainer).parameters), "trainer.")
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
    yield from _find_unknown(settings, OF_A_CLASS, f"{prefix}.")
    classes[prefix] = settings.get("class_path") or classes.get(prefix, "")
    parameters = _parameters(classes[prefix], prefix)
    if parameters and isinstance(settings.get("init_args"), dict):
        yield from _find_unknown(settings["init_args"], parameters, f"{prefix}.init_args.")


def _find_unknown(
    settings: Mapping[str, Any], valid: Sequence[str], prefix: str
) -> Iterator[tuple[str, Sequence[str]]]:
    yield from ((f"{prefix}{key}", valid) for key in settings if str(key).rstrip("+") not in valid)


def _parameters(class_path: str, prefix: str) -> list[str]:
    """Names of a constructor's arguments; none where they cannot be told (no name, any arguments)."""
    module, dot, name = class_path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name) if dot else _find_class(name, prefix) if name else None
    except (ImportError, AttributeError) as error:
        raise ExperimentValueError(
            f"{prefix}.class_path is {class_path!r}, which cannot be imported ({error}): check its spelling"
        ) from error
    parameters = inspect.signature(kind).parameters if kind else {}
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return [] if open_ended else list(parameters)


def _find_class(name: str, prefix: str) -> type:
    """The class of a name without its module, as the parser takes it."""
    kinds: list[type] = [kind for key, kind in KINDS.items() if prefix.startswith(key)]
    for kind in kinds:
        kinds += kind.__subclasses__()
    known = {kind.__name__: kind for kind in kinds}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0)[0]
        raise ExperimentValueError(
            f"{prefix} names the class {name!r}, which is not known: did you mean {near!r}? A class of your own needs "
            "its module too, as in package.module.Name"
        )
    return known[name]
