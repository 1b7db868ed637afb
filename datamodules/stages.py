"""What a data module asks the Trainer that it works for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytorch_lightning.trainer.states import TrainerFn, TrainerStatus

from .errors import DataValueError

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of ImageNet's training images, as torchvision's and most of timm's weights want them."""


def normalisation_for(
    trainer: Any, mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation of each channel by which images are normalised, in units of 0 to 1.

    Args:
        trainer: Whose model may want its own (`mean` and `std`); None for none.
        mean: What was asked for; None for what the model wants, or else ImageNet's.
        std: What was asked for; None for what the model wants, or else ImageNet's.

    Raises:
        ValueError: The model wants another one than was asked for.
    """
    model = trainer.lightning_module if trainer else None
    found = []
    for name, own, usual in (("mean", mean, IMAGENET[0]), ("std", std, IMAGENET[1])):
        wanted = getattr(model, name, None)
        if own is not None and wanted is not None and tuple(own) != tuple(wanted):
            raise DataValueError(
                f"data.init_args.{name} is {list(own)}, but the encoder's weights want {list(wanted)}: leave it out"
            )
        found.append(own or wanted or usual)
    return found[0], found[1]


def refuse_test_while_choosing(trainer: Any, may_test: bool) -> None:
    """Ends with a sentence where the test split is asked for: what is chosen with it in sight cannot be tested on it.

    Args:
        trainer: None for none.
        may_test: Whether the data module was set up for a test.

    Raises:
        RuntimeError: A training or validation is at work, or may still begin.
    """
    state = trainer.state if trainer else None
    if state and state.status == TrainerStatus.RUNNING and state.fn in (TrainerFn.FITTING, TrainerFn.VALIDATING):
        raise RuntimeError(
            f"the test split was asked for while the Trainer runs {state.fn.value}, but nothing may be chosen by "
            "it: use the validation split, and test when training has ended"
        )
    if not may_test:
        raise RuntimeError(
            "the test split was asked for before setup('test'), but nothing may be chosen by it: use the "
            "validation split, and call setup('test') when training has ended"
        )


def epoch_of(data: Any) -> int:
    """The epoch that a data module's Trainer is at, from 0."""
    return data.trainer.current_epoch if data.trainer else 0


def batches_done(data: Any) -> int:
    """How many batches of the epoch a data module's Trainer is done with."""
    progress: Any = data.trainer.fit_loop.epoch_loop.batch_progress.current if data.trainer else None
    return progress.processed if progress else 0


def is_on_gpu(trainer: Any) -> bool:
    """Whether a Trainer computes on a GPU of CUDA."""
    return trainer is not None and trainer.strategy.root_device.type == "cuda"
