"""What a start of a row says of itself: on the terminal, and in `provenance.json`."""

from __future__ import annotations

import time
from typing import Any

from datamodules.video_data import VideoDataModule

from ..callbacks.checkpoints import chooser_of
from ..config.hashes import config_hash
from ..runs.data_used import Data, data_of, read_data
from ..runs.provenance import data_facts, surroundings
from .lightning_cli import ForensicsCLI


def say(cli: ForensicsCLI, sentence: str) -> None:
    """Prints a sentence once, however many processes there are."""
    if cli.trainer.is_global_zero:
        print(sentence)


def data_now(cli: ForensicsCLI) -> Data:
    """What the data files are now, and what the run starts from."""
    files = cli.datamodule.files() if isinstance(cli.datamodule, VideoDataModule) else None
    return data_of(files, cli.resolved, read_data(cli.needed.run) if cli.needed else None)


def note_stage(cli: ForensicsCLI, stage: str, started: float, **facts: Any) -> None:
    """Keeps in `provenance.json` by what, on what and in which time a stage was done.

    Args:
        cli: After the stage.
        stage: `fit`, `test`, or `test-NAME` on other test data.
        started: When it began, by `time.monotonic`.
        facts: What else is known of it.
    """
    if not cli.trainer.is_global_zero:
        return
    chooser = chooser_of(cli.trainer)
    best = chooser.best_model_score if chooser and stage == "fit" else None
    cli.folder.note(
        stage,
        {
            **surroundings(),
            "seconds": round(time.monotonic() - started, 1),
            "device": str(cli.trainer.strategy.root_device),
            "processes": cli.trainer.world_size,
            "config": config_hash(cli.resolved),
            **data_facts(cli.datamodule),
            "selected_by": getattr(chooser, "monitor", None),
            **({} if best is None else {"selected_at": float(best)}),
            **facts,
        },
    )
