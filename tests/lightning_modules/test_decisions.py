"""From pixels to frames to videos."""

from decimal import Decimal, localcontext

import pytest
import torch

from lightning_modules.metrics.decisions import DECISIONS, frame_scores, video_scores

MASK = torch.linspace(0, 1, 100, dtype=torch.float64).view(1, 10, 10).logit()


@pytest.mark.parametrize(
    ("decision", "score"),
    [("mean", 0.5), ("area", 0.5), ("topk", (95 + 96 + 97 + 98 + 99) / 5 / 99), ("max", 1.0)],
)
def test_a_frame_is_scored_by_its_mask(decision, score):
    assert frame_scores(MASK, decision).sigmoid().tolist() == pytest.approx([score])


def test_the_area_is_that_above_a_half():
    assert frame_scores(MASK.clamp(max=0.0), "area").sigmoid().tolist() == [0]


def test_each_frame_is_scored_alone():
    masks = torch.stack([torch.zeros(4, 4), torch.ones(4, 4)])
    assert frame_scores(masks.logit()).sigmoid().tolist() == [0, 1]


def test_a_tiny_mask_has_a_top_pixel():
    assert frame_scores(torch.tensor([[[0.1, 0.4]]]).logit(), "topk").sigmoid().tolist() == pytest.approx([0.4])


def test_a_video_is_scored_by_the_mean_of_its_frames_in_any_order():
    clips, scores = video_scores(torch.tensor([0.2, 1.0, 0.4, 0.0]).logit(), torch.tensor([7, 3, 7, 3]))
    assert clips.tolist() == [3, 7]
    assert scores.sigmoid().tolist() == pytest.approx([0.5, 0.3])


def test_an_unknown_decision_is_refused():
    with pytest.raises(ValueError, match="decision is 'median', wanted 'mean'"):
        frame_scores(MASK, "median")


@pytest.mark.parametrize("scale", [1e-6, 1, 30, 300])
@pytest.mark.parametrize("decision", DECISIONS)
def test_scores_rank_as_their_log_odds_whatever_the_size_of_logits(scale, decision):
    masks = scale * torch.randn(8, 5, 6, generator=torch.Generator().manual_seed(1)).double()
    pixels = [sorted(mask) for mask in masks.flatten(1).tolist()]
    with localcontext(prec=600 if scale > 30 else 100):  # a probability nears 1 by as many digits as its logit says
        scores = [by_definition(list(map(probability, mask)), decision) for mask in pixels]
        wanted = [float((score / (1 - score)).ln()) if 0 < score < 1 else None for score in scores]
    found = frame_scores(masks, decision).tolist()
    assert any(value is not None for value in wanted)
    for value, expected in zip(found, wanted, strict=True):
        assert value == pytest.approx(expected, rel=1e-9, abs=1e-12) if expected is not None else abs(value) > 1e38


def probability(logit):
    return 1 / (1 + (-Decimal(logit)).exp())


def by_definition(probabilities, decision):
    """A frame's score from its pixels' probabilities, ascending, in as many digits as it takes."""
    if decision == "area":
        return Decimal(sum(value > Decimal("0.5") for value in probabilities)) / len(probabilities)
    taken = {"mean": probabilities, "topk": probabilities[-2:], "max": probabilities[-1:]}[decision]
    return sum(taken) / len(taken)
