"""From pixels to frames to videos."""

import pytest
import torch

from lightning_modules.decisions import frame_scores, video_scores

MASK = torch.linspace(0, 1, 100).view(1, 10, 10)


@pytest.mark.parametrize(
    ("decision", "score"),
    [("mean", 0.5), ("area", 0.5), ("topk", (95 + 96 + 97 + 98 + 99) / 5 / 99), ("max", 1.0)],
)
def test_a_frame_is_scored_by_its_mask(decision, score):
    assert frame_scores(MASK, decision).tolist() == pytest.approx([score])


def test_the_area_is_that_above_a_half():
    assert frame_scores(MASK.clamp(max=0.5), "area").tolist() == [0]


def test_each_frame_is_scored_alone():
    masks = torch.stack([torch.zeros(4, 4), torch.ones(4, 4)])
    assert frame_scores(masks).tolist() == [0, 1]


def test_a_tiny_mask_has_a_top_pixel():
    assert frame_scores(torch.tensor([[[0.1, 0.4]]]), "topk").tolist() == pytest.approx([0.4])


def test_a_video_is_scored_by_the_mean_of_its_frames_in_any_order():
    clips, scores = video_scores(torch.tensor([0.2, 1.0, 0.4, 0.0]), torch.tensor([7, 3, 7, 3]))
    assert clips.tolist() == [3, 7]
    assert scores.tolist() == pytest.approx([0.5, 0.3])


def test_an_unknown_decision_is_refused():
    with pytest.raises(ValueError, match="decision is 'median', wanted 'mean'"):
        frame_scores(MASK, "median")
