"""What it means that an encoder works with a decoder.

Two processes train them together (gloo, two steps, without `find_unused_parameters`), every parameter that is trained
gets a gradient, and logits have the size of images of 224x224, 299x299 and 225x161 pixels. A pairing may also be
refused, by a sentence. Anything else ends the run with an error.
"""

from __future__ import annotations

import warnings
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from lightning_modules.networks.network import Network

TINY = ("test_resnet", "test_efficientnet", "test_convnext", "test_vit")
NAMED = (
    "legacy_xception",
    "xception41",
    "resnet50",
    "efficientnet_b4",
    "hrnet_w18",
    "vgg16",
    "mobilenetv3_small_100",
    "convnext_tiny",
    "swin_tiny_patch4_window7_224",
    "vit_small_patch14_dinov2",
)
STRIDES = (8, 16, 32)
SIZES = ((224, 224), (299, 299), (225, 161))
PROCESSES = 2


class Cell(NamedTuple):
    """One pairing, and the sentence by which it was refused, if it was."""

    encoder: str
    decoder: str
    output_stride: int
    refusal: str


def work(rank: int, folder: str, encoders: list[str], decoders: list[str], out: Path) -> None:
    """One of the processes that walk over the pairings together."""
    warnings.filterwarnings("ignore", module="timm")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=PROCESSES)
    pairings = list(product(encoders, decoders, STRIDES))
    cells = [Cell(*pairing, attempt(*pairing, rank)) for pairing in tqdm(pairings, disable=rank > 0, unit="pairing")]
    if rank == 0:
        pd.DataFrame(cells).to_csv(out / "matrix.csv", index=False)
    dist.destroy_process_group()


def attempt(encoder: str, decoder: str, output_stride: int, rank: int) -> str:
    """Why a pairing is refused, or nothing if it works; the sizes are shared out among the processes."""
    try:
        network = Network(encoder, decoder, output_stride=output_stride)
    except ValueError as error:
        return str(error)
    together = DistributedDataParallel(network)
    for _ in range(2):  # the second step finds out parameters left out of the first
        together(torch.rand(2, 3, 65, 97))["mask"].square().mean().backward()
    without = [key for key, value in network.named_parameters() if value.requires_grad and value.grad is None]
    if without:
        raise RuntimeError(f"{encoder} with {decoder} at {output_stride} leaves {without} without gradient")
    network.eval()
    for height, width in SIZES[rank::PROCESSES]:
        with torch.no_grad():
            size = network(torch.rand(1, 3, height, width))["mask"].shape
        if size != (1, 1, height, width):
            raise RuntimeError(f"{encoder} with {decoder} at {output_stride}: {height}x{width} becomes {tuple(size)}")
    return ""
