"""Weights from a file, however they were saved."""

import io
import os
import pickle

import pytest
import timm
import torch
from safetensors.torch import save, save_file

from lightning_modules import ClassificationModule, Encoder, SegmentationModule

NAMES = ["test_resnet", "test_vit"]


def pickled(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def beginning(prefix, tensors):
    return {prefix + key: value for key, value in tensors.items()}


def averaged(tensors):
    return {key: value + 1 if value.is_floating_point() else value for key, value in tensors.items()}


KINDS = {
    "module": lambda module, plain: module.state_dict(),
    "network": lambda module, plain: module.network.state_dict(),
    "encoder": lambda module, plain: module.network.encoder.state_dict(),
    "backbone": lambda module, plain: module.network.encoder.backbone.state_dict(),
    "features only": lambda module, plain: module.network.encoder.backbone.state_dict(),
    "timm": lambda module, plain: plain,
    "state_dict": lambda module, plain: {"state_dict": plain, "epoch": 3},
    "model": lambda module, plain: {"model": plain, "args": {"lr": 1}},
    "model_state": lambda module, plain: {"model_state": plain},
    "model_state_dict": lambda module, plain: {"model_state_dict": plain, "loss": torch.tensor(1.0)},
    "net": lambda module, plain: {"net": plain},
    "module.": lambda module, plain: beginning("module.", plain),
    "module:": lambda module, plain: {"module": plain},
    "nested": lambda module, plain: {"checkpoint": {"model": {"weights": beginning("module.encoder.", plain)}}},
    "compiled": lambda module, plain: beginning("_orig_mod.", plain),
    "compiled, in DDP": lambda module, plain: beginning("module._orig_mod.", plain),
    "compiled inside": lambda module, plain: beginning("network._orig_mod.encoder.backbone.", plain),
    "teacher": lambda module, plain: {"student": averaged(plain), "teacher": beginning("module.backbone.", plain)},
    "average": lambda module, plain: {"state_dict": averaged(plain), "state_dict_ema": plain},
    "average beside": lambda module, plain: {"state_dict": plain, "current_model_state": averaged(plain)},
    "with its decoder": lambda module, plain: {"encoder": plain, "decoder": module.network.frame_head.state_dict()},
    "with its optimiser": lambda module, plain: {
        "model": plain,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}},
    },
    "with other keys": lambda module, plain: {**plain, 0: torch.zeros(1), "epoch": 1},
}


@pytest.fixture(scope="module", params=NAMES)
def donor(request):
    torch.manual_seed(1)
    module = ClassificationModule(request.param, pretrained=False)
    plain = timm.create_model(request.param)
    taken = module.network.encoder.backbone.state_dict()
    places = {key.removeprefix("model.").replace("_", "."): value for key, value in taken.items()}
    plain.load_state_dict(
        {k: places[k.replace("_", ".")] for k in plain.state_dict() if k.replace("_", ".") in places}, strict=False
    )
    return request.param, module, plain.state_dict(), taken


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_found_however_they_were_saved(donor, kind, tmp_path):
    name, module, plain, expected = donor
    torch.save(KINDS[kind](module, plain), tmp_path / "w.pth")
    encoder = Encoder(name)
    match = encoder.load_file(str(tmp_path / "w.pth"))
    for key, value in encoder.backbone.state_dict().items():
        assert torch.equal(value, expected[key]), key
    assert not [key for key in match.missing if key.startswith("backbone.")]


@pytest.mark.parametrize("suffix", ["pth", "bin", "safetensors", "weights"])
@pytest.mark.parametrize("write", [save, pickled])
def test_a_file_is_read_by_what_it_holds(donor, suffix, write, tmp_path):
    name, _, plain, expected = donor
    (tmp_path / f"w.{suffix}").write_bytes(write(plain))
    encoder = Encoder(name)
    encoder.load_file(str(tmp_path / f"w.{suffix}"))
    assert all(torch.equal(value, expected[key]) for key, value in encoder.backbone.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted(donor, dtype, tmp_path):
    name, _, plain, expected = donor
    torch.save({k: v.to(dtype) if v.is_floating_point() else v for k, v in plain.items()}, tmp_path / "w.pth")
    encoder = Encoder(name)
    encoder.load_file(str(tmp_path / "w.pth"))
    for key, value in encoder.backbone.state_dict().items():
        assert torch.equal(value, expected[key].to(dtype).to(value.dtype) if value.is_floating_point() else value)


def test_a_pyramid_comes_along(tmp_path):
    module = SegmentationModule("test_vit", "fcn", pretrained=False)
    torch.save(module.state_dict(), tmp_path / "w.pth")
    encoder = Encoder("test_vit", module.network.encoder.output_stride)
    assert encoder.load_file(str(tmp_path / "w.pth")).missing == []
    own, theirs = encoder.state_dict(), module.network.encoder.state_dict()
    assert all(torch.equal(own[key], theirs[key]) for key in own)


class Whole:
    """Something that is no tensor."""


REFUSED = {
    "list": (lambda plain: pickled(list(plain.values())), "holds no tensors by name; wanted"),
    "tensor": (lambda plain: pickled(torch.zeros(3)), "holds no tensors by name; wanted"),
    "number": (lambda plain: pickled(3), "holds no tensors by name; wanted"),
    "numbered": (lambda plain: pickled(dict(enumerate(plain.values()))), "holds no tensors by name; wanted"),
    "numbers": (lambda plain: pickled({"epoch": 3}), "holds no tensors by name; wanted"),
    "text": (lambda plain: b"not weights", "holds no tensors but begins with b'not weigh'; wanted"),
    "page": (lambda plain: b"<!DOCTYPE html>", "holds no tensors but begins with b'<!DOCTYPE'; wanted"),
    "pointer": (lambda plain: b"version https://git-lfs", "holds no tensors but begins with b'version h'; wanted"),
    "empty": (lambda plain: b"", "is empty; wanted"),
    "cut": (lambda plain: pickled(plain)[:2000], "holds more than tensors or is damaged; wanted"),
    "cut at its end": (lambda plain: pickled(plain)[:-100], "holds more than tensors or is damaged; wanted"),
    "safetensors, cut": (lambda plain: save(plain)[:2000], "holds more than tensors or is damaged; wanted"),
    "safetensors, without tensors": (lambda plain: save(plain)[:-100], "holds more than tensors or is damaged; wanted"),
    "whole model": (lambda plain: pickled(torch.nn.Linear(2, 2)), "holds more than tensors or is damaged; wanted"),
    "pickle": (lambda plain: pickle.dumps({"a": Whole()}), "holds more than tensors or is damaged; wanted"),
    "pickle, cut": (lambda plain: pickle.dumps([1] * 99)[:9], "holds more than tensors or is damaged; wanted"),
    "two sets": (lambda plain: pickled({"a": plain, "b": averaged(plain)}), "in which both a and b fit, and differ"),
    "queries and keys": (
        lambda plain: pickled(beginning("encoder_q.", plain) | beginning("encoder_k.", averaged(plain))),
        "in which both encoder_q and encoder_k fit, and differ",
    ),
    "other shapes": (
        lambda plain: pickled({k: torch.zeros(1, *v.shape) for k, v in plain.items()}),
        r"fits 0 of \d+ tensors of 'test_resnet' and not 'backbone.\S+' \(float32 \(1, .*\) there, wanted float32 ",
    ),
    "whole numbers": (
        lambda plain: pickled({k: v.to(torch.int8) for k, v in plain.items()}),
        r"fits \d+ of \d+ tensors of 'test_resnet' and not 'backbone.\S+' \(int8 ",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_holds_no_such_weights_is_refused_in_one_sentence(kind, tmp_path):
    write, sentence = REFUSED[kind]
    path = tmp_path / "w.pth"
    path.write_bytes(write(timm.create_model("test_resnet").state_dict()))
    encoder = Encoder("test_resnet")
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    with pytest.raises(ValueError, match=rf"encoder_checkpoint is {path}, \w+ .*{sentence}|{sentence}") as error:
        encoder.load_file(str(path))
    assert "\n" not in str(error.value)
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="which is a folder; wanted"):
        Encoder("test_resnet").load_file(str(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").chmod(0)
    with pytest.raises(OSError, match="which cannot be read"):
        Encoder("test_resnet").load_file(str(tmp_path / "w.safetensors"))
