"""The bootstrap's arithmetic beside an evaluation's: the same metrics, and a weight is a number of repetitions."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from experiments.evaluation.resampling import weighted_metrics
from experiments.evaluation.result import make_result
from lightning_modules import METHODS, UNKNOWN, Evaluation, OperatingPoint

PIXELS = 4
LOGITS = (-2.0, -0.5, 0.0, 0.5, 30.0)  # few, so that many are tied; one far from the others
POINT = OperatingPoint(pixel_logit=0.0, frame_logit=-0.5, video_logit=0.25)

LOGIT = some.sampled_from(LOGITS)
TRUTH = some.lists(some.sampled_from((0, 1, UNKNOWN)), min_size=PIXELS, max_size=PIXELS)


@some.composite
def clips(draw):
    """Clips of pairs: each a method, a pair and frames of label, truth, own truth, predicted log-odds and score."""
    found = []
    for _ in range(draw(some.integers(1, 5))):
        method = draw(some.sampled_from((0, 1, 4)))
        frames = []
        for _ in range(draw(some.integers(1, 3))):
            label = draw(some.integers(0, 1)) if method else 0  # a frame of a fake may be untouched
            truth, own = (
                [value if label or value == UNKNOWN else 0 for value in draw(TRUTH)] for _ in ("official", "own")
            )
            if draw(some.booleans()):  # nothing forged, or nothing known
                truth = [draw(some.sampled_from((0, UNKNOWN)))] * PIXELS
            predicted = draw(some.lists(LOGIT, min_size=PIXELS, max_size=PIXELS))
            frames.append((label, truth, own, predicted, draw(LOGIT)))
        found.append((method, draw(some.integers(0, 2)), frames))
    return found


def evaluated(found, pixels, own):
    """An evaluation of clips, and its metrics."""
    rows = [(number, method, *frame) for number, (method, _, frames) in enumerate(found) for frame in frames]
    clip, method, label, truth, by_own, predicted, score = zip(*rows, strict=True)
    box = torch.tensor([[0.0, 0.0, PIXELS, 1.0]]).expand(len(rows), -1)
    batch = {
        "label": torch.tensor(label),
        "method": torch.tensor(method),
        "clip": torch.tensor(clip),
        "frame": torch.arange(len(rows)),
        "canvas": torch.tensor(truth)[:, None],
        "box": box,
        "canvas_box": box,
    }
    if own:
        batch["canvas_own"] = torch.tensor(by_own)[:, None]
    evaluation = Evaluation(pixels=pixels)
    evaluation.point = POINT
    evaluation.update(batch, torch.tensor(predicted)[:, None], torch.tensor(score), logits=True)
    return evaluation, {key: value.item() for key, value in evaluation.compute().items()}


def result(evaluation, found):
    named = [(METHODS[method], str(number), f"pair {pair}") for number, (method, pair, _) in enumerate(found)]
    return make_result(evaluation, pd.DataFrame(named, columns=["method", "clip", "pair"]))


SLOW = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SLOW
@given(clips(), some.booleans(), some.booleans())
def test_weights_of_one_give_the_metrics_of_the_evaluation(found, pixels, own):
    evaluation, wanted = evaluated(found, pixels, own)
    units = len({pair for _, pair, _ in found})
    weighted = weighted_metrics(result(evaluation, found), np.ones((1, units)))
    assert weighted.keys() == wanted.keys()
    for key, value in wanted.items():
        assert weighted[key][0] == pytest.approx(value, abs=1e-6, nan_ok=True), key


@SLOW
@given(clips(), some.booleans(), some.booleans(), some.tuples(*[some.integers(0, 3)] * 3).filter(any))
def test_a_weight_counts_as_so_many_repetitions_of_the_clips(found, pixels, own, times):
    pairs = sorted({pair for _, pair, _ in found})
    weights = np.array([[float(times[pair]) for pair in pairs]])
    weighted = weighted_metrics(result(evaluated(found, pixels, own)[0], found), weights)
    repeated = [clip for clip in found for _ in range(times[clip[1]])]
    wanted = evaluated(repeated, pixels, own)[1] if repeated else {}
    assert wanted.keys() <= weighted.keys()
    for key, (value,) in weighted.items():
        assert value == pytest.approx(wanted.get(key, math.nan), abs=1e-6, nan_ok=True), key
