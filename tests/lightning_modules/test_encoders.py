"""timm's pyramids as the decoders get them, and their weights with and without a network."""

import socket
import threading
import time

import pytest
import timm
import torch
from torch.nn import functional as F

from lightning_modules.networks import weights
from lightning_modules.networks.borders import repeat_borders
from lightning_modules.networks.encoders import Encoder, normalisation

SIZES = [(64, 96), (65, 97), (113, 81)]


@pytest.fixture
def no_weights_here(monkeypatch, tmp_path):
    """Empty caches, no proxy."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(weights, "getproxies", dict)
    return tmp_path


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_efficientnet", "test_convnext", "test_vit", "legacy_xception", "hrnet_w18"]
)
@pytest.mark.parametrize("output_stride", [8, 16, 32])
@torch.no_grad()
def test_every_map_has_the_size_its_stride_says(name, output_stride):
    encoder = Encoder(name, output_stride).eval()
    assert max(encoder.strides) == output_stride
    for height, width in SIZES:
        maps = encoder(torch.rand(1, 3, height, width))
        assert [tuple(map_.shape[1:]) for map_ in maps] == [
            (channels, -(-height // stride), -(-width // stride))
            for channels, stride in zip(encoder.channels, encoder.strides, strict=True)
        ]


@torch.no_grad()
def test_a_map_that_fits_is_left_as_timm_made_it():
    encoder = Encoder("test_resnet").eval()
    images = torch.rand(1, 3, 65, 97)
    for ours, timms in zip(encoder(images), encoder.backbone(images), strict=True):
        assert torch.equal(ours, timms)


@torch.no_grad()
def test_an_unpadded_stem_keeps_its_cells_over_their_pixels():
    encoder = Encoder("legacy_xception").eval()
    images = torch.rand(1, 3, 128, 128)
    ours, timms = encoder(images)[0], encoder.backbone(images)[0]
    assert timms.shape[-2:] == (61, 61)
    assert torch.equal(ours[..., 1:62, 1:62], timms)  # three cells missing: one to the left, two to the right
    assert torch.equal(ours[..., 0, 1:62], timms[..., 0, :])


def test_normalisation_is_that_of_the_weights():
    assert normalisation("legacy_xception") == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert normalisation("resnet50") == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize("build", [Encoder, normalisation])
def test_an_unknown_encoder_is_refused_with_the_nearest(build):
    with pytest.raises(ValueError, match=r"encoder is 'resnet5O'.*did you mean 'resnet50'\?"):
        build("resnet5O")


def test_only_what_the_used_maps_need_is_trained():
    encoder = Encoder("test_efficientnet")
    encoder.freeze_unreached([1])  # the map of stride 4
    sum(map_.sum() for map_ in encoder(torch.rand(2, 3, 64, 64))[:2]).backward()
    assert any(not parameter.requires_grad for parameter in encoder.parameters())
    assert all((parameter.grad is not None) == parameter.requires_grad for parameter in encoder.parameters())


@torch.no_grad()
def test_an_encoder_set_up_without_gradients_can_still_be_trained():
    encoder = Encoder("test_resnet")
    encoder.freeze_unreached([4])
    assert all(parameter.requires_grad for parameter in encoder.parameters())


def test_weights_in_the_hub_cache_are_loaded_without_network(no_weights_here, monkeypatch):
    donor = timm.create_model("test_resnet")
    repository = no_weights_here / "hub" / "models--timm--test_resnet.r160_in1k"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots" / ("0" * 40)).mkdir(parents=True)
    torch.save(donor.state_dict(), repository / "snapshots" / ("0" * 40) / "pytorch_model.bin")
    monkeypatch.setattr(socket, "socket", None)

    encoder = Encoder("test_resnet")
    encoder.load_weights()
    expected = donor.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in encoder.backbone.state_dict().items())


def test_weights_in_the_torch_cache_are_loaded_without_network(no_weights_here, monkeypatch):
    donor = timm.create_model("mobilenetv3_small_050")
    file = no_weights_here / "torch/hub/checkpoints" / donor.pretrained_cfg["url"].rpartition("/")[2]
    file.parent.mkdir(parents=True)
    torch.save(donor.state_dict(), file)
    monkeypatch.setattr(socket, "socket", None)

    encoder = Encoder("mobilenetv3_small_050", output_stride=16)
    encoder.load_weights()
    assert torch.equal(encoder.backbone.conv_stem.weight, donor.conv_stem.weight)


@pytest.mark.parametrize(("name", "host"), [("resnet50", "huggingface.co"), ("legacy_xception", "github.com")])
def test_without_network_a_sentence_says_how_to_go_on(name, host, no_weights_here, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(ConnectionError, match=rf"{name!r}.*from {host}: connect to the network.*`pretrained: false`"):
        Encoder(name).load_weights()


def test_a_name_server_that_never_answers_is_not_waited_for(no_weights_here, monkeypatch):
    asked, over = threading.Event(), threading.Event()

    def hang(*_args, **_kwargs):
        asked.set()
        over.wait()
        raise OSError

    monkeypatch.setattr(socket, "create_connection", hang)
    monkeypatch.setattr(weights, "REACH_S", 0.2)
    start = time.monotonic()
    with pytest.raises(ConnectionError, match="'test_resnet'"):
        Encoder("test_resnet").load_weights()
    assert asked.is_set()
    assert time.monotonic() - start < 3
    over.set()


def test_a_model_without_weights_says_so():
    encoder = Encoder("test_resnet")
    encoder.backbone.pretrained_cfg = {}
    with pytest.raises(ValueError, match="timm has no ImageNet weights for encoder 'test_resnet'"):
        encoder.load_weights()


@pytest.mark.parametrize("amounts", [(0, 0, 0, 0), (1, 2, 0, 3), (0, 1, 2, 2), (3, 0, 1, 0)])
def test_borders_are_repeated_as_padding_repeats_them(amounts):
    map_ = torch.rand(2, 3, 4, 5)
    assert torch.equal(repeat_borders(map_, *amounts), F.pad(map_, amounts, mode="replicate"))
