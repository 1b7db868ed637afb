"""Every encoder with every decoder and head."""

import itertools

import pytest
import segmentation_models_pytorch as smp
import torch

from lightning_modules.networks.decoders import DECODERS
from lightning_modules.networks.network import Network
from tests.matrix.pairings import NAMED

TINY = ["test_resnet", "test_efficientnet", "test_convnext", "test_vit"]


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


THEIRS = {
    "unet": smp.Unet,
    "unetplusplus": smp.UnetPlusPlus,
    "fpn": smp.FPN,
    "deeplabv3": smp.DeepLabV3,
    "deeplabv3plus": smp.DeepLabV3Plus,
    "segformer": smp.Segformer,
}


@pytest.mark.parametrize("decoder", ["fcn", "segformer", "unet", "unetplusplus"])  # no pooling over the whole
@torch.no_grad()
def test_maps_that_reach_beyond_the_image_are_not_squeezed_into_it(decoder):
    """The upper left of an image larger than its part: what its maps say there does not depend on where it ends."""
    network = Network("test_resnet", decoder).eval()
    channels, strides = network.encoder.channels, network.encoder.strides
    maps = [torch.rand(1, c, 320 // stride, 320 // stride) for c, stride in zip(channels, strides, strict=True)]
    cut = [map_[..., : -(-299 // s), : -(-299 // s)] for map_, s in zip(maps, strides, strict=True)]
    whole, part = network.decoder(maps, 320, 320), network.decoder(cut, 299, 299)
    torch.testing.assert_close(part[..., :96, :96], whole[..., :96, :96])


def with_weights_of(reference, network):
    network.encoder.backbone.load_state_dict(reference.encoder.model.state_dict())
    network.decoder.decoder.load_state_dict(reference.decoder.state_dict())
    network.decoder.head.load_state_dict(reference.segmentation_head.state_dict())
    return network


@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [
        *itertools.product(["test_resnet", "test_efficientnet"], THEIRS),
        *itertools.product(["test_convnext", "swin_tiny_patch4_window7_224"], ["unet", "unetplusplus", "segformer"]),
        ("test_convnext", "fpn"),
        ("vgg11", "unet"),
        ("vgg11", "unetplusplus"),
    ],
)
@torch.no_grad()
def test_logits_are_those_of_segmentation_models_pytorch(encoder, decoder):
    reference = THEIRS[decoder](f"tu-{encoder}", encoder_weights=None).eval()
    ours = with_weights_of(reference, Network(encoder, decoder).eval())
    size = 224 if encoder.endswith("224") or decoder.startswith("deeplab") else 128  # whose windows and holes are wide
    images = torch.randn(1, 3, size, size)
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


DEEPLABS = {"deeplabv3", "deeplabv3plus"}
NOT_THEIRS = {
    "vit_small_patch14_dinov2": set(THEIRS),  # flat
    "swin_tiny_patch4_window7_224": DEEPLABS,  # timm cannot dilate them
    "hrnet_w18": DEEPLABS,
    "vgg16": DEEPLABS,
}
MISPLACED = {
    "legacy_xception": set(THEIRS),  # theirs stretches its 109 cells over the 112 that 224 pixels have at stride 2
    "convnext_tiny": {"deeplabv3"},  # timm's stride 8 moves its last map by one cell
}


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [
        (encoder, decoder)
        for encoder, decoder in itertools.product(NAMED, THEIRS)
        if decoder not in NOT_THEIRS.get(encoder, set()) | MISPLACED.get(encoder, set())
    ],
)
@torch.no_grad()
def test_logits_of_a_named_encoder_are_those_of_segmentation_models_pytorch(encoder, decoder):
    reference = THEIRS[decoder](f"tu-{encoder}", encoder_weights=None).eval()
    ours = with_weights_of(reference, Network(encoder, decoder).eval())
    images = torch.randn(1, 3, 224, 224)
    torch.testing.assert_close(ours(images)["mask"], reference(images), rtol=1e-5, atol=1e-5)
