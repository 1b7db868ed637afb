"""What is kept of a checkpoint that no training goes on from: a third of it, with AdamW."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

TO_GO_ON = ("optimizer_states", "lr_schedulers", "loops", "callbacks")
"""Parts of a checkpoint that only a training goes on from."""

OF_NETWORK = ("encoder", "decoder", "output_stride", "pixel_classes", "frame_head")
"""What a row must have in common with the one whose checkpoint it takes whole."""


def keep_weights(path: Path) -> None:
    """Leaves of a checkpoint what a finished training is used for."""
    _write(_without_training(path), path)


def take_checkpoint(source: Path, model: Any, target: Path) -> None:
    """Keeps a checkpoint's weights as a model's own, with the operating point it has by now.

    Args:
        source: Checkpoint to take.
        model: A `ForensicsModule` of the same network.
        target: File to write.
    """
    own = {"operating_point": model.point._asdict(), "hyper_parameters": dict(model.hparams)}
    _write(_without_training(source) | own, target)


def refuse_other_network(source: Path, model: Any, name: str) -> None:
    """Ends with a sentence where a checkpoint is another network's.

    Args:
        source: The checkpoint.
        model: The `ForensicsModule` that shall take it.
        name: Row that it is of.

    Raises:
        ValueError: Says what differs.
    """
    known = torch.load(source, map_location="cpu", weights_only=True)["hyper_parameters"]
    for part in OF_NETWORK:
        if known.get(part) != model.hparams.get(part):
            raise ValueError(
                f"model.init_args.{part} is {model.hparams.get(part)!r}, but checkpoint_from: {name} was trained with "
                f"{known.get(part)!r}: use the same, or encoder_from to train anew"
            )


def _without_training(path: Path) -> dict[str, Any]:
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    return {name: value for name, value in checkpoint.items() if name not in TO_GO_ON}


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}")
    torch.save(checkpoint, unfinished)
    unfinished.replace(path)
