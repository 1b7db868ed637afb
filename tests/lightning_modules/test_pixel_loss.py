"""Sums of losses on pixels: their spelling, weights and constants."""

import pickle

import pytest
import torch

from lightning_modules import UNKNOWN
from lightning_modules.losses import bce, dice, focal, lovasz, tversky
from lightning_modules.pixel_loss import PixelLoss

LOSSES = {"bce": bce, "focal": focal, "dice": dice, "tversky": tversky, "lovasz": lovasz}


def batch(channels=1):
    torch.manual_seed(0)
    mask = torch.randint(0, max(channels, 2), (2, 8, 8))
    mask[:, :2] = UNKNOWN
    return torch.randn(2, channels, 8, 8, requires_grad=True), mask


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("name", LOSSES)
def test_a_name_is_the_loss_of_that_name(name, channels):
    assert torch.equal(PixelLoss(name)(*batch(channels)), LOSSES[name](*batch(channels)))


def test_a_sum_is_that_of_its_terms():
    logits, mask = batch()
    assert torch.equal(PixelLoss()(logits, mask), bce(logits, mask) + dice(logits, mask))
    assert torch.equal(PixelLoss("bce + dice")(logits, mask), PixelLoss("bce+dice")(logits, mask))
    expected = 2 * bce(logits, mask) + 0.5 * lovasz(logits, mask)
    for text in ["2*bce+0.5*lovasz", " 2 * bce + 5e-1*lovasz "]:
        torch.testing.assert_close(PixelLoss(text)(logits, mask), expected)


@pytest.mark.parametrize("channels", [1, 4])
def test_constants_reach_the_terms_they_apply_to(channels):
    logits, mask = batch(channels)
    weights = [1.0, 2.0, 3.0, 4.0][: max(channels, 2)]
    expected = (
        bce(logits, mask, 0.1, weights)
        + focal(logits, mask, 0.1, weights)
        + dice(logits, mask, weights)
        + tversky(logits, mask, weights)
        + lovasz(logits, mask, weights)
    )
    loss = PixelLoss("bce+focal+dice+tversky+lovasz", label_smoothing=0.1, class_weights=weights)
    torch.testing.assert_close(loss(logits, mask), expected)


def test_a_sum_is_float32_and_0_where_nothing_is_known():
    logits = torch.randn(1, 1, 4, 4, dtype=torch.bfloat16, requires_grad=True)
    loss = PixelLoss("bce+focal+dice+tversky+lovasz")(logits, torch.full((1, 4, 4), UNKNOWN))
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.shape == ()
    assert loss == 0
    assert (logits.grad == 0).all()


def test_a_loss_travels_to_other_processes():
    loss = PixelLoss("focal", 0.1, (1.0, 2.0))
    assert pickle.loads(pickle.dumps(loss)) == loss


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("dise", "dice"),
        ("bce+lovas", "lovasz"),
        ("2*focall", "focal"),
        ("bce*2", "bce"),
        ("BCE", "bce"),
        ("1e+3*bce", "bce"),
        ("bce+", r"bce\+dice"),
        ("", r"bce\+dice"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(text, nearest):
    with pytest.raises(ValueError, match=rf"^loss is '.*ends on no known name; wanted .*did you mean '{nearest}'\?$"):
        PixelLoss(text)


@pytest.mark.parametrize("weight", ["x", "0", "-1", "nan", "inf", "2*3", ""])
def test_a_weight_that_is_no_positive_number_is_refused(weight):
    with pytest.raises(ValueError, match=r"whose weight '.*' is not a positive number; wanted .*did you mean 'dice'\?"):
        PixelLoss(f"bce+{weight}*dice")


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_label_smoothing_out_of_range_is_refused(smoothing):
    with pytest.raises(ValueError, match=r"label_smoothing is .*, wanted a number from 0 to below 1"):
        PixelLoss("bce", label_smoothing=smoothing)


def test_label_smoothing_that_would_change_nothing_is_refused():
    with pytest.raises(ValueError, match=r"'dice\+lovasz' has none: set it to 0, or try 'bce\+dice\+lovasz'"):
        PixelLoss("dice+lovasz", label_smoothing=0.1)


def test_class_weights_that_would_change_nothing_are_refused():
    loss = PixelLoss("dice", class_weights=(1, 2))
    loss(*batch(2))
    with pytest.raises(ValueError, match=r"with one logit 'dice' has only the forged class's term: leave them out"):
        loss(*batch(1))


@pytest.mark.parametrize("weights", [(0.0, 1.0), (1.0, -1.0), (1.0, float("inf")), (float("nan"), 1.0)])
def test_class_weights_are_positive(weights):
    with pytest.raises(ValueError, match="wanted positive numbers"):
        PixelLoss(class_weights=weights)


def test_class_weights_of_other_length_are_refused():
    with pytest.raises(ValueError, match="3 for 4 classes"):
        PixelLoss(class_weights=(1, 2, 3))(*batch(4))
