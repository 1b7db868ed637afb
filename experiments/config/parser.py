"""Answers options that cannot be read with one sentence."""

from __future__ import annotations

import ast
import re
from typing import Any, NoReturn, Union, get_args, get_origin

from pytorch_lightning.cli import LightningArgumentParser

from ..signals import fail
from .ranges import check_ranges

KEY = re.compile(r'Parser key "([^"]+)"')
VALUE = re.compile(r"(?:Got|Given) value: (.*)")
SUBTYPES = re.compile(r"Subtypes: \[(.*)\]$", re.MULTILINE)
WANTED = re.compile(r"Expected an? (.*)")
KIND = re.compile(r"typing\.Literal\[[^]]*\]|<class '[^']*'>")
OUTER = re.compile("- (Expected a path|Does not validate)")
"""Parts of what jsonargparse says."""

TYPE_NAMES = {
    "<class 'int'>": "a whole number",
    "<class 'float'>": "a number",
    "<class 'bool'>": "true or false",
    "<class 'str'>": "text",
    "<class 'NoneType'>": "null",
    "<class 'list'>": "a list",
    "<class 'tuple'>": "a list",
    "<class 'dict'>": "keys and values",
    "<class 'collections.abc.Sequence'>": "a list",
}
"""What people call the types that it names."""


class SentenceParser(LightningArgumentParser):
    """Says what is wrong without the usage of 400 options, and reads 1 as a whole number wherever one may stand."""

    def add_class_arguments(self, *arguments: Any, **options: Any) -> list[str]:
        """Adds the arguments of a class, see jsonargparse, with whole numbers before others."""
        added: list[str] = super().add_class_arguments(*arguments, **options)
        for action in self._actions:
            if (hint := getattr(action, "_typehint", None)) is not None:
                action._typehint = prefer_whole(hint)  # type: ignore[attr-defined]
        return added

    def add_argument(self, *names: Any, **options: Any) -> Any:
        """Adds an argument, see jsonargparse; a seed, by which a run's folder is named, is a number."""
        if "--seed_everything" in names:
            options["type"] = int
        return super().add_argument(*names, **options)

    def parse_args(self, *arguments: Any, **options: Any) -> Any:
        """Parses a command line, see jsonargparse.

        Raises:
            ValueError: A setting is one that no run can use.
        """
        settings = super().parse_args(*arguments, **options)
        if "trainer" in settings:
            check_ranges(settings.as_dict())
        return settings

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Ends with a sentence; the parser of a class named inside leaves it to the one it was named in."""
        if not self.exit_on_error:
            super().error(message, ex)
        fail(join_lines(message) or str(ex))


def join_lines(message: str) -> str:
    """What the parser says over many lines, in one sentence.

    Args:
        message: Of an error of its own; the last key in it is what is wrong.
    """
    keys = KEY.findall(message)
    last = KEY.split(message)[-1]
    value = VALUE.search(last)
    if keys and value:
        kinds = KIND.findall((SUBTYPES.search(last) or WANTED.search(last) or value)[1])
        if kinds and all(kind in TYPE_NAMES or kind.startswith("typing") for kind in kinds):
            *others, other = dict.fromkeys(choice for kind in kinds for choice in _choices(kind))
            got = repr(value[1]) if value[1][:1].isalpha() else value[1]
            wanted = f"{', '.join(others)} or {other}" if others else other
            return f"{'.init_args.'.join(dict.fromkeys(keys))} is {got}, wanted {wanted}"
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    reasons = [place for place, line in enumerate(lines) if line.startswith("- ") and not OUTER.match(line)]
    first = reasons[0] if reasons else 0
    return " ".join(lines[first : first + (2 if not reasons or lines[first].endswith(":") else 1)]).removeprefix("- ")


def _choices(kind: str) -> list[str]:
    if kind in TYPE_NAMES:
        return [TYPE_NAMES[kind]]
    return [str(value) for value in ast.literal_eval(kind.removeprefix("typing.Literal"))]


def prefer_whole(hint: Any) -> Any:
    """A type that reads 1 as a whole number and 1.0 as none, where both are allowed.

    `Union[int, float]` and `Union[float, int]` are equal, so of a type around them, such as an `Optional`, Python keeps
    whichever some package has named first: a Trainer's `limit_val_batches=1` would be one batch, or everything.

    Args:
        hint: Any type.
    """
    kinds = get_args(hint)
    if get_origin(hint) is not Union or float not in kinds or int not in kinds:
        return hint
    return Union[tuple(sorted(kinds, key=lambda kind: kind is not int))]  # noqa: UP007 - one of them is not known here
