"""What rows cost, told without data and without training: parameters, FLOPs and time a frame."""

from __future__ import annotations

import argparse
import logging
import platform
import statistics
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from datamodules.files import write_text

from .config.keys import check_keys
from .config.layers import add_table_base, read_layers
from .config.rows import TABLES, Row, find_rows
from .errors import ExperimentValueError
from .runs.damage import read_csv
from .training.lightning_cli import ForensicsCLI

WARM_UP = 2  # forward passes that are not timed

PRECISIONS = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""What `--trainer.precision` calls them, and what autocast is given."""

COST_COLUMNS = {
    "size": ("pixels", None),
    "parameters": ("M parameters", 1e6),
    "trained_parameters": ("M trained", 1e6),
    "flops": ("GFLOPs", 1e9),
    "ms": ("ms a frame", None),
}
"""What is printed, and in which unit if not as it is kept."""

CONVENTION = (
    "FLOPs are those of one image; a multiplication and its addition count as two, so they are twice the "
    "multiply-adds that other papers call FLOPs. Convolutions, matrix products and attention are counted; "
    "normalisation, activations, pooling and resizing are not."
)


class Setting(NamedTuple):
    """How time is taken.

    Attributes:
        batch_size: Frames a forward pass.
        precision: A key of `PRECISIONS`.
        device: Where the network runs, in words.
        threads: Of torch, on the CPU.
    """

    batch_size: int
    precision: str
    device: str
    threads: int


def build(row: Path) -> ForensicsCLI:
    """Builds a row's modules as its commands do; nothing is read, downloaded or written."""
    words = add_table_base(["-c", str(TABLES / "base.yaml"), "-c", str(row)])
    check_keys(read_layers(words))
    return ForensicsCLI([*words, "--trainer.logger=false", "--trainer.callbacks=null"], run=False)


def flops(network: nn.Module, images: Tensor) -> int:
    """Counts floating-point operations of a forward pass, a multiplication and its addition as two."""
    # As plain matrix products, attention is counted on any device.
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network(images)
    return int(counter.get_total_flops())


def milliseconds(network: nn.Module, images: Tensor, precision: str, repeats: int) -> float:
    """Times forward passes after a warm-up.

    Args:
        network: In evaluation mode, on the device of the images.
        images: (B, 3, H, W).
        precision: A key of `PRECISIONS`.
        repeats: Passes that are timed.

    Returns:
        Median over the passes, in ms a frame.
    """
    taken = []
    kind, number_type = images.device.type, PRECISIONS[precision]
    with torch.inference_mode(), torch.autocast(kind, number_type, enabled=number_type is not None):
        for _ in range(WARM_UP + repeats):
            started = time.perf_counter()
            network(images)
            if kind != "cpu":
                torch.accelerator.synchronize()
            taken.append(time.perf_counter() - started)
    return 1000 * statistics.median(taken[WARM_UP:]) / len(images)


def measure(rows: dict[str, Path], batch_size: int, precision: str, repeats: int) -> pd.DataFrame:
    """Measures rows, each network once.

    Args:
        rows: YAML files by row.
        batch_size: Frames a forward pass, where time is taken.
        precision: A key of `PRECISIONS`.
        repeats: Forward passes that are timed.

    Returns:
        A line a row: `table`, `row`, `size` (side of the image, in pixels), `parameters`, `trained_parameters`, `flops`
        (of one image), `ms` (a frame), and the fields of `Setting`.
    """
    device = (torch.accelerator.is_available() and torch.accelerator.current_accelerator()) or torch.device("cpu")
    setting = Setting(batch_size, precision, _name(device), torch.get_num_threads())
    known: dict[tuple[object, ...], tuple[int, float]] = {}
    lines = []
    for name, path in (progress := tqdm(rows.items(), "measuring", unit="row")):
        progress.set_postfix_str(name)
        cli, row = build(path), Row.from_name(name)
        module, size = cli.model.to(device).eval(), cli.datamodule.options.size
        parameters = [parameter.numel() for parameter in module.parameters()]
        trained = [parameter.numel() for parameter in module.parameters() if parameter.requires_grad]
        # Dilation by hooks leaves no trace in the text of the layers.
        network = (str(module.network), module.network.encoder.output_stride, module.speed, size)
        if network not in known:
            images = torch.rand(batch_size, 3, size, size, device=device)
            counted = flops(module, images[:1])
            module.setup("predict")  # compiles and lays out, if the row says so
            known[network] = counted, milliseconds(module, images, precision, repeats)
        counted, ms = known[network]
        numbers = {"parameters": sum(parameters), "trained_parameters": sum(trained), "flops": counted, "ms": ms}
        lines.append({"table": row.table, "row": row.name, "size": size, **numbers, **setting._asdict()})
    return pd.DataFrame(lines)


def format_costs(table: pd.DataFrame) -> str:
    """Lines of `measure` as text, in millions, GFLOPs and ms."""
    shown = pd.DataFrame(
        {name: table[column] / unit if unit else table[column] for column, (name, unit) in COST_COLUMNS.items()}
    )
    return str(shown.set_axis(table["row"].tolist(), axis=0).to_string(float_format="{:.2f}".format))


def keep(measured: pd.DataFrame, path: Path) -> None:
    """Puts lines into a CSV file, in place of those of the same row and setting."""
    remedy = "put back a sound copy, or remove it: what else it held is to be measured again"
    known = [read_csv(path, [], remedy)] if path.exists() else []
    lines = pd.concat([*known, measured]).drop_duplicates(["table", "row", "size", *Setting._fields], keep="last")
    write_text(path, lines.sort_values(["table", "row"], kind="stable").to_csv(index=False))


def cost(arguments: Sequence[str]) -> None:
    """Prints what rows cost and keeps it in `cost.csv`.

    Args:
        arguments: Rows and tables, and options; see `--help`.
    """
    parser = argparse.ArgumentParser("python -m experiments cost", description=f"Says what rows cost. {CONVENTION}")
    parser.add_argument("names", nargs="+", help="rows such as table-1/resnet50-unet, or whole tables such as table-1")
    parser.add_argument("--batch_size", type=int, default=1, help="frames a timed forward pass (default 1)")
    parser.add_argument("--precision", choices=PRECISIONS, default="32-true", help="of the timed ones")
    parser.add_argument("--repeats", type=int, default=10, help="timed forward passes; their median is told")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/cost.csv"), help="file to add to (default runs/cost.csv)"
    )
    options = parser.parse_args(arguments)
    if min(options.batch_size, options.repeats) < 1:
        raise ExperimentValueError(
            f"batch_size is {options.batch_size} and repeats {options.repeats}: give each 1 or more"
        )
    rows = {str(row): row.path for row in find_rows(options.names)}
    with _silence_logging("lightning_fabric.utilities.seed", "pytorch_lightning.utilities.rank_zero"):
        measured = measure(rows, options.batch_size, options.precision, options.repeats)
    keep(measured, options.out)
    where = f"{measured['device'].iloc[0]}, torch threads: {torch.get_num_threads()}"
    for table, lines in measured.groupby("table"):
        print(f"\n{table}, batches of {options.batch_size}, {options.precision}, on {where}\n{format_costs(lines)}")
    print(f"\n{textwrap.fill(CONVENTION, 120)}\nkept in {options.out}")


@contextmanager
def _silence_logging(*names: str) -> Iterator[None]:
    """Keeps loggers from saying seed and devices again for every row."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _name(device: torch.device) -> str:
    """Name of a device that numbers can be told apart by."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"CPU {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return device.type
