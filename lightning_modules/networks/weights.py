"""Where timm's ImageNet weights come from: its cache, or a server that may be out of reach."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import huggingface_hub
import torch

from ..errors import UnreachableError

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
        raise make_unreachable_error(host, name)


def make_unreachable_error(host: str | None, name: str) -> UnreachableError:
    """The error that says how to go on without a server."""
    return UnreachableError(
        f"the ImageNet weights of encoder {name!r} are not in the local cache and cannot be had from {host}: connect "
        "to the network, copy a filled cache (HF_HOME, TORCH_HOME) here, name a file as `encoder_checkpoint`, or set "
        "`pretrained: false`"
    )
