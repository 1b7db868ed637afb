"""What validation chooses, and where it is applied."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from lightning_modules import UNKNOWN, Evaluation
from lightning_modules.metrics.log_odds import log_odds
from lightning_modules.metrics.measurements import BINS, edge_of
from lightning_modules.metrics.pixels import counts_at
from lightning_modules.metrics.thresholds import best_threshold
from tests.lightning_modules.test_metrics import split


def chosen(batch, probability, score, **options):
    evaluation = Evaluation(choosing=True, **options)
    evaluation.update(batch, probability, score)
    return evaluation.compute(), evaluation.point


def test_the_threshold_of_frames_has_the_highest_balanced_accuracy():
    batch, _, score = split(200)
    score = (score * 20).round() / 20  # ties
    best = best_threshold(log_odds(score), batch["label"])
    reached = sk.balanced_accuracy_score(batch["label"], log_odds(score) > best)
    assert reached == pytest.approx(
        max(sk.balanced_accuracy_score(batch["label"], score > t) for t in np.linspace(-0.01, 1.01, 500))
    )


def test_between_classes_that_are_told_apart_lies_the_middle():
    score = torch.tensor([0.1, 0.2, 0.6, 0.7], dtype=torch.float64)
    assert best_threshold(log_odds(score), torch.tensor([0, 0, 1, 1])) == pytest.approx(math.log(0.4 / 0.6))


@pytest.mark.parametrize(("score", "label"), [([0.2, 0.2], [0, 1]), ([0.1, 0.9], [1, 1]), ([0.3], [0])])
def test_what_cannot_be_told_is_a_half(score, label):
    assert best_threshold(log_odds(torch.tensor(score)), torch.tensor(label)) == 0


def test_the_threshold_of_pixels_has_the_highest_balanced_iou():
    batch, probability, score = split()
    probability = (probability.logit() - 3).sigmoid()  # badly calibrated: 0.5 is far too high
    metrics, point = chosen(batch, probability, score)

    def iou(threshold):
        evaluation = Evaluation(pixel_threshold=threshold)
        evaluation.update(batch, probability, score)
        return evaluation.compute()["pixel_iou_balanced"].item()

    assert point.pixel_threshold < 0.3
    assert metrics["pixel_iou_balanced"].item() == pytest.approx(iou(point.pixel_threshold), abs=1e-6)
    assert metrics["pixel_iou_balanced"].item() == pytest.approx(
        max(iou(threshold) for threshold in torch.linspace(-6, 6, 129).sigmoid().tolist()), abs=2e-3
    )
    assert "pixel_iou_per_frame" not in metrics  # that would need the threshold beforehand


@pytest.mark.parametrize("bin", [1, 200, 512, 1024, 1700, BINS - 1])
def test_the_threshold_is_counted_where_it_was_chosen(bin):
    histogram = torch.zeros(2, BINS, dtype=torch.int64)
    histogram[1, bin] = histogram[0, bin - 1] = 1
    assert counts_at(histogram, edge_of(bin)).tolist() == [1, 0, 0, 1]


def test_every_edge_belongs_to_the_bin_above_it():
    histogram = torch.stack([torch.ones(BINS), torch.ones(BINS)]).long()
    assert [counts_at(histogram, edge_of(bin))[0].item() for bin in range(1, BINS)] == list(range(BINS - 1, 0, -1))


def test_pixels_at_the_threshold_are_forged_in_validation_and_test_alike():
    mask = torch.tensor([[[1, 1, 0, 0]], [[0, 0, 0, 0]]])
    batch = {"mask": mask, "label": torch.tensor([1, 0])}
    constant = torch.full((2, 1, 4), 0.5)
    metrics, point = chosen(batch, constant, torch.tensor([0.9, 0.1]))
    evaluation = Evaluation()
    evaluation.point = point
    evaluation.update(batch, constant, torch.tensor([0.9, 0.1]))
    assert evaluation.compute()["pixel_iou"] == metrics["pixel_iou"] == 2 / 8


def test_the_rule_has_the_highest_auroc_and_the_first_of_equals_wins():
    batch, probability, score = split()
    rules = torch.stack([1 - score, score, score], dim=1)
    metrics, point = chosen(batch, probability, rules, decisions=("worse", "better", "as good"))
    assert point.decision == "better"
    assert metrics["frame_auroc"].item() == pytest.approx(sk.roc_auc_score(batch["label"], score), abs=1e-6)


def test_thresholds_that_were_given_are_kept():
    _, point = chosen(*split(), pixel_threshold=0.2, frame_threshold=0.7)
    assert (point.pixel_threshold, point.frame_threshold, point.video_threshold) == pytest.approx((0.2, 0.7, 0.7))


@pytest.mark.parametrize("label", [0, 1])
def test_a_split_of_one_kind_or_without_known_pixels_chooses_what_it_can(label):
    batch, probability, score = split()
    one = dict(batch, label=torch.full_like(batch["label"], label))
    one["mask"] = one["mask"] * label
    _, point = chosen(one, probability, score)
    assert point.frame_threshold == 0.5
    blind = dict(batch, mask=torch.full_like(batch["mask"], UNKNOWN))
    _, point = chosen(blind, probability, score)
    assert point.pixel_threshold == 0.5
