"""Tables made small enough to be tried on a laptop: everything by one factor, so that rows stay apart."""

from __future__ import annotations

import math
from typing import Any

from ..config.layers import Config

FACTOR = 0.03
"""What frames a clip, epochs and pixels are multiplied by."""


LEAST_STEPS = 20
"""Optimiser steps that a training has at least."""


HEADING = (
    f"QUICK, no benchmark: frames, epochs and pixels times {FACTOR}, smaller batches, from random weights; rows that "
    "differ in the weights alone share a training"
)
"""What the tables say of it."""


def quick(config: Config, clips: int) -> dict[str, Any]:
    """Options that make a row small; a pure function.

    Numbers are rounded up, so none becomes 0, and those that tables vary stay apart.

    Args:
        config: The row's resolved configuration.
        clips: Of the training split.

    Returns:
        What replaces what, by dotted key.
    """
    model, data, trainer = config["model"]["init_args"], config["data"]["init_args"], config["trainer"]
    epochs = math.ceil(FACTOR * trainer["max_epochs"])
    frames = math.ceil(FACTOR * data["frames_per_clip"])
    seen = clips * frames * epochs
    return {
        "trainer.max_epochs": epochs,
        "model.init_args.pretrained": False,
        "model.init_args.warmup_steps": math.ceil(FACTOR**2 * model["warmup_steps"]),  # as frames and epochs together
        "data.init_args.frames_per_clip": frames,
        "data.init_args.eval_frames_per_clip": math.ceil(FACTOR * data["eval_frames_per_clip"]),
        "data.init_args.size": math.ceil(math.sqrt(FACTOR) * data["size"]),
        "data.init_args.batch_size": max(2, min(data["batch_size"], seen // LEAST_STEPS)),
        "data.init_args.num_workers": 0,
    }
