"""Dilation by rearranging: the cells of the strided model keep their values, and new ones lie between them."""

import copy
import pickle

import pytest
import torch
from torch import nn

from lightning_modules.networks.encoders import Encoder
from lightning_modules.networks.output_stride import join, joined_channels

DILATED = ["legacy_xception", "vgg11", "swin_tiny_patch4_window7_224", "densenet121", "test_convnext", "mobilevit_xxs"]


@pytest.mark.parametrize("name", DILATED)
@pytest.mark.parametrize("output_stride", [8, 16])
@torch.no_grad()
def test_the_cells_of_the_strided_model_keep_their_values(name, output_stride):
    strided, dilated = Encoder(name).eval(), Encoder(name, output_stride).eval()
    dilated.load_state_dict(strided.state_dict())
    images = torch.rand(1, 3, 64, 96)
    for ours, theirs, stride in zip(dilated(images), strided(images), strided.strides, strict=True):
        step = max(1, stride // output_stride)
        torch.testing.assert_close(ours[..., ::step, ::step], theirs, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_it_is_dilation():
    """Against the same layers with their strides turned into dilation by hand."""
    encoder = Encoder("vgg11", output_stride=16).eval()
    by_hand = copy.deepcopy(Encoder("vgg11").backbone).eval()
    by_hand.load_state_dict(encoder.backbone.state_dict())
    last_pool = [module for module in by_hand.children() if isinstance(module, nn.MaxPool2d)][-1]
    last_pool.stride, last_pool.padding = 1, 0
    images = torch.rand(1, 3, 64, 96)
    ours = encoder(images)[-1]
    inner = by_hand(images)[-1]  # 2x2 windows at every cell but those of the last row and column
    assert ours.shape[-2:] == (4, 6)
    torch.testing.assert_close(ours[..., :-1, :-1], inner)


@torch.no_grad()
def test_what_lies_between_is_what_the_strided_model_sees_of_a_shifted_image():
    strided, dilated = Encoder("vgg11").eval(), Encoder("vgg11", 16).eval()
    dilated.load_state_dict(strided.state_dict())
    images = torch.rand(1, 3, 320, 320)
    ours = dilated(images)[-1][..., 1::2, 1::2]
    theirs = strided(images.roll((-16, -16), dims=(2, 3)))[-1]
    inner = slice(3, 7)  # a cell of the last map sees 150 pixels, less than three cells each way
    torch.testing.assert_close(ours[..., inner, inner], theirs[..., inner, inner])


@pytest.mark.parametrize("name", DILATED)
def test_weights_of_the_strided_model_fit(name):
    assert Encoder(name, 8).state_dict().keys() == Encoder(name).state_dict().keys()


@torch.no_grad()
def test_a_dilated_encoder_can_be_copied_and_sent_to_another_process():
    encoder = Encoder("legacy_xception", 16).eval()
    images = torch.rand(1, 3, 64, 64)
    expected = encoder(images)[-1]
    for again in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert torch.equal(again(images)[-1], expected)


@torch.no_grad()
def test_branches_are_joined_at_the_output_stride():
    assert Encoder("hrnet_w18", 16).strides == (2, 4, 8, 16, 16)
    assert Encoder("hrnet_w18", 8).channels == (64, 128, 256, 256 + 512, 256 + 512 + 1024)
    maps = [torch.full((1, 1, 8 // stride, 8 // stride), float(stride)) for stride in (1, 2, 4)]
    joined = join(maps, (1, 2, 4), output_stride=2)
    assert [tuple(map_.shape[1:]) for map_ in joined] == [(1, 8, 8), (1, 4, 4), (2, 4, 4)]
    assert joined[-1][0, :, 0, 0].tolist() == [2, 4]
    assert joined_channels((1, 1, 1), (1, 2, 4), 2) == [1, 1, 2]


@pytest.mark.parametrize("name", ["hiera_tiny_224", "inception_v3", "maxvit_tiny_tf_224", "pit_ti_224"])
def test_a_model_that_cannot_be_dilated_is_refused_with_what_works(name):
    with pytest.raises(ValueError, match=f"'{name}' .* cannot be brought to output stride 16: use `output_stride: 32`"):
        Encoder(name, 16)


def test_advice_can_be_followed():
    with pytest.raises(ValueError, match=r"'levit_128s' has stride 64 and .* output stride 32: use another encoder"):
        Encoder("levit_128s")


def test_a_wrong_output_stride_is_refused():
    with pytest.raises(ValueError, match=r"output_stride is 4, wanted one of \[8, 16, 32\]"):
        Encoder("test_resnet", 4)
