"""Checkpoint files: written so that the one before outlives whatever happens, and read with a sentence about damage."""

from __future__ import annotations

import io
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning import Trainer

from datamodules.files import write_atomically

from ..errors import ExperimentFileError, ExperimentMissingError, ExperimentValueError
from .folder import RunFolder

TO_GO_ON = (
    "optimizer_states",
    "lr_schedulers",
    "loops",
    "callbacks",
    "MixedPrecision",
    "current_model_state",
    "averaging_state",
)
"""Parts of a checkpoint that only a training goes on from; the last two are Lightning's averages of weights'."""

OF_NETWORK = ("encoder", "decoder", "output_stride", "pixel_classes", "frame_head")
"""What a row must have in common with the one whose checkpoint it takes whole."""


class CheckpointFiles(TorchCheckpointIO):
    """Writes every checkpoint of a Trainer by `write_checkpoint`, on the disk where it will lie."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Writes a checkpoint; of a run's `last.ckpt` the one before is kept as well."""
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        place = Path(path).absolute()
        run = RunFolder(place.parents[1])
        write_checkpoint(checkpoint, place, run.previous if place == run.last else None)


def write_safely(trainer: Trainer) -> Trainer:
    """Has a Trainer write its checkpoints by `CheckpointFiles`, unless it was given something else to write them."""
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = CheckpointFiles()
    return trainer


def write_checkpoint(checkpoint: dict[str, Any], path: Path, previous: Path | None = None) -> None:
    """Writes a checkpoint beside its place and, once it is on the disk, puts it there.

    Args:
        checkpoint: What `torch.save` takes.
        path: Its place; whatever ends the process or the space of the disk, a whole file stays there.
        previous: Place of what was there before.

    Raises:
        OSError: It cannot be written; says why.
    """
    content = io.BytesIO()
    torch.save(checkpoint, content)
    try:
        with write_atomically(path) as unfinished:
            with unfinished.open("wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            if previous is not None and path.is_file() and zipfile.is_zipfile(path):
                _move_or_link(path, previous)
    except OSError as error:
        raise ExperimentFileError(
            f"{path} cannot be written ({error.strerror or error}), what was there before is kept: see to the disk, "
            "then start the same command again"
        ) from error


def _move_or_link(path: Path, to: Path) -> None:
    try:
        with write_atomically(to) as link:
            os.link(path, link)
    except OSError:  # this file system has no links
        path.replace(to)


def put_previous_back(run: RunFolder) -> None:
    """Makes the checkpoint before the last one the last again."""
    _move_or_link(run.previous, run.last)


def remove_unfinished(run: RunFolder) -> None:
    """Removes what processes that were killed while they wrote have left in a run's folder."""
    for path in [*run.path.glob(".*"), *run.last.parent.glob(".*")]:
        if re.fullmatch(r"\.\d+\..+", path.name):  # see `write_atomically`
            path.unlink(missing_ok=True)


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint's file; None where every byte of it is as it was written."""
    try:
        with zipfile.ZipFile(path) as content:
            broken = content.testzip()
    except OSError as error:
        return error.strerror or str(error)
    except Exception as error:  # garbage makes zipfile raise anything
        return "it is empty" if path.stat().st_size == 0 else f"it is cut short or overwritten: {error}"
    return f"{broken} in it is not what was written" if broken else None


def read_checkpoint(path: Path, remedy: str) -> dict[str, Any]:
    """Reads a checkpoint, whose tensors are loaded when they are looked at.

    Args:
        path: The file.
        remedy: What to do where it cannot be read.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is damaged, or holds something else.
    """
    if not path.is_file():
        raise ExperimentMissingError(f"{path} does not exist: {remedy}")
    if problem := damage(path):
        raise ExperimentValueError(f"{path} is damaged, or no checkpoint ({problem}): {remedy}")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ExperimentValueError(
            f"{path} holds more than tensors and plain values ({reason[:160]}): {remedy}"
        ) from error
    if not isinstance(checkpoint, dict) or not {"state_dict", "hyper_parameters", "epoch"} <= checkpoint.keys():
        raise ExperimentValueError(f"{path} is no checkpoint of a training here: {remedy}")
    return checkpoint


def keep_weights(path: Path) -> None:
    """Leaves of a checkpoint what a finished training is used for."""
    write_checkpoint(strip_training(_read_of_run(path)), path)


def strip_training(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What of a checkpoint a finished training is used for."""
    return {name: value for name, value in checkpoint.items() if name not in TO_GO_ON}


def take_checkpoint(source: Path, model: Any, target: Path) -> None:
    """Keeps a checkpoint's weights as a model's own, with the operating point it has by now.

    Args:
        source: Checkpoint to take.
        model: A `ForensicsModule` of the same network.
        target: File to write.
    """
    own = {"operating_point": model.point.as_dict(), "hyper_parameters": dict(model.hparams)}
    write_checkpoint(strip_training(_read_of_run(source)) | own, target)


def refuse_other_network(source: Path, model: Any, name: str) -> None:
    """Ends with a sentence where a checkpoint is another network's.

    Args:
        source: The checkpoint.
        model: The `ForensicsModule` that shall take it.
        name: Row that it is of.

    Raises:
        ValueError: Says what differs.
    """
    known = _read_of_run(source)["hyper_parameters"]
    for part in OF_NETWORK:
        if known.get(part) != model.hparams.get(part):
            raise ExperimentValueError(
                f"model.init_args.{part} is {model.hparams.get(part)!r}, but checkpoint_from: {name} was trained with "
                f"{known.get(part)!r}: use the same, or encoder_from to train anew"
            )


def _read_of_run(path: Path) -> dict[str, Any]:
    return read_checkpoint(path, "put a whole copy back, or move that run's folder away and train it again")
