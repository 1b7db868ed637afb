"""Pixel and frame losses: values worked out by hand, and what unknown pixels and real frames contribute."""

import math

import pytest
import torch
from segmentation_models_pytorch.losses import DiceLoss

from lightning_modules import UNKNOWN
from lightning_modules.losses import bce, dice, frame_loss, pixel_loss

LOSSES = ["bce", "dice", "bce+dice"]


def logit(probability):
    return torch.tensor(probability).logit()


def batch():
    torch.manual_seed(0)
    mask = torch.randint(0, 2, (3, 8, 8))
    mask[0, :4] = UNKNOWN
    mask[2] = UNKNOWN
    return torch.randn(3, 1, 8, 8, requires_grad=True), mask


def test_bce_by_hand():
    loss = bce(logit([[[[0.9, 0.2, 0.5]]]]), torch.tensor([[[1, 0, UNKNOWN]]]))
    assert loss.item() == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 2)


def test_dice_by_hand():
    loss = dice(logit([[[[0.9, 0.2, 0.5]]]]), torch.tensor([[[1, 0, UNKNOWN]]]))
    assert loss.item() == pytest.approx(1 - 2 * 0.9 / (0.9 + 0.2 + 1), abs=1e-6)


def test_bce_plus_dice_is_their_sum():
    logits, mask = batch()
    assert pixel_loss("bce+dice", logits, mask) == bce(logits, mask) + dice(logits, mask)


def test_dice_is_that_of_segmentation_models_pytorch_where_pixels_are_forged():
    logits, mask = batch()
    known = mask.clone()
    known[mask == UNKNOWN] = 0
    logits = torch.where(mask[:, None] == UNKNOWN, -100.0, logits)  # probability 0 adds nothing to either sum
    torch.testing.assert_close(dice(logits, known), DiceLoss("binary")(logits, known[:, None]))


def test_false_alarms_on_an_all_real_batch_cost_something():
    real = torch.zeros(2, 8, 8, dtype=torch.int64)
    alarm = logit(0.9).expand(2, 1, 8, 8).clone().requires_grad_()
    assert DiceLoss("binary")(alarm, real[:, None]) == 0  # the trap
    loss = dice(alarm, real)
    assert loss.item() == pytest.approx(0.9 / (2 - 0.9), abs=1e-5)
    loss.backward()
    assert (alarm.grad > 0).all()
    assert dice(logit(0.1).expand(2, 1, 8, 8), real) < loss
    assert dice(torch.full((2, 1, 8, 8), -30.0), real) == pytest.approx(0, abs=1e-6)


def test_false_alarms_on_a_real_frame_cost_beside_forged_frames():
    mask = torch.zeros(2, 4, 4, dtype=torch.int64)
    mask[0] = 1
    quiet, alarm = torch.full((2, 1, 4, 4), 30.0), torch.full((2, 1, 4, 4), 30.0)
    quiet[1] = -30
    assert dice(quiet, mask) == pytest.approx(0, abs=1e-6)
    assert dice(alarm, mask) == pytest.approx(1 / 3, abs=1e-6)  # 1 - 2 * 16 / (32 + 16)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("other", [100.0, -100.0, math.inf, math.nan])
def test_logits_under_unknown_pixels_change_neither_loss_nor_gradient(name, other):
    logits, mask = batch()
    loss = pixel_loss(name, logits, mask)
    (gradient,) = torch.autograd.grad(loss, logits)
    changed = torch.where(mask[:, None] == UNKNOWN, other, logits.detach()).requires_grad_()
    loss_changed = pixel_loss(name, changed, mask)
    (gradient_changed,) = torch.autograd.grad(loss_changed, changed)
    assert torch.equal(loss, loss_changed)
    assert torch.equal(gradient, gradient_changed)
    assert (gradient[mask[:, None] == UNKNOWN] == 0).all()
    assert (gradient[mask[:, None] != UNKNOWN] != 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_of_unknown_pixels_costs_nothing(name):
    logits = torch.randn(2, 1, 4, 4, requires_grad=True)
    loss = pixel_loss(name, logits, torch.full((2, 4, 4), UNKNOWN))
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_losses_have_the_gradient_of_finite_differences(name):
    logits, mask = batch()
    (gradient,) = torch.autograd.grad(pixel_loss(name, logits, mask), logits)
    step = torch.zeros_like(logits)
    step[1, 0, 2, 3] = 0.05
    slope = (pixel_loss(name, logits + step, mask) - pixel_loss(name, logits - step, mask)) / 0.1
    assert slope.item() == pytest.approx(gradient[1, 0, 2, 3].item(), rel=1e-2)


def test_frame_loss_by_hand():
    loss = frame_loss(logit([0.9, 0.2]), torch.tensor([1, 0]))
    assert loss.item() == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 2)


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="loss is 'lovasz', wanted 'bce'"):
        pixel_loss("lovasz", *batch())
