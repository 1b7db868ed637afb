"""What callbacks go by must be measured: a name that is none is refused before a training, not hours later."""

from __future__ import annotations

import difflib
from typing import Any

from lightning_modules import METHODS

from ..errors import ExperimentValueError

MEASURE_NOTHING = ("pytorch_lightning.", "experiments.")
"""Where callbacks come from that measure nothing themselves."""


def refuse_unknown_monitors(trainer: Any, module: Any) -> None:
    """Refuses that a callback goes by what is never measured.

    Of callbacks from elsewhere nobody knows what they measure: where there are any, all names are let pass.

    Args:
        trainer: With its data set up.
        module: A `ForensicsModule`.

    Raises:
        ValueError: Says which names there are.
    """
    if not all(type(callback).__module__.startswith(MEASURE_NOTHING) for callback in trainer.callbacks):
        return
    pooled = ["train/loss", "val/loss", *(f"val/{key}" for key in module.validation.keys())]
    clips = getattr(trainer.datamodule, "clips", None)
    methods = METHODS[1:] if clips is None else sorted({*clips.method[clips.split == "val"]} - {METHODS[0]})
    for callback in trainer.callbacks:
        name = getattr(callback, "monitor", None)
        if name is None or name in (*pooled, "epoch", "step") or name.startswith("lr-"):
            continue
        of_all, _, method = name.rpartition("/")
        if of_all not in pooled or method not in methods:
            near = difflib.get_close_matches(name, pooled, n=1, cutoff=0)[0]
            known = ", ".join(pooled)
            raise ExperimentValueError(
                f"{type(callback).__name__} goes by {name}, which is never measured, wanted one of {known}, those of "
                f"val also for one method as in val/frame_auroc/{METHODS[1]}: did you mean {near}?"
            )
