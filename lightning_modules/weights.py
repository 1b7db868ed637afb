"""Where an encoder's weights come from: timm's cache, a server that may be out of reach, or a file."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

import huggingface_hub
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

REACH_S = 5.0
"""Seconds a server may take to accept a connection before weights count as out of reach."""


def cached_file(source: dict[str, Any]) -> str | None:
    """Path of a model's weights if they have been downloaded before, by timm's configuration of them."""
    if repository := source.get("hf_hub_id"):
        repository, _, revision = repository.partition("@")
        for file in (source.get("hf_hub_filename"), "model.safetensors", "pytorch_model.bin"):
            found = file and huggingface_hub.try_to_load_from_cache(repository, file, revision=revision or None)
            if isinstance(found, str):
                return found
    path = os.path.join(torch.hub.get_dir(), "checkpoints", os.path.basename(urlsplit(source.get("url") or "").path))
    return path if os.path.isfile(path) else None


def server(source: dict[str, Any]) -> str | None:
    """Server that holds a model's weights, by timm's configuration of them."""
    address = huggingface_hub.constants.ENDPOINT if source.get("hf_hub_id") else source.get("url")
    return urlsplit(address or "").hostname


def require_reachable(host: str, name: str) -> None:
    """Refuses in `REACH_S` what the libraries below try for minutes; behind a proxy only they can know."""
    if getproxies():
        return
    reached = threading.Event()

    def connect() -> None:
        try:
            socket.create_connection((host, 443), timeout=REACH_S).close()
        except OSError:
            return
        reached.set()

    attempt = threading.Thread(target=connect, daemon=True)  # a thread, because looking up a name has no time limit
    attempt.start()
    attempt.join(REACH_S)
    if not reached.is_set():
        raise out_of_reach(host, name)


def out_of_reach(host: str | None, name: str) -> ConnectionError:
    """The error that says how to go on without a server."""
    return ConnectionError(
        f"the ImageNet weights of encoder {name!r} are not in the local cache and cannot be had from {host}: connect "
        "to the network, copy a filled cache (HF_HOME, TORCH_HOME) here, name a file as `encoder_checkpoint`, or set "
        "`pretrained: false`"
    )


class Match(NamedTuple):
    """Which tensors of an encoder a file had.

    Attributes:
        loaded: Names of those that were loaded.
        missing: Names of those that the file lacks, left as they were.
        unused: Names of those in the file that the encoder has no place for, such as a classifier's.
    """

    loaded: list[str]
    missing: list[str]
    unused: list[str]

    def __str__(self) -> str:
        """One sentence on what matched."""
        total = len(self.loaded) + len(self.missing)
        rest = [
            f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
            for what, names in (("not in the file", self.missing), ("of the file not used", self.unused))
            if names
        ]
        return "; ".join([f"{len(self.loaded)} of {total} tensors loaded", *rest])


def load_from_file(
    encoder: nn.Module, name: str, path: str, normalisation: tuple[tuple[float, ...], tuple[float, ...]]
) -> Match:
    """Loads an encoder's weights from a file: another run's checkpoint, or weights as timm saves them.

    The pyramid over a flat transformer is loaded as far as the file has it, for this output stride; the backbone whole.

    Args:
        encoder: An `Encoder`.
        name: Of the timm model.
        path: A checkpoint of one of these modules, or a `.pth`, `.pt`, `.bin` or `.safetensors` of tensors by name.
        normalisation: Mean and standard deviation that the encoder's images have.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds no tensors, or those of another model.
    """
    require_file(path)
    found, trained_with = _tensors(path)
    own = encoder.state_dict()
    places = {_plain(key): key for key in own}
    matched = {places[plain]: value for key, value in found.items() if (plain := _plain(key)) in places}
    misfits = {key for key, value in matched.items() if value.shape != own[key].shape}
    matched = {key: value for key, value in matched.items() if key not in misfits}
    missing = sorted(own.keys() - matched.keys())
    lacking = [key for key in missing if key.startswith("backbone.") and not key.endswith("num_batches_tracked")]
    if lacking:
        raise ValueError(
            f"encoder_checkpoint is {path}, which fits {len(matched)} of {len(own)} tensors of {name!r} and not "
            f"{lacking[0]!r}: it is of another model; name the encoder it is of"
        )
    if trained_with not in (None, normalisation):
        raise ValueError(
            f"encoder_checkpoint is {path}, trained on images of mean and standard deviation {trained_with}, but "
            f"{name!r} takes {normalisation}: name the encoder it is of"
        )
    encoder.load_state_dict(matched, strict=False)
    return Match(sorted(matched), missing, sorted(key for key in found if _plain(key) not in places))


def require_file(path: str) -> None:
    """Refuses a file that is not there."""
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"encoder_checkpoint is {path}, which does not exist; wanted another run's checkpoint, such as "
            "runs/table-2/resnet50-segmentation/seed0/checkpoints/best.ckpt, or a file of timm's weights"
        )


def _tensors(path: str) -> tuple[dict[str, Tensor], Any]:
    """The encoder's tensors in a file, `backbone.` or `pyramid.` before each name, and a run's normalisation."""
    try:
        loaded: Any = load_file(path) if Path(path).suffix == ".safetensors" else _torch_load(path)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"encoder_checkpoint is {path}, which holds more than tensors or is damaged; wanted a checkpoint of this "
            "project, or a file of tensors by name: save the model's `state_dict()` alone"
        ) from error
    content: dict[str, Any] = loaded
    for wrapper in ("state_dict", "model"):
        inner = content.get(wrapper)
        content = inner if isinstance(inner, dict) else content
    tensors = {key.removeprefix("module."): value for key, value in content.items() if isinstance(value, Tensor)}
    prefix = "network.encoder."
    if not any(key.startswith(prefix) for key in tensors):
        return {f"backbone.{key}": value for key, value in tensors.items()}, None
    stored = loaded["normalisation"]
    normalisation = tuple(stored["mean"]), tuple(stored["std"])
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}, normalisation


def _torch_load(path: str) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _plain(key: str) -> str:
    """A tensor's name, equal in timm's models and in the pyramids that it makes of them.

    There a stage `stages.0` is `stages_0`, and the whole model may lie under `body` or `model`.
    """
    backbone = key.removeprefix("backbone.").removeprefix("body.").removeprefix("model.")
    return backbone.replace("_", ".")
