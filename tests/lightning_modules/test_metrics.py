"""Pixel, frame and video metrics: worked out by hand, by plain loops, by scikit-learn, and over two processes."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import torch
from sklearn import metrics as sk
from torchmetrics.classification import BinaryAUROC

from lightning_modules import METHODS, UNKNOWN, Evaluation
from lightning_modules.metrics.measurements import BIN_WIDTH

ROOT = Path(__file__).parents[2]


def pixel_metrics(probability, mask, label, method=None, threshold=0.5):
    evaluation = Evaluation(pixel_threshold=threshold)
    label = torch.as_tensor(label)
    batch = {
        "mask": torch.as_tensor(mask),
        "label": label,
        "method": label if method is None else torch.as_tensor(method),
    }
    evaluation.update(batch, torch.as_tensor(probability, dtype=torch.float32), torch.zeros(len(label)))
    return {key: value.item() for key, value in evaluation.compute().items() if key.startswith("pixel")}


def frame_metrics(score, label, method=None, clip=None, threshold=0.5):
    evaluation = Evaluation(pixels=False, frame_threshold=threshold)
    label = torch.as_tensor(label)
    batch = {"label": label, "method": label if method is None else torch.as_tensor(method)}
    evaluation.update(batch | ({} if clip is None else {"clip": torch.as_tensor(clip)}), None, torch.as_tensor(score))
    return {key: value.item() for key, value in evaluation.compute().items()}


def split(frames=60, seed=0):
    """Frames of all kinds: originals, four methods, untouched frames of fakes, half known and unknown masks."""
    random = torch.Generator().manual_seed(seed)
    method = torch.randint(0, 5, (frames,), generator=random)
    label = ((method > 0) & (torch.rand(frames, generator=random) > 0.1)).long()
    mask = (torch.rand(frames, 8, 9, generator=random) > 0.6).long() * label[:, None, None]
    mask[torch.rand(frames, 8, 9, generator=random) > 0.8] = UNKNOWN
    mask[(torch.rand(frames, generator=random) > 0.9) & (label == 1)] = UNKNOWN
    logits = 3 * torch.randn(frames, 8, 9, generator=random) + 2 * (mask == 1)
    clip = method * 10 + torch.randint(0, 3, (frames,), generator=random)
    score = (torch.randn(frames, generator=random) + label).sigmoid()
    batch = {"mask": mask, "label": label, "method": method, "clip": clip}
    return batch, logits.sigmoid(), score


def test_a_false_alarm_on_a_real_frame_lowers_iou():
    mask = torch.zeros(2, 8, 8, dtype=torch.int64)
    mask[0, :4, :4] = 1
    predicted = (mask == 1).float()
    assert pixel_metrics(predicted, mask, [1, 0])["pixel_iou"] == 1
    predicted[1, 0, 0] = 1
    metrics = pixel_metrics(predicted, mask, [1, 0])
    assert metrics["pixel_iou"] == pytest.approx(16 / (16 + 1))
    assert metrics["pixel_fpr_real"] == pytest.approx(1 / 64)
    assert metrics["pixel_accuracy"] == pytest.approx(127 / 128)
    assert metrics["pixel_f1"] == pytest.approx(32 / 33)
    assert metrics["pixel_iou_per_frame"] == 1


def test_pooled_and_per_frame_iou_differ_on_the_same_predictions():
    mask = torch.zeros(2, 4, 4, dtype=torch.int64)
    mask[0], mask[1, 0, 0] = 1, 1
    predicted = torch.zeros(2, 4, 4)
    predicted[0] = 1  # the large region whole, the small one not at all
    metrics = pixel_metrics(predicted, mask, [1, 1])
    assert metrics["pixel_iou"] == pytest.approx(16 / 17)
    assert metrics["pixel_iou_per_frame"] == pytest.approx(0.5)


def test_balanced_iou_lets_one_real_frame_count_as_four_fakes():
    mask = torch.zeros(5, 2, 2, dtype=torch.int64)
    mask[:4] = 1
    metrics = pixel_metrics(torch.ones(5, 2, 2), mask, [1, 1, 1, 1, 0], [1, 2, 3, 4, 0])
    assert metrics["pixel_iou"] == pytest.approx(16 / 20)
    assert metrics["pixel_iou_balanced"] == pytest.approx(16 / 32)  # 4 false alarms weigh 4 * 4
    assert metrics["pixel_iou_balanced/FaceSwap"] == pytest.approx(4 / 8)


def test_fakes_without_a_known_pixel_do_not_weigh_in_the_balance():
    mask = torch.tensor([[[1, 1]], [[UNKNOWN, UNKNOWN]], [[0, 0]]])
    metrics = pixel_metrics(torch.ones(3, 1, 2), mask, [1, 1, 0], [1, 5, 0])
    assert metrics["pixel_iou_balanced"] == pytest.approx(2 / 4)
    assert "pixel_iou/FaceShifter" not in metrics


def test_nothing_to_find_and_nothing_found_counts_one_per_frame():
    mask = torch.tensor([[[0, 0]], [[1, 1]]])
    assert pixel_metrics([[[0.1, 0.1]], [[0.9, 0.1]]], mask, [1, 1])["pixel_iou_per_frame"] == pytest.approx(0.75)


def test_pixel_metrics_equal_a_plain_loop():
    batch, probability, _ = split()
    metrics = pixel_metrics(probability, batch["mask"], batch["label"], batch["method"])
    mask, label, method, probability = (
        value.numpy() for value in (batch["mask"], batch["label"], batch["method"], probability)
    )
    assert ((label == 0) & (method > 0)).any()

    def expected(frames):
        tp = fp = fn = tn = fp_real = real_pixels = fakes = reals = 0
        ious, truth, score, binned = [], [], [], []
        for i in frames:
            known = mask[i] != UNKNOWN
            t, p = mask[i][known] == 1, probability[i][known] > 0.5
            tp, fp, fn, tn = tp + (t & p).sum(), fp + (~t & p).sum(), fn + (t & ~p).sum(), tn + (~t & ~p).sum()
            truth.extend(t)
            score.extend(probability[i][known])
            binned.extend(np.floor(np.arcsinh(scipy.special.logit(probability[i][known].astype(float))) / BIN_WIDTH))
            if label[i] == 0:
                fp_real, real_pixels, reals = fp_real + p.sum(), real_pixels + p.size, reals + 1
            elif known.any():
                fakes += 1
                ious.append((t & p).sum() / (t | p).sum() if (t | p).any() else 1)
        return {
            "pixel_iou": tp / (tp + fp + fn),
            "pixel_iou_balanced": tp / (tp + fn + fp - fp_real + fp_real * fakes / reals),
            "pixel_iou_per_frame": np.mean(ious),
            "pixel_f1": sk.f1_score(truth, np.array(score) > 0.5),
            "pixel_accuracy": sk.accuracy_score(truth, np.array(score) > 0.5),
            "pixel_auroc": sk.roc_auc_score(truth, binned),
            "pixel_ap": sk.average_precision_score(truth, binned),
            "pixel_fpr_real": fp_real / real_pixels,
        }

    wanted = expected(range(len(label)))
    for m in range(1, 5):
        frames = [i for i in range(len(label)) if (label[i] == 1 and method[i] == m) or (label[i] == method[i] == 0)]
        wanted |= {f"{key}/{METHODS[m]}": value for key, value in expected(frames).items()}
    assert metrics.keys() == wanted.keys()
    for key, value in wanted.items():
        assert metrics[key] == pytest.approx(value, abs=1e-6), key


def test_pixel_auroc_is_true_for_probabilities_crowded_at_zero():
    torch.manual_seed(0)
    mask = (torch.rand(4, 50, 50) > 0.9).long()
    probability = (torch.randn(4, 50, 50) - 8 + mask).sigmoid()
    exact = sk.roc_auc_score(mask.flatten(), probability.flatten())
    evenly_binned = BinaryAUROC(thresholds=512)(probability, mask)
    assert abs(evenly_binned - exact) > 0.05
    assert pixel_metrics(probability, mask, [1] * 4)["pixel_auroc"] == pytest.approx(exact, abs=1e-3)


def test_pixel_auroc_of_a_constant_is_a_half_and_of_a_perfect_mask_one():
    mask = torch.tensor([[[0, 1, 1]]])
    assert pixel_metrics(torch.full((1, 1, 3), 0.3), mask, [1])["pixel_auroc"] == 0.5
    assert pixel_metrics(mask.float(), mask, [1])["pixel_auroc"] == 1


@pytest.mark.parametrize("other", [0.0, 1.0, math.nan, 17.0])
def test_predictions_under_unknown_pixels_change_no_pixel_metric(other):
    batch, probability, _ = split()
    changed = torch.where(batch["mask"] == UNKNOWN, other, probability)
    truth = batch["mask"], batch["label"], batch["method"]
    assert pixel_metrics(changed, *truth) == pixel_metrics(probability, *truth)


@pytest.mark.parametrize("wrong", [math.nan, -0.5, 1.5])
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(ValueError, match=r"mask scores must be probabilities.*logits\.sigmoid"):
        pixel_metrics([[[0.5, wrong]]], [[[0, 1]]], [1])
    with pytest.raises(ValueError, match=r"frame scores must be probabilities.*logits\.sigmoid"):
        frame_metrics([0.5, wrong], [0, 1])


def test_thresholds_are_those_given():
    assert pixel_metrics([[[0.5, 0.7]]], [[[0, 1]]], [1], threshold=0.8)["pixel_accuracy"] == 0.5
    assert frame_metrics([0.5, 0.7], [0, 1], threshold=0.8)["frame_accuracy"] == 0.5


def test_what_is_not_defined_is_nan():
    metrics = pixel_metrics([[[0.1, 0.2]]], [[[0, 0]]], [0])
    undefined = {key for key, value in metrics.items() if math.isnan(value)}
    keys = ("iou", "iou_balanced", "iou_per_frame", "f1", "auroc", "ap")
    assert undefined == {f"pixel_{key}" for key in keys}
    assert math.isnan(pixel_metrics([[[0.9]]], [[[1]]], [1])["pixel_fpr_real"])
    metrics = frame_metrics([0.1, 0.2], [1, 1], clip=[0, 1])
    undefined = {key for key, value in metrics.items() if math.isnan(value)}
    ranked = {"frame_accuracy_balanced", "frame_auroc", "frame_ap", "frame_eer", "video_auroc"}
    assert undefined == ranked | {f"{key}/Deepfakes" for key in ranked}


def test_frame_metrics_equal_those_of_scikit_learn():
    batch, _, score = split(200)
    score[::7] = 0.25  # ties
    label, method, clip = batch["label"], batch["method"], batch["clip"]
    metrics = frame_metrics(score, label, method, clip)
    for suffix, rows in [
        ("", torch.ones(200, dtype=torch.bool)),
        ("/FaceSwap", ((method == 3) & (label == 1)) | ((method == 0) & (label == 0))),
    ]:
        s, t = score[rows].numpy(), label[rows].numpy()
        fpr, tpr, _ = sk.roc_curve(t, s, drop_intermediate=False)
        nearest = np.abs(fpr - (1 - tpr)).argmin()
        wanted = {
            "frame_accuracy": sk.accuracy_score(t, s > 0.5),
            "frame_accuracy_balanced": sk.balanced_accuracy_score(t, s > 0.5),
            "frame_accuracy_always_fake": t.mean(),
            "frame_accuracy_always_real": 1 - t.mean(),
            "frame_auroc": sk.roc_auc_score(t, s),
            "frame_ap": sk.average_precision_score(t, s),
            "frame_eer": (fpr[nearest] + 1 - tpr[nearest]) / 2,
        }
        videos = np.unique(clip[rows])
        video_score = [s[clip[rows].numpy() == video].mean(dtype=np.float64) for video in videos]
        wanted["video_accuracy"] = sk.accuracy_score(videos >= 10, np.array(video_score) > 0.5)
        wanted["video_auroc"] = sk.roc_auc_score(videos >= 10, video_score)
        assert {key + suffix for key in wanted} <= metrics.keys()
        for key, value in wanted.items():
            assert metrics[key + suffix] == pytest.approx(value, abs=1e-6), key


def test_four_fakes_of_one_pair_are_four_videos():
    metrics = frame_metrics([0.9, 0.9, 0.2, 0.2, 0.1], [1, 1, 1, 1, 0], [1, 2, 3, 4, 0], clip=[1, 2, 3, 4, 0])
    assert metrics["video_accuracy"] == pytest.approx(3 / 5)  # merged into one it would be 2 / 2
    assert metrics["video_auroc"] == 1
    assert metrics["video_accuracy/FaceSwap"] == 0.5


def test_an_untouched_frame_of_a_fake_clip_is_a_real_frame_in_a_fake_video():
    metrics = frame_metrics([0.9, 0.2, 0.1], [1, 0, 0], [3, 3, 0], clip=[5, 5, 6])
    assert metrics["frame_accuracy"] == 1
    assert metrics["frame_accuracy_always_fake"] == pytest.approx(1 / 3)
    assert metrics["frame_accuracy_always_fake/FaceSwap"] == 0.5  # the untouched frame is no original
    assert metrics["video_accuracy"] == 1


def test_metrics_are_equal_in_whatever_batches_frames_come():
    batch, probability, score = split()
    whole, parts = Evaluation(), Evaluation()
    whole.update(batch, probability, score)
    for i in (slice(40, 60), slice(0, 7), slice(7, 40)):
        parts.update({key: value[i] for key, value in batch.items()}, probability[i], score[i])
    assert {key: value.item() for key, value in whole.compute().items()} == {
        key: value.item() for key, value in parts.compute().items()
    }


def test_a_method_beyond_those_named_is_refused():
    evaluation = Evaluation(pixels=False, methods=("original", "ours"))
    evaluation.update({"label": torch.tensor([0, 1]), "method": torch.tensor([0, 2])}, None, torch.tensor([0.1, 0.9]))
    with pytest.raises(ValueError, match="method is 2, but wanted a position in"):
        evaluation.compute()


def test_metrics_of_one_batch_are_refused():
    with pytest.raises(NotImplementedError, match="call update with each batch"):
        Evaluation()({}, None, None)
    with pytest.raises(NotImplementedError, match="call update in each of them"):
        Evaluation().merge_state({})


def test_after_a_reset_nothing_is_left():
    batch, probability, score = split()
    evaluation, fresh = Evaluation(), Evaluation()
    evaluation.update(*split(seed=1))
    evaluation.compute()
    evaluation.reset()
    for one in (evaluation, fresh):
        one.update(batch, probability, score)
    assert evaluation.compute() == fresh.compute()


def test_a_batch_that_knows_only_image_and_label_gets_frame_metrics():
    evaluation = Evaluation(pixels=False)
    evaluation.update({"label": torch.tensor([0, 1])}, None, torch.tensor([0.1, 0.9]))
    keys = {"accuracy", "accuracy_balanced", "accuracy_always_fake", "accuracy_always_real", "auroc", "ap", "eer"}
    assert evaluation.compute().keys() == {f"frame_{key}" for key in keys}


def test_several_processes_give_the_metrics_of_one(tmp_path):
    processes = 3
    batch, probability, score = split(61)  # a prime
    alone = Evaluation()
    alone.update(batch, probability, score)
    torch.save((batch, probability, score, SCALES), tmp_path / "split.pt")
    script = """if True:
        import os, sys, torch
        from lightning_modules import Evaluation
        ranks, folder, forks = int(sys.argv[1]), sys.argv[2], []
        for rank in range(ranks):
            forks.append(os.fork())
            if not forks[-1]:
                break
        else:
            sys.exit(sum(os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]) != 0 for fork in forks))
        torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=ranks)
        batch, probability, score, scales = torch.load(f"{folder}/split.pt")
        evaluation = Evaluation()
        for part in torch.arange(61).split(11)[rank::ranks]:
            evaluation.update({k: v[part] for k, v in batch.items()}, probability[part], score[part])
        scaled = {}
        for scale in scales:
            one = Evaluation(pixels=False)
            for part in torch.arange(61).split(11)[rank::ranks]:
                one.update({k: v[part] for k, v in batch.items()}, None, scale * score[part].logit(), logits=True)
            scaled[scale] = one.compute()
        torch.save((evaluation.compute(), evaluation.measured, scaled), f"{folder}/{rank}.pt")
    """
    words = [sys.executable, "-c", script, str(processes), str(tmp_path)]
    with subprocess.Popen(words, cwd=ROOT, start_new_session=True) as started:
        try:
            assert started.wait(timeout=120) == 0
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            raise
    wanted = alone.compute()
    for rank in range(processes):
        metrics, measured, scaled = torch.load(tmp_path / f"{rank}.pt", weights_only=False)
        for scale in SCALES:
            agrees_with_sklearn(scaled[scale], batch, scale * score.logit())
        assert metrics.keys() == wanted.keys()
        for key, value in wanted.items():
            assert metrics[key].item() == pytest.approx(value.item(), abs=1e-7), key
        assert torch.equal(measured.groups, alone.measured.groups)
        assert torch.equal(measured.histograms, alone.measured.histograms)


SCALES = [1e-6, 1, 10, 100, 1e4]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("bias", [0, 15, 25, -40])
def test_frames_and_videos_are_ranked_by_logits_of_any_size(scale, bias):
    batch, _, score = split(200)
    logits = scale * score.logit() + bias
    evaluation = Evaluation(pixels=False, choosing=True)
    evaluation.update(batch, None, logits, logits=True)
    metrics = evaluation.compute()
    agrees_with_sklearn(metrics, batch, logits)
    false_alarms, hits, _ = sk.roc_curve(batch["label"], logits, drop_intermediate=False)
    reached = (hits + 1 - false_alarms).max() / 2
    assert metrics["frame_accuracy_balanced"].item() == pytest.approx(reached, abs=1e-6)


def agrees_with_sklearn(metrics, batch, logits):
    label, logits = batch["label"].numpy(), logits.double().numpy()
    fpr, tpr, _ = sk.roc_curve(label, logits, drop_intermediate=False)
    nearest = np.abs(fpr - (1 - tpr)).argmin()
    wanted = {
        "frame_auroc": sk.roc_auc_score(label, logits),
        "frame_ap": sk.average_precision_score(label, logits),
        "frame_eer": (fpr[nearest] + 1 - tpr[nearest]) / 2,
    }
    clips = [(batch["clip"] == clip).numpy() for clip in batch["clip"].unique()]
    fake = [bool((batch["method"].numpy()[clip] > 0).any()) for clip in clips]
    forged, real = (
        [scipy.special.logsumexp(scipy.special.log_expit(sign * logits[clip])) for clip in clips] for sign in (1, -1)
    )
    wanted["video_auroc"] = sk.roc_auc_score(fake, np.subtract(forged, real))
    for key, value in wanted.items():
        assert metrics[key].item() == pytest.approx(value, abs=1e-6), key


@pytest.mark.parametrize(("scale", "bias"), [(1, 0), (4, 20), (4, -20), (100, 0), (1e4, 0)])
def test_pixels_are_ranked_to_the_width_of_a_bin(scale, bias):
    random = torch.Generator().manual_seed(0)
    mask = (torch.rand(20, 40, 40, generator=random) > 0.7).long()
    logits = scale * (torch.randn(20, 40, 40, generator=random) + mask) + bias
    evaluation = Evaluation()
    evaluation.update({"mask": mask, "label": torch.ones(20).long()}, logits, torch.zeros(20), logits=True)
    found = evaluation.compute()["pixel_auroc"].item()
    assert found == pytest.approx(sk.roc_auc_score(mask.flatten(), logits.flatten()), abs=2e-4)
