"""`python -m experiments sweep TABLE`: writes a table as a W&B sweep, for any number of agents."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from datamodules.files import write_text

from ..config.rows import find_rows
from ..config.seeds import parse_seed
from ..errors import ExperimentError
from .mode import PROJECT


def sweep_of(table: str, seeds: Sequence[int]) -> dict[str, Any]:
    """The sweep over a table's rows and some seeds; an agent runs `make sweep-row row=... seed=...` for each.

    Make takes DATA, DEVICES and ARGS from the agent's environment, so each machine says where its data are.

    Raises:
        ValueError: There is no such table.
    """
    rows = find_rows([table])
    return {
        "name": table,
        "project": PROJECT,
        "description": f"every row of {table}, seeds {' '.join(map(str, seeds))}",
        "method": "grid",
        "parameters": {"row": {"values": [str(row) for row in rows]}, "seed": {"values": list(seeds)}},
        "command": ["make", "--no-print-directory", "sweep-row", "${args_no_hyphens}"],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the sweep and prints the commands that register it and work on it.

    Returns:
        Exit status: 2 for a table that is not there.
    """
    parser = argparse.ArgumentParser("python -m experiments sweep", description=__doc__)
    parser.add_argument("table", help="such as table-1")
    parser.add_argument("--seeds", type=parse_seed, nargs="+", default=[0], help="seeds of every row (default 0)")
    parser.add_argument("--out", type=Path, help="file (default runs/TABLE/sweep.yaml)")
    options = parser.parse_args(arguments)
    try:
        sweep = sweep_of(options.table, options.seeds)
    except ExperimentError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    out = options.out or Path("runs", options.table, "sweep.yaml")
    write_text(out, yaml.safe_dump(sweep, sort_keys=False))
    count = len(sweep["parameters"]["row"]["values"]) * len(options.seeds)
    print(f"wrote {out}: {count} runs. With a W&B account, register it once,\n\n    wandb sweep {out}\n")
    print("and start on every machine, in a checkout of this project, the command it answers with:\n")
    print(f"    DATA=/data/FF++ DEVICES=8 wandb agent ENTITY/{PROJECT}/SWEEP")
    return 0
