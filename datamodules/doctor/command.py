"""The command line: examines a folder, prints, and writes doctor.json and index.html."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

from ..clips.index import Clip
from ..errors import DataError
from ..files import write_text
from .audit import USUAL, audit, stocks
from .page import write_page
from .parts import Part
from .report import format_json, format_needs, format_text


def run(
    arguments: Sequence[str] | None = None,
    needs: Mapping[str, Collection[Part]] | None = None,
    program: str = "python -m datamodules.doctor",
) -> int:
    """Says what is in a folder, what is wrong with it and what experiments lack.

    Args:
        arguments: What stands on the command line; by default the program's own.
        needs: By experiment, the parts it needs.
        program: How the command is called.

    Returns:
        Exit status: 0 sound, 1 a grave finding, 2 no tree of FaceForensics++.
    """
    parser = argparse.ArgumentParser(program, description="Examines a FaceForensics++ folder.")
    parser.add_argument("root", type=Path, help="folder that holds original_sequences and manipulated_sequences")
    parser.add_argument("--splits", type=Path, help="folder of train.json, val.json, test.json (default ROOT/splits)")
    parser.add_argument(
        "--frames",
        type=_count,
        default=USUAL,
        help="frames of each clip to look at, evenly spaced (default 8); 0 opens no video, all decodes every picture",
    )
    parser.add_argument("--workers", type=int, help="processes (default one a core)")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/doctor"),
        help="where doctor.json and index.html go (default runs/doctor)",
    )
    options = parser.parse_args(arguments)
    try:
        found = audit(options.root, options.splits, options.frames, options.workers, needs)
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        if isinstance(error, FileNotFoundError) and needs:
            import pandas as pd

            print(format_needs(stocks(needs, pd.DataFrame(columns=list(Clip._fields[1:]), dtype=str), None)))
        return 2
    print(format_text(found))
    write_text(options.out / "doctor.json", format_json(found))
    try:
        write_page(found, options.out / "index.html")
        print(f"wrote {options.out / 'index.html'} and {options.out / 'doctor.json'}")
    except ImportError as error:
        print(
            f"wrote {options.out / 'doctor.json'}; the page needs {error.name}, which is not installed: "
            "pip install 'pixel-forensics[doctor]'"
        )
    print("\nnot sound: see the problems above" if found.grave else "\nsound: no problem found")
    return int(found.grave)


def _count(text: str) -> int | Literal["all"]:
    if text == "all":
        return "all"
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"frames is {text!r}, but wanted 0 or more, or all: {USUAL} is the default")
    return int(text)
