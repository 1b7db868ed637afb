"""`python -m experiments.tracking.complete FILE`: logs anew offline what W&B has lost of a run that was killed.

A training that goes on does this by itself, and `make wandb-sync` has it done for one that does not.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..runs.folder import RunFolder
from ..runs.folder_lock import hold_folder
from .logger import ResumableWandbLogger
from .mode import finish, one_line
from .offline import files_of, id_of, read_start
from .run_ids import logger_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Logs what W&B has lost of the run that a file is of, under the names it has.

    Returns:
        Exit status: 1 where that was not possible, for the reason told.
    """
    (file,) = map(Path, sys.argv[1:] if arguments is None else arguments)
    folder, run_id = RunFolder(file.parents[2]), id_of(file)
    try:
        with hold_folder(folder, wait=False):
            ResumableWandbLogger(save_dir=str(folder.path), id=run_id, **_names(folder, run_id)).catch_up()
            finish(exit_code=0 if folder.is_trained else 1)
    except Exception as error:  # whatever is wrong with W&B or with the run's files, what is there can be sent
        finish(exit_code=1)
        print(one_line(error))
        return 1
    return 0


def _names(folder: RunFolder, run_id: str) -> dict[str, Any]:
    """What else the run's logger was given: as its files have it or, where W&B had written none, its configuration."""
    for file in reversed(files_of(folder.path, run_id)):
        if run := read_start(file):
            return {
                "project": run.project,
                "entity": run.entity or None,
                "tags": list(run.tags),
                "name": run.display_name,
                "group": run.run_group,
            }
    given = logger_of(folder) or {}
    return {name: given[name] for name in ("project", "entity", "tags", "name", "group") if given.get(name)}


if __name__ == "__main__":
    sys.exit(main())
