"""How fast networks run here: told from what finished trainings took, or from the times that `cost` has measured."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ..config.layers import Config
from ..runs.damage import DamagedFiles, blame_file, read_csv
from ..runs.data_used import count_clips, read_data
from ..runs.folder import RunFolder
from .workload import Network, Work, gflops, work

DECODE_S = 0.005
"""Seconds until a frame is decoded, cut out and made ready, one CPU core; the mini data set at 299 pixels."""

CPU_GFLOPS = 38.0
"""GFLOPs a second of one CPU core: 54 for resnet50 under a UNet, 0.7 of that for the median network of the tables."""

LIKE = 1.5
"""Within which factor a time is sure that trainings of the same network and size tell: others may have been at work."""

MEASURED = 2.0
"""Within which factor a time is sure that a forward pass tells, for a training step is taken to cost three."""

NETWORKS = 3.0
"""Within which factor a time is sure that other networks tell: for as many GFLOPs those of the tables take 0.5 to 2.0
times as long as the median one on a CPU, and their training is no surer than `LIKE`."""

SINGLE = 8.0
"""Within which factor a time is sure that a GPU took for far fewer frames at once than a row will give it."""

COMPARABLE = 4.0
"""Factor within which the GFLOPs of two images must lie for one network to tell of the other: in small ones it is not
the network that takes the time."""

ANY_CPU = 6.0
"""Within which factor a time is sure of a CPU that nothing is known of."""


class Rate(NamedTuple):
    """What a row's time is told by.

    Attributes:
        gflop_s: Seconds a GFLOP, on one device.
        decode_s: Seconds a frame that is decoded, on one core; 0 where that is part of `gflop_s`.
        overlaps: Whether frames are decoded while the device computes, as they are for a GPU.
        factor: How far off the time may be.
        source: In words.
    """

    gflop_s: float
    decode_s: float
    overlaps: bool
    factor: float
    source: str

    def seconds(self, computed: float, read: int, devices: int, workers: int) -> float:
        """How long an amount of work takes.

        Args:
            computed: GFLOPs.
            read: Frames that are decoded.
            devices: That share all of it.
            workers: Processes that decode for each; 0 for none beside the training itself.
        """
        computing = self.gflop_s * computed / devices
        decoding = self.decode_s * read / devices / max(1, workers)
        return max(computing, decoding) if self.overlaps and workers else computing + decoding


class _Finished(NamedTuple):
    """A training that came to its end: its network, size, work, and seconds on all its devices together."""

    network: Network
    size: int
    work: Work
    seconds: float
    on_cpu: bool
    workers: int

    @property
    def image(self) -> float:
        """GFLOPs of a forward pass of an image."""
        return gflops(self.network, self.size)

    @property
    def rate(self) -> float:
        """Seconds a GFLOP, with what it decoded."""
        return self.seconds / self.work.training

    @property
    def computing_rate(self) -> float:
        """Seconds a GFLOP without what it decoded, where it computed and decoded in turn."""
        decoding = DECODE_S * self.work.training_frames / max(1, self.workers) if self.on_cpu else 0.0
        return max(self.seconds - decoding, self.seconds / 5) / self.work.training


class Rates:
    """What is known under a folder of runs of how long networks take.

    Args:
        runs: Folder of runs; `cost.csv` lies there, or beside it for runs made quickly.
        left_out: Is told of damaged files, which are passed over.
    """

    def __init__(self, runs: Path, left_out: DamagedFiles) -> None:
        self._finished = list(_read_finished(runs, left_out))
        self._costs = pd.DataFrame()
        for path in (runs / "cost.csv", runs.parent / "cost.csv"):
            if self._costs.empty and path.is_file():
                with left_out.noted():
                    self._costs = _read_costs(path)

    def of(self, row: str, config: Config) -> Rate:
        """By what a row's time is told: the nearest that is known, in this order.

        1. Finished trainings of the same network at the same size.
        2. The time of its own forward pass in `cost.csv`.
        3. GFLOPs, and the times of other networks in `cost.csv`, if there are any by those that are `COMPARABLE`.
        4. GFLOPs, and finished trainings of other networks or sizes that are `COMPARABLE`.
        5. GFLOPs, and what one CPU core computes in a second.

        Args:
            row: Its table and name, `table-1/resnet50-unet`.
            config: Resolved.
        """
        network, size = Network.of(config), config["data"]["init_args"]["size"]
        image = gflops(network, size)
        like = [one.rate for one in self._finished if (one.network, one.size) == (network, size)]
        if like:
            source = f"what {_trainings(like)} of the same network and size took here"
            return Rate(statistics.median(like), 0.0, False, spread(like, LIKE), source)
        if len(costs := self._costs):
            own = self._costs[(self._costs["named"] == row) & (self._costs["size"] == size)]
            costs, source = (own, "the time of its forward pass") if len(own) else (self._costs, "GFLOPs and the times")
            device = str(costs["device"].iloc[-1])
            costs = costs[costs["device"] == device]
            near = costs["image"].between(image / COMPARABLE, image * COMPARABLE)
            costs = costs[near] if near.any() else costs
            rates = costs["gflop_s"].tolist()
            factor = MEASURED if len(own) else spread(rates, NETWORKS)
            on_cpu, batch = device.startswith("CPU"), int(costs["batch_size"].max())
            told = f"{source} in cost.csv, {device}"
            if not on_cpu and 4 * batch < config["data"]["init_args"]["batch_size"]:
                factor, told = max(factor, SINGLE), f"{told}, batches of {batch} (surer with make cost --batch_size)"
            fastest = costs[costs["batch_size"] == batch]["gflop_s"]
            rate = fastest.iloc[-1] if len(own) else fastest.median()
            return Rate(float(rate), DECODE_S, not on_cpu, factor, told)
        if near_by := [one for one in self._finished if image / COMPARABLE <= one.image <= image * COMPARABLE]:
            rates = [one.computing_rate for one in near_by]
            source = f"GFLOPs and what {_trainings(rates)} of other networks or sizes took here"
            overlaps = not all(one.on_cpu for one in near_by)
            return Rate(statistics.median(rates), DECODE_S, overlaps, spread(rates, NETWORKS), source)
        source = f"GFLOPs at {CPU_GFLOPS:.0f} a second, as of one CPU core: a GPU is far faster, make cost measures it"
        return Rate(1 / CPU_GFLOPS, DECODE_S, False, ANY_CPU, source)


def spread(rates: Sequence[float], least: float) -> float:
    """How far rates lie from their median, as a factor.

    Args:
        rates: Any number of them from 1 on.
        least: What few rates, which may be alike by chance, do not go below.
    """
    middle = statistics.median(rates)
    return max(least, max(rates) / middle, middle / min(rates))


def _read_finished(runs: Path, left_out: DamagedFiles) -> list[_Finished]:
    found = []
    for path in sorted(runs.glob("*/*/seed*/provenance.json")):
        run = RunFolder(path.parent)
        if run.config.is_symlink() or not run.config.exists():
            continue
        with left_out.noted():
            config, fit, data = run.read_config(), run.read_provenance("fit"), read_data(run)
            if data is None or not fit.get("seconds") or config.get("checkpoint_from"):  # written before it was kept
                continue
            try:
                amount, size = work(config, count_clips(data, config)), config["data"]["init_args"]["size"]
                workers = config["data"]["init_args"]["num_workers"]
            except (KeyError, TypeError):  # of a data module of somebody's own, whose cost is another
                continue
            with blame_file(run.provenance):
                seconds = float(fit["seconds"]) * int(fit.get("processes", 1))
                on_cpu = str(fit.get("device", "cpu")).startswith("cpu")
                if amount.training:
                    found.append(_Finished(Network.of(config), size, amount, seconds, on_cpu, workers))
    return found


def _read_costs(path: Path) -> pd.DataFrame:
    """Lines of `cost.csv` with the row they are `named` by, GFLOPs of an `image`, and seconds a GFLOP, `gflop_s`."""
    numbers = ["flops", "ms", "size", "batch_size"]
    lines = read_csv(path, numbers, "put back a sound copy, or remove it and measure again, by make cost")
    with blame_file(path, "remove it and measure again, by make cost"):
        lines = lines[(lines["flops"] > 0) & (lines["ms"] > 0)]
        named, rate = lines["table"] + "/" + lines["row"], lines["ms"] / 1000 / (lines["flops"] / 1e9)
        return lines[["size", "device", "batch_size"]].assign(named=named, image=lines["flops"] / 1e9, gflop_s=rate)


def _trainings(rates: Sequence[float]) -> str:
    return f"{len(rates)} finished training{'s' if len(rates) > 1 else ''}"
