"""Predictions without a network."""

import pytest
import torch

from lightning_modules import UNKNOWN, Evaluation, MeanMask, all_fake, all_real, centre_box, colour_features


def batch(masks):
    masks = torch.as_tensor(masks)
    label = (masks == 1).flatten(1).any(1).long()
    return {"image": torch.zeros(len(masks), 3, *masks.shape[1:]), "mask": masks, "label": label}


def test_constants_call_everything_alike():
    real = batch(torch.zeros(2, 4, 6, dtype=torch.int64))
    for baseline, value in [(all_fake, 1), (all_real, 0)]:
        mask, score = baseline(real)
        assert mask.shape == (2, 4, 6)
        assert score.shape == (2,)
        assert (mask == value).all()
        assert (score == value).all()


def test_the_centre_box_covers_a_quarter():
    mask, score = centre_box(batch(torch.zeros(1, 8, 12, dtype=torch.int64)))
    assert mask[0, 2:6, 3:9].all()
    assert mask.sum() == 4 * 6
    assert score.tolist() == [0.25]


def test_the_mean_mask_is_the_forged_part_of_the_frames_known_there():
    mean = MeanMask()
    mean.update(batch([[[1, 1, 0]], [[1, 0, UNKNOWN]]]))
    mean.update(batch([[[1, UNKNOWN, UNKNOWN]]]))
    mask, score = mean(batch(torch.zeros(2, 1, 3, dtype=torch.int64)))
    assert mask.tolist() == [[[1, 0.5, 0]]] * 2
    assert score.tolist() == [0.5, 0.5]


def test_a_mean_of_nothing_is_refused():
    with pytest.raises(ValueError, match="seen no training batch: call `update`"):
        MeanMask()(batch([[[0]]]))


def test_a_baseline_is_measured_as_a_model_is():
    evaluation = Evaluation()
    truth = batch([[[1, 1, 0, 0]], [[0, 0, 0, 0]]])
    evaluation.update(truth, *all_fake(truth))
    metrics = evaluation.compute()
    assert metrics["pixel_iou"] == pytest.approx(2 / 8)
    assert metrics["frame_accuracy"] == metrics["frame_accuracy_always_fake"] == 0.5


def test_colour_features_are_means_deviations_and_sharpness():
    torch.manual_seed(0)
    noise = torch.randn(1, 3, 32, 32)
    flat = torch.full((1, 3, 32, 32), 0.5)
    features = colour_features(torch.cat([noise, flat]))
    assert features.shape == (2, 7)
    torch.testing.assert_close(features[0, :3], noise[0].mean((1, 2)))
    torch.testing.assert_close(features[0, 3:6], noise[0].std((1, 2)))
    assert features[0, 6] > 0 > features[1, 6]
    # a grey ramp of squares: every second difference is 2 in one direction
    ramp = (torch.arange(8.0) ** 2).expand(1, 3, 8, 8)
    assert colour_features(ramp)[0, 6] == pytest.approx(torch.tensor(4.0).log().item())
