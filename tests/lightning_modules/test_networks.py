"""Every encoder with every decoder and head."""

import pytest
import segmentation_models_pytorch as smp
import torch

from lightning_modules.decoders import DECODERS
from lightning_modules.networks import Network

TINY = ["test_resnet", "test_efficientnet", "test_convnext"]
TABLE_1 = ["legacy_xception", "resnet50", "efficientnet_b4", "hrnet_w18"]


@pytest.mark.parametrize("encoder", TINY)
@pytest.mark.parametrize("decoder", DECODERS)
@torch.no_grad()
def test_mask_has_the_size_of_the_image(encoder, decoder):
    network = Network(encoder, decoder).eval()
    for height, width in [(64, 96), (65, 97), (113, 81)]:
        assert network(torch.rand(1, 3, height, width))["mask"].shape == (1, 1, height, width)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("size", [(224, 224), (299, 299), (225, 161)])
@torch.no_grad()
def test_mask_has_the_size_of_an_image_as_large_as_in_practice(decoder, size):
    assert Network("test_resnet", decoder).eval()(torch.rand(1, 3, *size))["mask"].shape == (1, 1, *size)


@pytest.mark.parametrize("encoder", TABLE_1)
@pytest.mark.parametrize("decoder", DECODERS)
def test_every_pairing_of_table_1_trains_every_parameter(encoder, decoder):
    network = Network(encoder, decoder)
    mask = network(torch.rand(2, 3, 65, 96))["mask"]
    assert mask.shape == (2, 1, 65, 96)
    mask.square().sum().backward()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None for parameter in trained)
    assert len(trained) > 100


@pytest.mark.parametrize("encoder", [*TINY, "hrnet_w18"])
def test_a_classifier_gives_one_logit_a_frame_and_trains_every_parameter(encoder):
    network = Network(encoder, frame_head=True)
    logits = network(torch.rand(3, 3, 64, 64))
    assert logits.keys() == {"frame"}
    assert logits["frame"].shape == (3,)
    logits["frame"].square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters() if parameter.requires_grad)


def test_a_joint_network_gives_both():
    logits = Network("test_resnet", "unet", frame_head=True)(torch.rand(2, 3, 64, 64))
    assert {key: tuple(value.shape) for key, value in logits.items()} == {"mask": (2, 1, 64, 64), "frame": (2,)}


@pytest.mark.parametrize(
    ("decoder", "theirs"), [("unet", smp.Unet), ("fpn", smp.FPN), ("deeplabv3plus", smp.DeepLabV3Plus)]
)
@torch.no_grad()
def test_logits_are_those_of_segmentation_models_pytorch(decoder, theirs):
    reference = theirs("tu-test_resnet", encoder_weights=None).eval()
    ours = Network("test_resnet", decoder).eval()
    ours.encoder.backbone.load_state_dict(reference.encoder.model.state_dict())
    ours.decoder.decoder.load_state_dict(reference.decoder.state_dict())
    ours.decoder.head.load_state_dict(reference.segmentation_head.state_dict())
    images = torch.randn(2, 3, 96, 64)
    torch.testing.assert_close(ours(images)["mask"], reference(images), rtol=1e-5, atol=1e-5)


def test_an_unknown_decoder_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"decoder is 'une', wanted one of .*did you mean 'unet'\?"):
        Network("test_resnet", "une")


def test_a_network_without_head_is_refused():
    with pytest.raises(ValueError, match="neither decoder nor frame head"):
        Network("test_resnet")


@pytest.mark.parametrize(("decoder", "strides"), [("fpn", [8, 16, 32]), ("deeplabv3plus", [8, 16, 32])])
def test_a_pyramid_that_a_decoder_cannot_read_is_refused(decoder, strides):
    with pytest.raises(ValueError, match=rf"decoder '{decoder}' needs .*\[8, 16, 32\]: use decoder 'fcn'"):
        DECODERS[decoder]([8] * len(strides), strides, classes=1)
