"""Predictions laid over the pixels that everything is measured on."""

import pytest
import torch

from lightning_modules import UNKNOWN, Evaluation, paste
from lightning_modules.metrics.canvas import _interpolate, _interpolate_exact

WHOLE = torch.tensor([[0.0, 0.0, 8.0, 8.0]])


def laid_over(probability, *boxes_and_size):
    return paste(probability.logit(), *boxes_and_size).sigmoid()


def test_the_same_crop_at_the_same_size_is_left_as_it_is():
    masks = torch.rand(1, 8, 8)
    assert paste(masks, WHOLE, WHOLE, (8, 8)) is masks


def test_a_smaller_crop_leaves_its_surroundings_real():
    laid = laid_over(torch.ones(1, 4, 4), torch.tensor([[2.0, 4.0, 6.0, 8.0]]), WHOLE, (8, 8))
    wanted = torch.zeros(8, 8)
    wanted[4:8, 2:6] = 1
    assert torch.equal(laid[0], wanted)


def test_a_wider_crop_gives_its_part():
    masks = torch.arange(64.0).view(1, 8, 8) / 64
    assert torch.allclose(laid_over(masks, WHOLE, torch.tensor([[2.0, 1.0, 6.0, 5.0]]), (4, 4)), masks[:, 1:5, 2:6])


def test_values_between_pixels_are_bilinear():
    ramp = (torch.arange(8.0) / 8).expand(1, 8, 8)  # value of column x at its centre: x / 8
    laid = laid_over(ramp, WHOLE, torch.tensor([[2.25, 0.0, 6.25, 4.0]]), (4, 4))
    assert torch.allclose(laid[0, 0], (torch.arange(2, 6) + 0.25) / 8)


def test_twice_the_size_is_halved_by_the_mean_of_four():
    masks = torch.rand(1, 16, 16)
    wanted = masks.view(1, 8, 2, 8, 2).mean((2, 4))
    assert torch.allclose(laid_over(masks, WHOLE, WHOLE, (8, 8)), wanted, atol=1e-6)


def test_each_frame_has_a_crop_of_its_own():
    masks = torch.stack([torch.zeros(4, 4), torch.ones(4, 4)])
    boxes = torch.tensor([[0.0, 0.0, 8.0, 8.0], [0.0, 0.0, 4.0, 8.0]])
    laid = laid_over(masks, boxes, WHOLE.expand(2, -1), (8, 8))
    assert laid.mean((1, 2)).tolist() == [0, 0.5]


@pytest.mark.parametrize("scale", [1, 20, 1e3, 1e5])
def test_logits_of_any_size_are_laid_over_as_their_probabilities(scale):
    logits = scale * torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0))
    box, canvas = (
        torch.tensor([[3.0, 1.0, 17.0, 21.0]]).expand(2, -1),
        torch.tensor([[4.0, 0.0, 15.0, 20.0]]).expand(2, -1),
    )
    laid = paste(logits, box, canvas, (9, 7))
    plain = laid_over(logits.sigmoid(), box, canvas, (9, 7))
    assert torch.allclose(laid.sigmoid(), plain, atol=2e-6)
    seen = laid.isfinite()
    assert len(laid[seen].unique()) > 0.8 * seen.sum() > 50  # as probabilities nearly all would be 0 or 1


def test_both_ways_of_laying_over_agree():
    logits = 10 * torch.randn(1, 5, 6, generator=torch.Generator().manual_seed(0))
    across, down = torch.linspace(-1, 1, 11)[None], torch.linspace(-0.9, 1, 8)[None]
    assert torch.allclose(_interpolate(logits, across, down), _interpolate_exact(logits, across, down), atol=1e-4)


def test_pixels_are_judged_on_the_canvas_and_not_on_what_was_trained_on():
    truth = torch.zeros(1, 8, 8, dtype=torch.int64)
    truth[0, :, :4] = 1
    batch = {
        "label": torch.tensor([1]),
        "method": torch.tensor([1]),
        "mask": torch.full((1, 4, 4), UNKNOWN),
        "canvas": truth,
        "box": torch.tensor([[0.0, 0.0, 2.0, 8.0]]),
        "canvas_box": WHOLE,
    }
    evaluation = Evaluation(pixel_threshold=0.5)
    evaluation.update(batch, torch.ones(1, 4, 4), torch.ones(1))
    metrics = evaluation.compute()
    assert metrics["pixel_iou"] == 0.5  # half of the forged region lies where the crop does not see it
    assert "pixel_iou_own" not in metrics
    evaluation.reset()
    evaluation.update(
        batch | {"canvas_own": (torch.arange(8) < 2).long().expand(1, 8, 8)}, torch.ones(1, 4, 4), torch.ones(1)
    )
    metrics = evaluation.compute()
    assert (metrics["pixel_iou"], metrics["pixel_iou_own"]) == (0.5, 1)


def test_a_network_that_has_diverged_is_refused():
    batch = {"label": torch.tensor([1]), "canvas": torch.ones(1, 8, 8, dtype=torch.int64)} | dict.fromkeys(
        ("box", "canvas_box"), WHOLE
    )
    masks = torch.full((1, 4, 4), 0.5)
    masks[0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"mask scores must be probabilities.*lower the learning rate"):
        Evaluation().update(batch, masks, torch.ones(1))
