"""Code blocks of the project's Markdown files, and other people's Python run in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Block(NamedTuple):
    """A fenced block: its language, the text inside, and the heading (of level 2) that it stands under."""

    language: str
    text: str
    heading: str


def blocks(path):
    """The blocks of a file, in their order."""
    found, heading = [], ""
    for part in re.split(r"^(```.*?^```$|## [^\n]*$)", path.read_text(), flags=re.MULTILINE | re.DOTALL):
        if part.startswith("## "):
            heading = part.removeprefix("## ").strip()
        elif part.startswith("```"):
            first, rest = part.split("\n", 1)
            found.append(Block(first.removeprefix("```").strip(), rest.removesuffix("```"), heading))
    return found


def run_python(text, folder, rooms=ROOT):
    """Runs a script in a folder, with the rooms of a project; returns what it prints."""
    (folder / "script.py").write_text(text)
    told = {**os.environ, "PYTHONPATH": str(rooms), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "script.py"], cwd=folder, env=told, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
