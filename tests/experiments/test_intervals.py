"""Intervals by bootstrap over identity pairs: the arithmetic, and how often they hold the truth."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm as normal
from scipy.stats import t as student
from sklearn import metrics as sk

from experiments.evaluation import ranking
from experiments.evaluation.intervals import REPLICATES, _comparison, compare_evaluations, draws, ends, intervals
from experiments.evaluation.resampling import video_log_odds, weighted_metrics
from experiments.evaluation.result import Result, make_result
from lightning_modules import METHODS, Evaluation, OperatingPoint, video_scores
from tests.lightning_modules.test_metrics import split


def evaluated(seed=0, frames=120):
    """An evaluation of all kinds of frames; ten clips, each fake paired with the original of its number."""
    batch, probability, score = split(frames, seed)
    evaluation = Evaluation(pixel_threshold=0.4, frame_threshold=0.6)
    score[::7] = 0.25  # ties
    batch["canvas_own"] = batch["mask"].flip(0)
    batch |= {"canvas": batch["mask"], "frame": torch.arange(frames)}
    batch |= dict.fromkeys(("box", "canvas_box"), torch.tensor([[0.0, 0.0, 9.0, 8.0]]).expand(frames, -1))
    evaluation.update(batch, probability, score)
    metrics = {key: value.item() for key, value in evaluation.compute().items()}
    numbers = sorted(batch["clip"].unique().tolist())
    named = {"method": [METHODS[n // 10] for n in numbers], "clip": map(str, numbers)}
    clips = pd.DataFrame({**named, "pair": [f"pair {n % 10}" for n in numbers]}, index=numbers)
    return make_result(evaluation, clips), metrics


def test_weights_of_one_give_the_metrics_themselves():
    result, metrics = evaluated()
    weighted = weighted_metrics(result, np.ones((1, 3)))
    assert weighted.keys() == metrics.keys()
    assert any("_own/" in key for key in metrics)
    for key, value in metrics.items():
        assert weighted[key][0] == pytest.approx(value, abs=1e-6, nan_ok=True), key


def test_a_pair_of_weight_two_counts_as_if_it_were_there_twice():
    result, _ = evaluated()
    weighted = weighted_metrics(result, np.array([[2.0, 0.0, 1.0]]))
    frames = result.frames
    repeated = pd.concat(
        [
            frames[frames["pair"] == "pair 0"],
            frames[frames["pair"] == "pair 0"].assign(clip=lambda rows: rows["clip"] + " again"),
            frames[frames["pair"] == "pair 2"],
        ]
    )
    groups = [result.groups["pair"].map({"pair 0": 2, "pair 1": 0, "pair 2": 1}).to_numpy()[:, None, None]]
    twice = Result(
        repeated.assign(pair="one"), result.groups.assign(pair="one"), result.histograms * groups[0], result.point
    )
    expected = weighted_metrics(twice, np.ones((1, 1)))
    for key, value in expected.items():
        assert weighted[key][0] == pytest.approx(value[0], abs=1e-9, nan_ok=True), key
    assert weighted["frame_ap"][0] == pytest.approx(sk.average_precision_score(repeated["label"], repeated["score"]))


def test_units_counted_in_a_table_rank_as_frames_ranked_one_weighting_at_a_time(monkeypatch):
    for seed in range(60):
        random = np.random.default_rng(seed)
        frames, units = random.integers(2, 80), random.integers(1, 6)
        label, unit = random.integers(0, 2, frames), random.integers(0, units, frames)
        logit = random.integers(0, random.integers(2, 30), frames).astype(float)  # ties
        weights = draws(int(units), 50, seed)  # some without fakes, or without reals
        found = []
        for largest in (1_000, 0):
            monkeypatch.setattr(ranking, "LARGEST_TABLE", largest)
            with np.errstate(invalid="ignore", divide="ignore"):
                auroc, eer, precision = ranking.rank_scores(logit, label, unit, weights)
                found.append(np.stack([auroc, eer, precision()]))
        np.testing.assert_allclose(found[0], found[1], atol=1e-12)


def test_videos_are_scored_as_in_the_evaluation():
    random = np.random.default_rng(0)
    logit = random.normal(0, 30, 200)
    logit[:6] = [np.finfo(np.float32).max, -np.finfo(np.float32).max, 800, -800, 1e-300, 0]
    video = np.concatenate([[0, 1, 2, 2, 3, 3], random.integers(0, 40, 194)])
    video = np.unique(video, return_inverse=True)[1]
    expected = video_scores(torch.from_numpy(logit), torch.from_numpy(video))[1].numpy()
    np.testing.assert_allclose(video_log_odds(logit, video), expected, rtol=1e-14)


def test_an_interval_is_widened_as_scipy_s_distributions_say():
    values = np.random.default_rng(0).normal(size=1000)
    tail = normal.cdf(-np.sqrt(7 / 6) * student.ppf(0.975, 6))
    assert ends(values, 7) == (np.quantile(values, tail), np.quantile(values, 1 - tail))
    p = _comparison("key", {"key": np.zeros(1)}, {"key": np.zeros(1)}, values + 2.2, 7).p
    bare = 2 * ((values <= -2.2).sum() + 1) / 1001
    assert p == 2 * student.sf(normal.isf(bare / 2) * np.sqrt(6 / 7), 6)


def test_what_is_asked_for_alone_is_the_same_as_among_all():
    (first, _), (second, _) = evaluated(0), evaluated(0)
    second.frames["logit"] += np.linspace(0, 1, len(second.frames))
    whole = {one.key: one for one in compare_evaluations(first, second)}
    only = compare_evaluations(first, second, only=["frame_auroc", "pixel_auroc", "video_auroc"])
    assert only == [whole[one.key] for one in only]
    assert {one.key for one in only} == {"frame_auroc", "pixel_auroc", "video_auroc"}
    assert {"frame_ap", "frame_ap/Deepfakes"} <= whole.keys()


def test_where_a_draw_holds_one_class_only_nothing_is_ranked():
    result, _ = evaluated()
    alone = result._replace(frames=result.frames.assign(pair=result.frames["label"].astype(str)))
    alone = alone._replace(groups=result.groups.assign(pair=result.groups["label"].astype(str)))
    weighted = weighted_metrics(alone, np.array([[1.0, 1.0], [2.0, 0.0]]))
    assert np.isnan(weighted["frame_auroc"]).tolist() == [False, True]
    assert np.isfinite(ends(weighted["frame_auroc"], 2)).all()


def test_every_metric_lies_in_its_interval_and_every_run_gives_the_same():
    result, metrics = evaluated(frames=600)
    found = intervals(result, 200)
    assert found == intervals(result, 200)
    inside = [low <= metrics[key] <= high for key, (low, high) in found.items() if not np.isnan(low)]
    assert np.mean(inside) > 0.95


def test_a_run_compared_with_itself_does_not_differ():
    result, _ = evaluated()
    for comparison in compare_evaluations(result, result, 50):
        assert comparison.difference == 0 or np.isnan(comparison.difference)
        assert comparison.p == 1 or np.isnan(comparison.p)


def test_a_difference_on_every_pair_is_found_and_has_the_sign_of_first_minus_second():
    result, _ = evaluated(frames=400)
    better = result._replace(frames=result.frames.assign(logit=result.frames["logit"] + 2 * result.frames["label"]))
    (auroc,) = (one for one in compare_evaluations(better, result, 200) if one.key == "frame_auroc")
    assert auroc.difference > 0
    assert 0 < auroc.low < auroc.difference < auroc.high
    assert auroc.p == pytest.approx(0.17, abs=0.01)  # three pairs cannot say more
    (turned,) = (one for one in compare_evaluations(result, better, 200) if one.key == "frame_auroc")
    assert turned.low == pytest.approx(-auroc.high)


def test_runs_on_other_frames_are_not_compared():
    result, _ = evaluated()
    fewer = result._replace(frames=result.frames.iloc[1:])
    with pytest.raises(ValueError, match="different frames: 120 and 119, of which 1 are in one only"):
        compare_evaluations(result, fewer)


def test_runs_on_other_pixels_are_not_compared():
    result, _ = evaluated()
    other = result._replace(frames=result.frames.assign(tn=result.frames["tn"] + 1))
    with pytest.raises(ValueError, match="on other pixels or pairs in 120 of 120 frames"):
        compare_evaluations(result, other)
    with pytest.raises(ValueError, match="on other pixels or pairs"):
        compare_evaluations(result, result._replace(frames=result.frames.assign(pair="one")))


def test_metrics_by_a_row_s_own_labels_are_compared_where_the_labels_are_the_same():
    def of_own(result, other):
        return [one.key for one in compare_evaluations(result, other, 50) if "_own" in one.key]

    result, _ = evaluated()
    assert of_own(result, result)
    swapped = result.frames.rename(columns={"own_tp": "own_fp", "own_fp": "own_tp"})
    assert not of_own(result, result._replace(frames=swapped))


@pytest.mark.parametrize("pairs", [6, 70])
def test_p_says_what_the_interval_says(pairs):
    random = np.random.default_rng(0)
    weights = draws(pairs, 9999)
    for _ in range(200):
        differences = weights @ random.normal(0.3, 1, pairs) / pairs
        low, high = ends(differences, pairs)
        p = _comparison("key", {"key": np.zeros(1)}, {"key": np.zeros(1)}, differences, pairs).p
        if abs(p - 0.05) > 0.01:
            assert (p < 0.05) == (low > 0 or high < 0)


def test_draws_take_as_many_as_there_are():
    weights = draws(7, 100)
    assert weights.shape == (100, 7)
    assert (weights.sum(1) == 7).all()
    assert weights.mean() == pytest.approx(1)


PAIRS, FAKES = 70, 8  # as in the test split of FaceForensics++, of four methods


def simulated(random):
    """A test set in which a pair's originals, and a pair's fakes, share an effect as large as a clip's own noise.

    Two originals and eight fakes a pair, a frame each, with 100 forged pixels in a fake, 50 of them hit on average.
    """
    pair = np.repeat(np.arange(PAIRS), 2 + FAKES)
    clip = np.arange(len(pair))
    fake = clip % (2 + FAKES) >= 2
    effect = random.normal(size=(PAIRS, 2))[pair, fake.astype(int)] + random.normal(size=len(clip))
    hit = np.clip(np.round(50 + 10 * effect), 0, 100).astype(int) * fake
    frames = pd.DataFrame(
        {
            "method": np.where(fake, "Deepfakes", "original"),
            "clip": clip.astype(str),
            "pair": pair.astype(str),
            "label": fake.astype(int),
            "frame": 0,
            "logit": effect + 2 * fake,
            "tp": hit,
            "fp": 0,
            "fn": 100 * fake - hit,
            "tn": 100 * ~fake,
        }
    )
    groups = frames[["method", "clip", "pair", "label"]].iloc[:0]
    return Result(frames, groups, np.zeros((0, 2, 1), np.int64), OperatingPoint())


# A fake's score minus a real one's is normal with mean 2 and variance 4.
TRUTH = {"pixel_iou_per_frame": 0.5, "frame_auroc": normal.cdf(2 / 4**0.5)}


def coverage(by, simulations, replicates):
    """How often the interval holds the truth."""
    random = np.random.default_rng(0)
    held = []
    for _ in range(simulations):
        found = intervals(simulated(random), replicates, by)
        held.append([low <= TRUTH[key] <= high for key in TRUTH for low, high in [found[key]]])
    return np.mean(held, axis=0)


@pytest.mark.parametrize(
    ("simulations", "replicates"), [(150, 250), pytest.param(400, REPLICATES, marks=pytest.mark.soak)]
)
def test_intervals_over_pairs_hold_the_truth_and_those_over_clips_do_not(simulations, replicates):
    over_pairs, over_clips = coverage("pair", simulations, replicates), coverage("clip", simulations // 4, replicates)
    print(f"held by intervals over pairs: {over_pairs}, over clips: {over_clips}, of {list(TRUTH)}")
    assert ((over_pairs >= 0.92) & (over_pairs <= 0.98)).all()
    assert (over_clips < 0.92).all()
