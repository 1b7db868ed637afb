"""Seeds as they are given on a command line."""

from __future__ import annotations

from argparse import ArgumentTypeError

SEEDS = 2**32
"""So many seeds NumPy takes, from 0 on."""


def parse_seed(word: str) -> int:
    """Reads a seed of the command line, for argparse.

    Args:
        word: As it stands there.

    Raises:
        ArgumentTypeError: It is none.
    """
    if not word.isdecimal() or int(word) >= SEEDS:
        raise ArgumentTypeError(f"{word!r} is no seed, wanted a whole number from 0 to {SEEDS - 1}")
    return int(word)
