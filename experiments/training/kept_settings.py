"""Settings that the parser has resolved before, kept on disk: the same question is answered without Lightning.

What an answer depends on is part of what it is found by: the options and what the YAML files hold, this project's
source files, the packages that are installed, and variables that the parser reads. Errors are not kept, nor is what
classes from elsewhere have a say in, for their source may change unseen.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

import datamodules
import lightning_modules
from datamodules.files import cache_folder, write_text

from ..config.layers import Config
from ..runs.damage import SAFE

VERSION = 1
"""Of the file: raise it with every change of what is in it."""

MOST = 2000
"""Answers that are kept; the oldest are forgotten first."""

KNOWN = ("datamodules", "lightning_modules", "experiments", "pytorch_lightning", "lightning", "torch")
"""Where classes may be from whose settings are kept: source files and packages that are looked at."""

TEXTS = ("root", "splits", "csv", "faces", "cache_dir", "encoder_checkpoint")
"""Arguments of classes that may name files, which the parser never reads."""

VARIABLES = ("JSONARGPARSE", "PL_")
"""Beginnings of the names of variables that the parser reads."""


class KeptSettings:
    """What was resolved before, and is again where nothing that it depends on has changed.

    A file that is damaged, or cannot be read or written, is as good as none.
    """

    def __init__(self) -> None:
        here = _short(str(Path(__file__).resolve()))
        self._path = cache_folder(None) / f"settings-{VERSION}-{here}.json"
        self._surroundings = _surroundings()
        self._known = self._read()
        self._new: dict[str, Config] = {}

    def recall(self, ask: Callable[[], Any], resolve: Callable[[], Config]) -> Config:
        """The answer to a question: from before, or else resolved now.

        Args:
            ask: Says in plain values what the answer depends on beside the surroundings; None where that is not known.
            resolve: Finds the answer.
        """
        asked = ask()
        key = _short(repr((self._surroundings, asked)))
        if asked is not None and key in self._known:
            return self._known[key]
        answer = resolve()
        if asked is not None and asked == ask() and _may_be_kept(answer):
            self._known[key] = self._new[key] = answer
        return answer

    def write(self) -> None:
        """Keeps what was resolved anew, unless a source file or a package has changed meanwhile."""
        if self._new and self._surroundings == _surroundings():
            kept = {**self._read(), **self._new}
            text = json.dumps(dict(list(kept.items())[-MOST:]))
            with suppress(OSError):
                write_text(self._path, f"{_short(text)}\n{text}")
        self._new = {}

    def _read(self) -> dict[str, Config]:
        try:
            digest, _, text = self._path.read_text("utf-8").partition("\n")
            known: dict[str, Config] = json.loads(text) if digest == _short(text) else {}
        except (OSError, ValueError):
            return {}
        return known


def layers_of(words: Sequence[str]) -> list[str] | None:
    """What a command line asks for: its words, and after each configuration file's name a hash of what that holds.

    Returns:
        All of it; None where a setting may be read from a further file, or a file cannot be read.
    """
    asked: list[str] = []
    rest = list(words)
    try:
        while rest:
            word = rest.pop(0)
            asked.append(word)
            option, equals, value = word.partition("=")
            if not option.startswith("--") and option != "-c":
                settings, folder = _read_value(word), Path()
            elif option in ("-c", "--config"):
                path = Path(value if equals else rest.pop(0))
                content = path.read_bytes()
                asked += [str(path), hashlib.sha256(content).hexdigest()]
                settings, folder = yaml.load(content, SAFE), path.parent
            else:
                key = option.rpartition(".")[2]
                text = value if equals else rest[0] if rest else ""
                settings, folder = {key: text, f"{key} as YAML": _read_value(text)}, Path()
                if not equals and rest and not rest[0].startswith("--"):
                    asked.append(rest.pop(0))
            if any(_is_file(folder, name) or _is_file(Path(), name) for name in _names(settings)):
                return None
    except (OSError, ValueError, IndexError, yaml.YAMLError):
        return None  # which the parser will tell
    return asked


def _read_value(text: str) -> Any:
    try:
        return yaml.load(text, SAFE)
    except (ValueError, yaml.YAMLError):
        return None


def _names(settings: Any, key: str = "") -> Iterator[str]:
    """Texts in settings that may be names of files to read settings from."""
    if isinstance(settings, Mapping):
        for name, value in settings.items():
            yield from _names(value, str(name))
    elif isinstance(settings, list):
        for value in settings:
            yield from _names(value, key)
    elif isinstance(settings, str) and key.removesuffix(" as YAML") not in TEXTS:
        yield settings


def _is_file(folder: Path, name: str) -> bool:
    try:
        return (folder / name).is_file()
    except (OSError, ValueError):  # too long for a name, for instance
        return False


def _may_be_kept(answer: Config) -> bool:
    """Whether JSON gives an answer back as it was, and all its classes are known."""
    try:
        same = repr(json.loads(json.dumps(answer))) == repr(answer)
    except (TypeError, ValueError):
        return False
    return same and all(path.partition(".")[0] in KNOWN for path in _class_paths(answer))


def _class_paths(settings: Any) -> Iterator[str]:
    if isinstance(settings, Mapping):
        if "class_path" in settings:
            yield str(settings["class_path"])
        for value in settings.values():
            yield from _class_paths(value)
    elif isinstance(settings, list):
        for value in settings:
            yield from _class_paths(value)


def _surroundings() -> str:
    """Hash of what every answer depends on: Python, packages, this project's source files, variables."""
    rooms = [Path(str(room.__file__)).parent for room in (datamodules, lightning_modules)] + [Path(__file__).parents[1]]
    digest = hashlib.sha256(sys.version.encode())
    for room in rooms:
        for path in sorted([*room.rglob("*.py"), *room.rglob("*.pyi")]):
            digest.update(f"{path}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
    packages: set[str] = set()
    for folder in sys.path:
        with suppress(OSError):
            packages.update(name for name in os.listdir(folder or ".") if name.endswith("-info"))
    variables = [item for item in os.environ.items() if item[0].startswith(VARIABLES) and item[0] != "PL_GLOBAL_SEED"]
    digest.update(repr((sorted(packages), sorted(variables))).encode())
    return digest.hexdigest()


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
