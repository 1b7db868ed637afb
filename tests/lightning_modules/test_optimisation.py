"""Optimisers and learning-rate curves."""

import math

import pytest
import torch
from torch.optim import SGD, Adam, AdamW

from lightning_modules.optimisation import Recipe, lr_factor, make_optimizer


def curve(schedule, warmup_steps, total_steps):
    recipe = Recipe(schedule=schedule, warmup_steps=warmup_steps)
    return [lr_factor(step, recipe, total_steps) for step in range(total_steps)]


def test_cosine_rises_over_the_warm_up_and_falls_to_zero():
    factors = curve("cosine", 4, 12)
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4:] == pytest.approx([(1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)])
    assert lr_factor(12, Recipe(schedule="cosine", warmup_steps=4), 12) == 0


def test_constant_stays_after_the_warm_up():
    assert curve("constant", 2, 5) == [0.5, 1, 1, 1, 1]
    assert lr_factor(10**6, Recipe(schedule="constant"), math.inf) == 1


def test_step_falls_at_half_and_at_three_quarters():
    assert curve("step", 0, 8) == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_a_training_shorter_than_the_warm_up_ends_within_it():
    assert curve("cosine", 10, 3) == pytest.approx([0.1, 0.2, 0.3])


def test_a_training_without_end_cannot_be_scheduled():
    with pytest.raises(ValueError, match=r"schedule 'cosine' needs the number of steps.*trainer\.max_steps"):
        lr_factor(0, Recipe(schedule="cosine"), math.inf)


@pytest.mark.parametrize(("name", "kind"), [("adamw", AdamW), ("sgd", SGD), ("adam", Adam)])
def test_the_optimiser_is_the_one_named(name, kind):
    frozen = torch.nn.Parameter(torch.zeros(1), requires_grad=False)
    trained = torch.nn.Parameter(torch.zeros(1))
    optimizer = make_optimizer([frozen, trained], Recipe(name, lr=0.1, weight_decay=0.2))
    assert type(optimizer) is kind
    assert optimizer.param_groups[0]["params"] == [trained]
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]) == (0.1, 0.2)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="optimizer is 'lion', wanted 'adamw'"):
        make_optimizer([torch.nn.Parameter(torch.zeros(1))], Recipe("lion"))
    with pytest.raises(ValueError, match="schedule is 'linear', wanted 'cosine'"):
        lr_factor(0, Recipe(schedule="linear"), 10)
