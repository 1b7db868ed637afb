"""What a training starts from, and what it leaves alone."""

import argparse
import copy
import logging

import pytest
import pytorch_lightning as pl
import timm
import torch
from safetensors.torch import save_file

from lightning_modules import ClassificationModule, Encoder, SegmentationModule
from tests.lightning_modules.test_modules import QUIET, batch, repeat  # noqa: F401

PLAIN = {"encoder": "test_efficientnet", "pretrained": False}


def trained(module, batch, epochs=1, callback=None, **options):  # noqa: F811
    callbacks = [callback] if callback else []
    trainer = pl.Trainer(max_epochs=epochs, callbacks=callbacks, **(QUIET | options))
    trainer.fit(module, repeat(batch, 2), repeat(batch))
    return trainer


def values(module):
    return copy.deepcopy(module.network.encoder.backbone.state_dict())


def moved(module, before):
    after = module.network.encoder.backbone.state_dict()
    return {key for key, value in before.items() if not torch.equal(value, after[key])}


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit", "test_efficientnet", "legacy_xception"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_every_tensor_of_a_timm_file_finds_its_place(name, suffix, tmp_path):
    donor = timm.create_model(name)
    path = tmp_path / f"weights{suffix}"
    save_file(donor.state_dict(), path) if suffix == ".safetensors" else torch.save(donor.state_dict(), path)
    encoder = Encoder(name)
    match = encoder.load_file(str(path))
    assert [key for key in match.missing if key.startswith("backbone.")] == []
    assert all(any(part in key for part in ("head", "fc", "classifier", "norm", "bn2")) for key in match.unused)
    first, expected = next(iter(encoder.backbone.parameters())), next(iter(donor.parameters()))
    assert torch.equal(first, expected)


def test_an_encoder_starts_from_another_run(batch, tmp_path, caplog):  # noqa: F811
    donor = ClassificationModule(**PLAIN)
    trained(donor, batch, enable_checkpointing=False).save_checkpoint(tmp_path / "best.ckpt")
    heir = SegmentationModule(**PLAIN, encoder_checkpoint=str(tmp_path / "best.ckpt"), frozen_epochs="all")
    heir.check_weights()
    with caplog.at_level(logging.INFO):
        trained(heir, batch)
    assert "tensors loaded" in caplog.text
    own, theirs = (module.network.encoder.state_dict() for module in (heir, donor))
    assert all(torch.equal(own[key], theirs[key]) for key in own)


def test_a_match_says_what_did_not(tmp_path):
    weights = {f"module.{key}": value for key, value in timm.create_model("test_vit").state_dict().items()}
    torch.save({"model": weights}, tmp_path / "w.pth")
    match = Encoder("test_vit").load_file(str(tmp_path / "w.pth"))
    total = len(Encoder("test_vit").state_dict())
    new = len(Encoder("test_vit").pyramid.state_dict())
    assert str(match).startswith(f"{total - new} of {total} tensors loaded; {new} not in the file (pyramid.scales.0")
    assert "of the file not used (model.module." in str(match)


def test_a_pyramid_of_another_output_stride_is_left_out(batch, tmp_path):  # noqa: F811
    donor = SegmentationModule("test_vit", "deeplabv3plus", pretrained=False)
    trained(donor, batch).save_checkpoint(tmp_path / "best.ckpt")
    encoder = Encoder("test_vit", 32)
    match = encoder.load_file(str(tmp_path / "best.ckpt"))
    assert match.missing
    assert all(key.startswith("pyramid.") for key in match.missing)
    assert torch.equal(encoder.backbone.model.pos_embed, donor.network.encoder.backbone.model.pos_embed)


def test_weights_for_other_images_are_refused(batch, tmp_path):  # noqa: F811
    donor = ClassificationModule("deit_tiny_patch16_224", pretrained=False)
    trained(donor, batch).save_checkpoint(tmp_path / "best.ckpt")
    with pytest.raises(ValueError, match=r"on images of mean .*0\.485.* but 'vit_tiny_patch16_224' takes .*0\.5"):
        Encoder("vit_tiny_patch16_224").load_file(str(tmp_path / "best.ckpt"))


def test_a_file_of_more_than_tensors_is_refused(tmp_path):
    torch.save({"args": argparse.Namespace(lr=1)}, tmp_path / "train.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"@\0\0\0\0\0\0\0{")
    for name in ("train.pth", "cut.safetensors"):
        with pytest.raises(ValueError, match=f"{name}, which holds more than tensors or is damaged; wanted"):
            Encoder("test_resnet").load_file(str(tmp_path / name))


def test_weights_of_another_model_are_refused(tmp_path):
    torch.save(timm.create_model("test_convnext").state_dict(), tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth, which fits 0 of \d+ tensors of 'test_resnet' and not 'backbone"):
        Encoder("test_resnet").load_file(str(tmp_path / "other.pth"))
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "part.pth")
    with pytest.raises(ValueError, match=r"part\.pth, which fits \d+ of 216 tensors of 'resnet34' and not 'backbone"):
        Encoder("resnet34").load_file(str(tmp_path / "part.pth"))


def test_a_missing_file_is_refused_before_a_long_preparation():
    module = SegmentationModule(**PLAIN, encoder_checkpoint="nowhere.ckpt")
    with pytest.raises(FileNotFoundError, match=r"encoder_checkpoint is nowhere\.ckpt, which does not exist; wanted"):
        module.check_weights()


def test_a_frozen_encoder_does_not_move(batch):  # noqa: F811
    module = SegmentationModule(**PLAIN, frozen_epochs="all", weight_decay=0.5, lr=0.1)
    before, decoder = values(module), copy.deepcopy(module.network.decoder.state_dict())
    trained(module, batch)
    assert moved(module, before) == set()
    assert any(not torch.equal(decoder[key], value) for key, value in module.network.decoder.state_dict().items())


def test_an_encoder_is_trained_after_its_frozen_epochs(batch):  # noqa: F811
    class Watch(pl.Callback):
        def __init__(self):
            self.moved = []

        def on_train_epoch_start(self, trainer, module):
            self.before = values(module)

        def on_train_epoch_end(self, trainer, module):
            self.moved.append(moved(module, self.before))

    watch, module = Watch(), SegmentationModule(**PLAIN, frozen_epochs=2, weight_decay=0.5, lr=0.01)
    trained(module, batch, epochs=3, callback=watch)
    assert watch.moved[:2] == [set(), set()]
    assert any("weight" in key for key in watch.moved[2])
    assert any("running_mean" in key for key in watch.moved[2])


class SaveAfterOneStep(pl.Callback):
    def __init__(self, path):
        self.path = path

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):  # noqa: F811
        if batch_idx == 0:
            trainer.save_checkpoint(self.path)


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch")
@pytest.mark.parametrize("rest", [{"frozen_epochs": 3}, {"frozen_batch_norm": True}])
def test_what_rests_still_rests_after_an_epoch_is_taken_up_in_its_middle(rest, batch, tmp_path):  # noqa: F811
    def statistics(module):
        return {key: value.clone() for key, value in values(module).items() if "running" in key}

    first = SegmentationModule(**PLAIN, **rest)
    before = statistics(first)
    trained(first, batch, callback=SaveAfterOneStep(tmp_path / "middle.ckpt"))
    second = SegmentationModule(**PLAIN, **rest)
    trainer = pl.Trainer(max_epochs=1, **QUIET)
    trainer.fit(second, repeat(batch, 2), repeat(batch), ckpt_path=tmp_path / "middle.ckpt")
    assert trainer.global_step == 2
    assert all(torch.equal(value, before[key]) for key, value in statistics(first).items())
    assert all(torch.equal(value, before[key]) for key, value in statistics(second).items())


def test_batch_norm_statistics_can_be_left_alone(batch):  # noqa: F811
    module = SegmentationModule(**PLAIN, frozen_batch_norm=True)
    before = values(module)
    trained(module, batch)
    after = moved(module, before)
    assert after
    assert not any("running" in key or "num_batches" in key for key in after)


def test_an_encoder_can_be_trained_more_slowly(batch):  # noqa: F811
    module = SegmentationModule(**PLAIN, lr=1e-2, encoder_lr_factor=0.1, schedule="constant", frame_head=True)
    trainer = trained(module, batch)
    others, backbone = trainer.optimizers[0].param_groups
    assert (others["lr"], backbone["lr"]) == pytest.approx((1e-2, 1e-3))
    assert {id(p) for p in backbone["params"]} == {id(p) for p in module.network.encoder.backbone.parameters()}
    counted = len(others["params"]) + len(backbone["params"])
    assert counted == len([p for p in module.parameters() if p.requires_grad])
