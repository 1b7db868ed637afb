"""Names of other test data: they become parts of file names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..errors import ExperimentValueError

LONGEST_NAME = 150
"""Bytes of a name: a file may be called by 255, of which its kind and ending take some."""


def check_name(name: object, said: str, others: Iterable[str] = ()) -> None:
    """Refuses what cannot be part of a file name everywhere, or would be taken for another test.

    Args:
        name: Of the data.
        said: Where it stands, such as `--name`.
        others: Names that are taken.

    Raises:
        ValueError: It cannot be used.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[^\W_][\w.+-]*", name) or len(name.encode()) > LONGEST_NAME:
        raise ExperimentValueError(
            f"{said} is {name!r}, wanted letters, digits and . _ + - that begin with a letter or digit, at most "
            f"{LONGEST_NAME}: such as celeb-v2"
        )
    if name.casefold() == "test":
        raise ExperimentValueError(
            f"{said} is {name!r}, as the row's own test is called: give another, such as celeb-v2"
        )
    for other in others:
        if other != name and other.casefold() == name.casefold():
            raise ExperimentValueError(
                f"{said} is {name!r}, which differs from {other!r} in capitals only, and some file systems take them "
                "for one: write it the same, or give another"
            )
