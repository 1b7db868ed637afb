"""Answers options that cannot be read with one sentence."""

from __future__ import annotations

import sys
from typing import NoReturn

from pytorch_lightning.cli import LightningArgumentParser


class SentenceParser(LightningArgumentParser):
    """Says what is wrong without the usage of 400 options."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Ends with the first sentences of an error."""
        lines = [line.strip() for line in message.splitlines() if line.strip()]
        reasons = [line.removeprefix("- ") for line in lines if line.startswith("- ")]
        fail(reasons[0] if reasons else " ".join(lines[:2]) or str(ex))


def fail(sentence: str) -> NoReturn:
    """Ends the program with one sentence on stderr."""
    print(f"error: {sentence}", file=sys.stderr)
    raise SystemExit(2)
