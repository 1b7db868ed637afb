"""How much a row computes and decodes, told from its settings and from FLOPs that were counted once."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ..config.layers import Config

COUNTED = Path(__file__).with_name("gflops.csv")
"""GFLOPs a megapixel of a forward pass of each network of the tables, as `python -m experiments cost` counts them; a
test counts some of them anew."""

BACKWARD = 2
"""A training step against a forward pass, beside that pass."""


class Work(NamedTuple):
    """What a row computes and reads on all its devices together.

    Attributes:
        training: GFLOPs of the training with its validations.
        test: GFLOPs of one test.
        training_frames: Crops that are decoded for the training with its validations.
        test_frames: Crops that are decoded for one test.
        passes: Forward passes of one image that cost as much as the training.
    """

    training: float
    test: float
    training_frames: int
    test_frames: int
    passes: float


class Network(NamedTuple):
    """What a network's FLOPs depend on beside the image.

    Attributes:
        encoder: Name of the encoder.
        decoder: Name of the decoder; "" where frames alone are classified.
        output_stride: Of the encoder, 32 where frames alone are classified; "" for what the decoder wants.
    """

    encoder: str
    decoder: str
    output_stride: str

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Network:
        """The network of a resolved configuration."""
        options = config["model"]["init_args"]
        return cls(*(str(options.get(name) or "") for name in cls._fields))


def work(config: Config, clips: Mapping[str, int]) -> Work:
    """How much a row computes; a pure function.

    Args:
        config: Resolved.
        clips: Of the training, validation and test split, see `count_clips`.
    """
    data, epochs = config["data"]["init_args"], config["trainer"]["max_epochs"]
    learnt = 0 if config.get("checkpoint_from") else epochs * clips["train"] * data["frames_per_clip"]
    looked = clips["val"] * data["eval_frames_per_clip"] * (1 if config.get("checkpoint_from") else epochs)
    tested = clips["test"] * data["eval_frames_per_clip"]
    image = gflops(Network.of(config), data["size"])
    passes = learnt * step_passes(config) + looked
    return Work(image * passes, image * tested, learnt + looked, tested, passes)


def step_passes(config: Config) -> float:
    """What a training step costs, in forward passes: a part of a network that never learns is passed forward only."""
    network = Network.of(config)
    if config["model"]["init_args"].get("frozen_epochs") != "all":
        return 1 + BACKWARD
    encoder, whole = read_counted().get(Network(network.encoder, "", "32")), read_counted().get(network)
    if encoder is None or whole is None:
        return 1 + BACKWARD
    return 1 + BACKWARD * max(0.0, 1 - encoder / whole)


def gflops(network: Network, size: int) -> float:
    """GFLOPs of a forward pass of an image; of a network that nobody has counted, as of the median one.

    Args:
        network: The network.
        size: Side of the image, in pixels.
    """
    found = read_counted().get(network)
    return (statistics.median(read_counted().values()) if found is None else found) * size**2 / 1e6


@cache
def read_counted() -> dict[Network, float]:
    """Reads `COUNTED`: GFLOPs a megapixel by network."""
    with COUNTED.open(newline="") as file:
        return {Network(*line[:-1]): float(line[-1]) for line in list(csv.reader(file))[1:]}
