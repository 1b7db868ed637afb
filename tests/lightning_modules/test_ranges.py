"""Numbers of a constructor that nothing can use are refused by name."""

import math

import pytest

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
