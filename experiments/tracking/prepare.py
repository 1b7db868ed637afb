"""Where a row's loggers write, and under which name W&B knows it."""

from __future__ import annotations

from typing import Any

from pytorch_lightning.utilities import rank_zero_only

from ..runs.run import Run
from .mode import leave_sweep, settle_mode
from .run_ids import run_id
from .sync import list_waiting


def prepare_loggers(loggers: Any, run: Run, logs: bool) -> None:
    """Completes the settings of a row's loggers before they are built.

    Args:
        loggers: The trainer's, as its parsed configuration has them; what is no list is left alone.
        run: The row's.
        logs: Whether the command will log.
    """
    for logger in loggers if isinstance(loggers, list) else []:
        logger.init_args.save_dir = str(run.folder.path)
        if logger.class_path.endswith("WandbLogger"):
            logger.init_args.name = run.title
            logger.init_args.group = logger.init_args.get("group") or run.table
            if logs:
                leave_sweep(run.row_name)
                settle_mode(len(list_waiting(run.folder.path)))
                if getattr(rank_zero_only, "rank", 0) == 0:  # who alone logs
                    logger.init_args.id = run_id(run.folder.path)
