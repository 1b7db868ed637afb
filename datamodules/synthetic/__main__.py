"""Command line: `python -m datamodules.synthetic --out data/mini --pairs 12 --seed 0`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError
from .tree import write_tree


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the tree the arguments describe; returns the exit status."""
    parser = argparse.ArgumentParser(
        "python -m datamodules.synthetic", description="Writes a miniature FaceForensics++ of invented people."
    )
    parser.add_argument("--out", type=Path, required=True, help="an empty or new folder")
    parser.add_argument("--pairs", type=int, default=12, help="pairs of people, 3 to 500 (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default %(default)s)")
    parser.add_argument("--frames", type=int, default=48, help="length of a middling clip (default %(default)s)")
    parser.add_argument("--size", type=_size, default=(320, 240), help="width x height (default 320x240)")
    parser.add_argument("--qualities", nargs="+", default=["raw", "c23", "c40"], choices=["raw", "c23", "c40"])
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default %(default)s)")
    parser.add_argument("--sources", type=Path, help="folder with videos of talking people, used instead of drawn ones")
    parser.add_argument(
        "--allow-repeats-across-splits",
        dest="repeats_across_splits",
        action="store_true",
        help="let one person of --sources appear in several splits",
    )
    options = vars(parser.parse_args(arguments))
    try:
        write_tree(**options, progress=True)
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = map(int, text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"size is {text!r}, but reads like 320x240") from None
    return width, height


if __name__ == "__main__":
    sys.exit(main())
