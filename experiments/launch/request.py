"""Which rows a command line asks for, with which options, in which folder."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..config.layers import Config, apply_changes, to_changes, to_options
from ..config.rows import TABLES, Row, find_rows
from ..config.seeds import parse_seed
from ..runs.data_used import DataNow, count_clips
from ..training.kept_settings import KeptSettings
from ..training.settings import Settings
from .plan import WantedRun, jobs, resolve_rows
from .quick import quick


class Request(NamedTuple):
    """What was asked for on the command line.

    Attributes:
        rows: By name or table.
        runs: Folder of runs.
        options: Of every row, further options of its command.
        configs: Resolved with them, also those of needed rows.
        jobs: Each row with each seed.
    """

    rows: list[Row]
    runs: Path
    options: dict[Row, list[str]]
    configs: dict[Row, Config]
    jobs: list[WantedRun]


def parser_of(command: str, description: str) -> argparse.ArgumentParser:
    """Options that say which rows are wanted, and where they run; what follows `--` is for the rows.

    Args:
        command: Its name.
        description: Of it.
    """
    parser = argparse.ArgumentParser(f"python -m experiments {command}", description=description)
    parser.add_argument("names", nargs="*", help="such as table-1/resnet50-unet or table-1 (default: every table)")
    parser.add_argument("--seeds", type=parse_seed, nargs="+", default=[0], help="of every row (default 0)")
    parser.add_argument("--runs", type=Path, help="folder of runs (default runs, with --quick runs/quick)")
    parser.add_argument("--quick", action="store_true", help="make every row small enough to be tried on a laptop")
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder of base.yaml and of the tables' folders")
    parser.add_argument("--launcher", choices=["local", "slurm"], default="local", help="where rows run (default here)")
    parser.add_argument("--slurm", default="", metavar="OPTIONS", help="of sbatch: '--partition=gpu --time=24:00:00'")
    parser.epilog = "What follows -- are options of every row, such as -- --data.init_args.root /data/FF++"
    return parser


def read_request(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> tuple[argparse.Namespace, Request]:
    """Reads options, and resolves the rows that they name and those these need.

    Args:
        parser: As from `parser_of`.
        arguments: What stands on the command line.

    Raises:
        ValueError: There is no such row, or an option of the rows is none.
    """
    words = list(arguments)
    cut = words.index("--") if "--" in words else len(words)
    options, more = parser.parse_args(words[:cut]), words[cut + 1 :]
    rows = find_rows(options.names, options.tables.resolve())
    kept = KeptSettings()
    settings = Settings(more, kept)
    configs = resolve_rows(rows, settings.of)
    made = {row: list(more) for row in configs}
    if options.quick:
        data_now = DataNow()
        for row, config in configs.items():
            number = count_clips(data_now(config), config)["train"]
            asked = {word.removeprefix("--").partition("=")[0] for word in more if word.startswith("--")}
            small = {key: value for key, value in quick(config, number).items() if key not in asked}
            made[row] = [*to_options(small), *more]
            configs[row] = apply_changes(config, to_changes(small))
    if options.launcher == "slurm":
        for row, config in configs.items():
            if config["trainer"]["devices"] == "auto":  # which is told by what a job asks for
                made[row] = ["--trainer.devices=1", *made[row]]
                configs[row] = apply_changes(config, {"trainer": {"devices": 1}})
    runs = options.runs or Path("runs", "quick") if options.quick else options.runs or Path("runs")
    wanted = Request(rows, runs, made, configs, jobs(configs, options.seeds, settings.apply))
    kept.write()
    return options, wanted
