"""Optimisers and learning-rate schedules, by the step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, get_args

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from .errors import ModelValueError

OptimizerName = Literal["adamw", "sgd", "adam"]
ScheduleName = Literal["cosine", "constant", "step"]

STEP_AT = (0.5, 0.75)  # of the training; as in He et al. 2016 on CIFAR-10: 32k and 48k of 64k steps
STEP_FACTOR = 0.1


class Recipe(NamedTuple):
    """How a network is trained.

    Attributes:
        optimizer: AdamW; SGD with Nesterov momentum 0.9; or Adam.
        lr: Learning rate after the warm-up.
        weight_decay: Decoupled in AdamW, an L2 penalty in the others.
        schedule: After the warm-up "cosine" falls to 0 at the last step, "constant" stays, and "step" falls to a tenth
            at half and again at three quarters of all steps.
        warmup_steps: Optimiser steps over which the learning rate rises linearly; a shorter training ends within.
        encoder_lr_factor: What the learning rate is multiplied by for the encoder's backbone.
    """

    optimizer: OptimizerName = "adamw"
    lr: float = 3e-4
    weight_decay: float = 0.01
    schedule: ScheduleName = "cosine"
    warmup_steps: int = 0
    encoder_lr_factor: float = 1.0


def check_recipe(recipe: Recipe) -> None:
    """Refuses numbers that no training can use.

    Raises:
        ValueError: Says which, and what is wanted.
    """
    for name, sound, wanted in (
        ("lr", 0 < recipe.lr < math.inf, "a positive number such as 3e-4"),
        ("weight_decay", 0 <= recipe.weight_decay < math.inf, "0 or a positive number such as 0.01"),
        ("warmup_steps", recipe.warmup_steps >= 0, "0 or more optimiser steps"),
        ("encoder_lr_factor", 0 < recipe.encoder_lr_factor < math.inf, "a positive number such as 0.1"),
    ):
        if not sound:
            more = ": frozen_epochs leaves the encoder alone" if name == "encoder_lr_factor" else ""
            raise ModelValueError(f"{name} is {getattr(recipe, name)}, wanted {wanted}{more}")


def make_optimizer(
    parameters: Iterable[nn.Parameter], recipe: Recipe, backbone: Iterable[nn.Parameter] = ()
) -> Optimizer:
    """Builds the optimiser over those parameters that are trained.

    Args:
        parameters: All of the network.
        recipe: How they are trained.
        backbone: Those of the encoder's backbone; a group of their own if their learning rate is another.
    """
    lr, weight_decay = recipe.lr, recipe.weight_decay
    trained: list[Any] = [parameter for parameter in parameters if parameter.requires_grad]
    if recipe.encoder_lr_factor != 1:
        slower = {id(parameter) for parameter in backbone}
        trained = [
            {"params": [parameter for parameter in trained if id(parameter) not in slower]},
            {
                "params": [parameter for parameter in trained if id(parameter) in slower],
                "lr": lr * recipe.encoder_lr_factor,
            },
        ]
    if recipe.optimizer == "adamw":
        return AdamW(trained, lr=lr, weight_decay=weight_decay)
    if recipe.optimizer == "sgd":
        return SGD(trained, lr=lr, weight_decay=weight_decay, momentum=0.9, nesterov=True)
    if recipe.optimizer == "adam":
        return Adam(trained, lr=lr, weight_decay=weight_decay)
    raise ModelValueError(f"optimizer is {recipe.optimizer!r}, wanted 'adamw', 'sgd' or 'adam'")


def lr_factor(step: int, recipe: Recipe, total_steps: float) -> float:
    """What the learning rate is multiplied by at a step.

    Args:
        step: Optimiser steps done, from 0.
        recipe: Says the schedule and its warm-up.
        total_steps: Steps of the whole training; infinite only for "constant".
    """
    warmup, schedule = recipe.warmup_steps, recipe.schedule
    if schedule not in get_args(ScheduleName):
        raise ModelValueError(f"schedule is {schedule!r}, wanted 'cosine', 'constant' or 'step'")
    if schedule != "constant" and not math.isfinite(total_steps):
        raise ModelValueError(
            f"schedule {schedule!r} needs the number of steps, but this training has no end: set `trainer.max_steps`, "
            "or `schedule: constant`"
        )
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "cosine":
        return (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total_steps - warmup)))) / 2
    if schedule == "step":
        return STEP_FACTOR ** sum(step >= fraction * total_steps for fraction in STEP_AT)
    return 1.0
