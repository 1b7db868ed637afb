"""Numbers of a constructor that nothing can use are refused by name."""

import math

import pytest
import torch

from lightning_modules import ClassificationModule, SegmentationModule

PLAIN = {"encoder": "test_resnet", "pretrained": False}

OF_MODULES = [
    ("lr", -1),
    ("lr", 0),
    ("lr", math.nan),
    ("lr", math.inf),
    ("weight_decay", -0.1),
    ("weight_decay", math.nan),
    ("warmup_steps", -5),
    ("encoder_lr_factor", 0),
    ("encoder_lr_factor", -1),
    ("frozen_epochs", -1),
]


@pytest.mark.parametrize(("name", "value"), OF_MODULES)
def test_a_number_of_a_module_out_of_range_is_a_sentence(name, value):
    with pytest.raises(ValueError, match=rf"^{name} is {value}, wanted "):
        ClassificationModule(**PLAIN, **{name: value})


@pytest.mark.parametrize("name", ["pixel_loss_weight", "frame_loss_weight"])
@pytest.mark.parametrize("value", [-1, math.nan])
def test_a_weight_out_of_range_is_a_sentence(name, value):
    with pytest.raises(ValueError, match=rf"^{name} is {value}, wanted "):
        SegmentationModule(**PLAIN, **{name: value})


@pytest.mark.parametrize("name", ["pixel_threshold", "frame_threshold"])
@pytest.mark.parametrize("value", [-0.1, 1.5, math.nan])
def test_a_threshold_that_is_no_probability_is_a_sentence(name, value):
    with pytest.raises(ValueError, match=rf"^{name} is {value}, wanted a probability from 0 to 1"):
        SegmentationModule(**PLAIN, **{name: value})


@pytest.mark.parametrize("value", [0, 0.5, 1, None])
def test_a_threshold_that_is_a_probability_is_taken(value):
    module = SegmentationModule(**PLAIN, pixel_threshold=value, frame_threshold=value)
    assert module.point.pixel_threshold == pytest.approx(0.5 if value is None else value)


@pytest.mark.parametrize(
    ("encoder", "decoder", "size"),
    [("test_resnet", "deeplabv3", 64), ("test_resnet", "deeplabv3plus", 64), ("test_resnet", "unet", 32)],
)
def test_a_single_frame_that_a_batch_norm_cannot_learn_from_is_a_sentence(encoder, decoder, size):
    module = SegmentationModule(encoder, decoder, pretrained=False)
    said = rf"^a training batch has 1 frame of {size} x {size} pixels, .*data.init_args.batch_size 2 or more"
    with pytest.raises(ValueError, match=said):
        module._logits({"image": torch.zeros(1, 3, size, size)})
    module._logits({"image": torch.zeros(2, 3, size, size)})
    module.eval()._logits({"image": torch.zeros(1, 3, size, size)})


@pytest.mark.parametrize(("encoder", "size", "near"), [("test_convnext", 16, 32), ("beit_base_patch16_224", 64, 224)])
def test_a_size_that_a_network_cannot_take_is_a_sentence_with_the_nearest_that_it_can(encoder, size, near):
    module = ClassificationModule(encoder, pretrained=False)
    with pytest.raises(ValueError, match=rf"^data.init_args.size is {size}, but encoder '{encoder}' .*: use {near}$"):
        module._logits({"image": torch.zeros(2, 3, size, size)})
    assert all(part.training for part in module.network.modules())
    module._logits({"image": torch.zeros(1, 3, near, near)})


def test_an_error_that_no_size_is_the_reason_of_stays_what_it_is():
    module = ClassificationModule(**PLAIN)
    with pytest.raises(RuntimeError, match="expected input"):
        module._logits({"image": torch.zeros(2, 5, 64, 64)})
