"""The Lightning modules: they learn, they measure, they are saved and restored without a network."""

import math
import socket
from dataclasses import asdict

import pytest
import pytorch_lightning as pl
import torch

from lightning_modules import METHODS, UNKNOWN, ClassificationModule, SegmentationModule
from lightning_modules.metrics.decisions import DECISIONS
from lightning_modules.networks.decoders import DECODERS
from lightning_modules.networks.encoders import Encoder

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
    "num_sanity_val_steps": 0,
}


@pytest.fixture
def batch():
    return frames(64)


def frames(size):
    """Four frames, two of them fake with a bright square; the corner of one is unknown."""
    torch.manual_seed(0)
    image = 0.5 * torch.randn(4, 3, size, size)
    mask = torch.zeros(4, size, size, dtype=torch.int64)
    mask[:2, size // 4 : 3 * size // 4, size // 4 : 3 * size // 4] = 1
    image[:, 0] += 2 * mask
    mask[1, : size // 8, : size // 8] = UNKNOWN
    return {
        "image": image,
        "mask": mask,
        "label": torch.tensor([1, 1, 0, 0]),
        "method": torch.tensor([1, 2, 0, 0]),
        "clip": torch.tensor([4, 5, 6, 6]),
        "frame": torch.tensor([0, 0, 0, 9]),
        "box": torch.zeros(4, 4),
    }


def repeat(batch, times=1):
    return torch.utils.data.DataLoader([batch] * times, batch_size=None)


def modules(**options):
    options = {"encoder": "test_resnet", "pretrained": False, **options}
    return {
        "segmentation": lambda: SegmentationModule(**options),
        "joint": lambda: SegmentationModule(frame_head=True, **options),
        "classification": lambda: ClassificationModule(**options),
    }


KINDS = list(modules())


class Broken(torch.utils.data.IterableDataset):
    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return self.batches()


class LossCurve(pl.Callback):
    def __init__(self):
        self.losses, self.rates = [], []

    def on_train_batch_end(self, trainer, *_):
        self.losses.append(trainer.callback_metrics["train/loss"].item())
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


@pytest.mark.parametrize("kind", KINDS)
def test_one_batch_can_be_learnt_by_heart(kind):
    batch = frames(32)
    pl.seed_everything(0)
    module = modules(lr=3e-3, schedule="constant")[kind]()
    curve = LossCurve()
    pl.Trainer(max_steps=50, callbacks=[curve], **QUIET).fit(module, repeat(batch, 50), repeat(batch))
    assert curve.losses[-1] < curve.losses[0] / 10


def test_the_learning_rate_follows_its_schedule_by_the_step(batch):
    module = modules(lr=0.1, optimizer="sgd", warmup_steps=2)["classification"]()
    curve = LossCurve()
    pl.Trainer(max_epochs=2, callbacks=[curve], **QUIET).fit(module, repeat(batch, 3), repeat(batch))
    assert curve.rates == pytest.approx([0.1, 0.1, 0.0853553, 0.05, 0.0146447, 0], abs=1e-7)  # after each of 6 steps


@pytest.mark.parametrize("loss", ["focal", "lovasz", "tversky", "2*bce+0.5*lovasz"])
@pytest.mark.parametrize("pixel_classes", ["binary", "methods"])
def test_one_batch_can_be_learnt_by_every_loss(loss, pixel_classes):
    batch = frames(32)
    pl.seed_everything(0)
    options = {"loss": loss, "pixel_classes": pixel_classes, "decoder": "fcn"}
    module = modules(lr=3e-3, schedule="constant", **options)["joint"]()
    curve = LossCurve()
    trainer = pl.Trainer(max_steps=80, callbacks=[curve], **QUIET)
    trainer.fit(module, repeat(batch, 80), repeat(batch))
    assert curve.losses[-1] < curve.losses[0] / 4
    assert trainer.callback_metrics["val/pixel_iou_balanced"] > 0.8


SPEED = [{"channels_last": True}, {"gradient_checkpointing": True}, {"compile": True}]


@pytest.mark.parametrize("speed", SPEED, ids=lambda speed: next(iter(speed)))
def test_what_makes_it_faster_or_smaller_changes_no_metric(speed, batch, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")  # else it starts processes that import torch
    curves = []
    network = ("test_resnet", "fcn") if "compile" in speed else ("test_convnext", "fpn")  # the other takes two minutes
    for options in ({}, speed):
        pl.seed_everything(0)
        module = SegmentationModule(*network, pretrained=False, **options)
        for layer in module.modules():
            if isinstance(layer, torch.nn.Dropout | torch.nn.Dropout2d):
                layer.p = 0.0  # drawn in another order when compiled
        curves.append(LossCurve())
        pl.Trainer(max_steps=3, callbacks=[curves[-1]], **QUIET).fit(module, repeat(batch, 3), repeat(batch))
    assert curves[1].losses == pytest.approx(curves[0].losses, rel=1e-3)
    kernel = next(p for p in module.network.parameters() if p.dim() == 4 and min(p.shape[1:]) > 1)
    took_effect = {
        "channels_last": kernel.is_contiguous(memory_format=torch.channels_last),
        "gradient_checkpointing": module.network.encoder.backbone.grad_checkpointing,
        "compile": module.network._compiled_call_impl is not None,
    }
    assert {key for key, value in took_effect.items() if value} == set(speed)


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_trains_in_bf16(decoder):
    batch = frames(32)
    module = SegmentationModule("test_resnet", decoder, pretrained=False, loss="bce+lovasz+tversky")
    trainer = pl.Trainer(max_steps=1, precision="bf16-mixed", **QUIET)
    trainer.fit(module, repeat(batch), repeat(batch))
    assert trainer.callback_metrics["train/loss"].isfinite()
    assert "val/pixel_iou" in trainer.callback_metrics


def test_an_encoder_without_gradient_checkpointing_says_so():
    with pytest.raises(ValueError, match="gradient_checkpointing is true, but timm has none for encoder 'hrnet_w18'"):
        SegmentationModule("hrnet_w18", pretrained=False, gradient_checkpointing=True)


def test_pixels_can_be_told_by_which_method_they_were_forged(batch):
    module = modules(pixel_classes="methods")["segmentation"]()
    logits = torch.zeros(4, len(METHODS), 64, 64)
    assert module(batch["image"])["mask"].shape == logits.shape
    logits[:, 2] = 9.0
    mask, _ = module.predictions({"mask": logits})
    assert mask.sigmoid().min() > 0.99
    one = torch.where(batch["mask"] == 1, batch["method"][:, None, None], batch["mask"])
    right = 20 * torch.nn.functional.one_hot(one.clamp(max=2), len(METHODS)).movedim(-1, 1).float()
    assert module.losses({"mask": right}, batch) < 1e-3 < module.losses({"mask": logits}, batch)


def test_class_weights_must_be_one_a_class():
    with pytest.raises(ValueError, match=r"class_weights are .1, 2, 3., 3 for 2 classes"):
        SegmentationModule("test_resnet", pretrained=False, class_weights=[1, 2, 3])
    with pytest.raises(ValueError, match="with one logit 'dice' has only the forged class's term"):
        SegmentationModule("test_resnet", pretrained=False, class_weights=[1, 2], loss="dice")


def test_pixels_forged_in_an_unknown_way_teach_no_method(batch):
    module = modules(pixel_classes="methods")["segmentation"]()
    logits = {"mask": torch.zeros(4, len(METHODS), 64, 64)}
    nameless = {**batch, "method": torch.zeros(4, dtype=torch.int64)}
    unknown = {**batch, "mask": torch.where(batch["mask"] == 1, UNKNOWN, batch["mask"])}
    assert module.losses(logits, nameless) == module.losses(logits, unknown)
    with pytest.raises(ValueError, match="pixel_classes is 'methods', but the batch has no `method`: add it"):
        module.losses(logits, {key: value for key, value in batch.items() if key != "method"})


@pytest.mark.parametrize("kind", KINDS)
def test_validation_and_test_log_the_same_metrics(kind, batch):
    module = modules()[kind]()
    trainer = pl.Trainer(**QUIET)
    (val,) = trainer.validate(module, repeat(batch, 2), verbose=False)
    (test,) = trainer.test(module, repeat(batch, 2), verbose=False)
    names = {key.removeprefix("test/") for key in test}
    # per frame, the threshold would have to be known beforehand
    assert {key.removeprefix("val/") for key in val} == {key for key in names if "iou_per_frame" not in key}
    assert val["val/frame_auroc"] == test["test/frame_auroc"]
    assert val["val/loss"] == test["test/loss"]
    assert {"val/loss", "val/video_auroc", "val/frame_eer/Deepfakes", "val/frame_accuracy_always_fake"} <= val.keys()
    assert ("val/pixel_iou_balanced/Face2Face" in val) == (kind != "classification")


def test_metrics_do_not_leak_from_one_evaluation_into_the_next(batch):
    module = modules()["segmentation"]()
    trainer = pl.Trainer(max_epochs=1, **(QUIET | {"num_sanity_val_steps": 1}))
    trainer.fit(module, repeat(batch), repeat(batch))
    logged = trainer.callback_metrics["val/pixel_iou_balanced"]
    assert module.validation.logits == []
    (val,) = trainer.validate(module, repeat(batch), verbose=False)
    assert val["val/pixel_iou_balanced"] == pytest.approx(logged.item(), abs=1e-6)


def test_a_module_that_has_been_tested_can_be_trained(batch):
    module = modules()["segmentation"]()
    pl.Trainer(**QUIET).test(module, repeat(batch), verbose=False)  # leaves metrics reset in inference mode
    trainer = pl.Trainer(max_epochs=1, **QUIET)
    trainer.fit(module, repeat(batch), repeat(batch))
    assert "val/pixel_iou" in trainer.callback_metrics


def test_a_frame_is_scored_by_its_head_if_there_is_one_and_else_by_its_mask(batch):
    logits = {"mask": torch.full((2, 1, 4, 4), 2.0), "frame": torch.tensor([-1.0, 1.0])}
    mask, score = modules()["joint"]().predictions(logits)
    assert torch.equal(mask, logits["mask"][:, 0])
    assert torch.equal(score, logits["frame"].double())
    mask, score = modules()["segmentation"]().predictions({"mask": logits["mask"]})
    assert score.sigmoid().tolist() == pytest.approx(mask.sigmoid().mean((1, 2)).tolist())
    area = SegmentationModule("test_resnet", pretrained=False, decision="area")
    assert area.predictions({"mask": -logits["mask"]})[1].sigmoid().tolist() == [0, 0]


def test_the_joint_loss_is_the_weighted_sum(batch):
    joint = SegmentationModule("test_resnet", pretrained=False, frame_head=True, frame_loss_weight=3.0)
    logits = joint(batch["image"])
    pixels = modules()["segmentation"]().losses({"mask": logits["mask"]}, batch)
    frames = modules()["classification"]().losses({"frame": logits["frame"]}, batch)
    torch.testing.assert_close(joint.losses(logits, batch), pixels + 3 * frames)


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_name_their_frames(kind, batch):
    (predicted,) = pl.Trainer(**QUIET).predict(modules()[kind](), repeat(batch))
    assert predicted["frame_score"].shape == (4,)
    assert {"label", "method", "clip", "frame", "box"} < predicted.keys()
    if kind == "classification":
        assert "mask_probability" not in predicted
    else:
        assert predicted["mask_probability"].shape == (4, 64, 64)
        assert predicted["mask_probability"].ge(0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_another_project_is_enough(kind, batch):
    foreign = {key: batch[key] for key in ("image", "mask", "label")}
    trainer = pl.Trainer(max_steps=1, **QUIET)
    trainer.fit(modules()[kind](), repeat(foreign), repeat(foreign))
    assert "val/frame_auroc" in trainer.callback_metrics
    assert not [key for key in trainer.callback_metrics if "video" in key or "Deepfakes" in key]


def block_sockets(monkeypatch):
    def blocked(*_args, **_kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", blocked)
    monkeypatch.setattr(socket, "create_connection", blocked)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pretrained_checkpoint_is_restored_without_network(kind, batch, tmp_path, monkeypatch):
    loads = []
    monkeypatch.setattr(Encoder, "load_weights", lambda self: loads.append(self.name))
    module = modules(pretrained=True)[kind]()
    assert loads == []
    trainer = pl.Trainer(max_epochs=1, **QUIET)
    trainer.fit(module, repeat(batch), repeat(batch))
    assert loads == ["test_resnet"]
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    (before,) = trainer.validate(module, repeat(batch), verbose=False)
    monkeypatch.undo()

    block_sockets(monkeypatch)
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert content["hyper_parameters"]["encoder"] == "test_resnet"
    assert content["normalisation"] == {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    restored = type(module).load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    (after,) = pl.Trainer(**QUIET).validate(restored, repeat(batch), verbose=False)
    assert after == pytest.approx(before, abs=1e-6, nan_ok=True)
    pl.Trainer(max_epochs=1, **QUIET).fit(restored, repeat(batch), repeat(batch))  # fine-tuning keeps what was restored
    resumed = modules(pretrained=True)[kind]()
    pl.Trainer(max_epochs=2, **QUIET).fit(resumed, repeat(batch), repeat(batch), ckpt_path=tmp_path / "last.ckpt")


def test_normalisation_comes_from_the_encoder_and_then_from_the_checkpoint():
    module = ClassificationModule("test_efficientnet", pretrained=False)
    assert (module.mean, module.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    content = {}
    module.on_save_checkpoint(content)
    module.on_load_checkpoint(content | {"normalisation": {"mean": (0.1, 0.2, 0.3), "std": (1.0, 1.0, 1.0)}})
    assert (module.mean, module.std) == ((0.1, 0.2, 0.3), (1.0, 1.0, 1.0))


def test_what_validation_chose_is_kept_and_applied_to_the_test(batch, tmp_path):
    module = modules()["segmentation"]()
    trainer = pl.Trainer(max_epochs=1, **QUIET)
    trainer.fit(module, repeat(batch), repeat(batch))
    assert module.point.decision in DECISIONS
    assert module.point.frame_threshold != 0.5
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    restored = type(module).load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert restored.point == module.point
    other = dict(batch, label=1 - batch["label"], mask=1 - batch["mask"].clamp(max=1))
    (test,) = pl.Trainer(**QUIET).test(restored, repeat(other), verbose=False)
    assert restored.point == module.point  # nothing is chosen by a test
    score = restored.eval().predictions(restored(other["image"]))[1]
    right = (score > module.point.frame_logit) == (other["label"] == 1)
    assert test["test/frame_accuracy"] == pytest.approx(right.double().mean().item(), abs=1e-6)


@pytest.mark.parametrize("kind", ["segmentation", "classification"])
def test_a_validation_of_originals_alone_chooses_nothing(batch, kind):
    originals = {key: value[batch["label"] == 0] for key, value in batch.items()}
    with pytest.raises(ValueError, match=r"is nan on the \d+ frames of the validation, of which 0 are fake"):
        pl.Trainer(max_epochs=1, **QUIET).fit(modules()[kind](), repeat(batch), repeat(originals))


def test_a_threshold_that_is_given_goes_before_the_checkpoints(batch, tmp_path):
    module = modules()["segmentation"]()
    trainer = pl.Trainer(max_epochs=1, **QUIET)
    trainer.fit(module, repeat(batch), repeat(batch))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    given = {"frame_threshold": 0.9, "decision": "max", "weights_only": True}
    restored = type(module).load_from_checkpoint(tmp_path / "last.ckpt", **given)
    given = {"frame_logit": pytest.approx(math.log(9)), "video_logit": pytest.approx(math.log(9)), "decision": "max"}
    assert asdict(restored.point) == asdict(module.point) | given


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_an_interrupted_evaluation_leaves_nothing_behind(stage, batch):
    def breaking():
        yield batch
        raise KeyError("the loader broke")

    module, trainer = modules()["segmentation"](), pl.Trainer(**QUIET)
    evaluate = getattr(trainer, stage)
    with pytest.raises(KeyError):
        evaluate(module, torch.utils.data.DataLoader(Broken(breaking), batch_size=None), verbose=False)
    getattr(pl.Trainer(**QUIET), stage)(module, repeat(batch), verbose=False)
    evaluation = module.validation if stage == "validate" else module.testing
    assert len(evaluation.measured.label) == len(batch["label"])


def test_logits_under_unknown_pixels_change_neither_training_nor_metrics(batch):
    module = modules()["segmentation"]()
    logits = module(batch["image"])["mask"]
    unknown = batch["mask"][:, None] == UNKNOWN
    changed = torch.where(unknown, -logits, logits)
    assert torch.equal(module.losses({"mask": logits}, batch), module.losses({"mask": changed}, batch))
