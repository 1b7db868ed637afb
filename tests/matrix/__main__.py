"""Tries every encoder with every decoder at every output stride, and prints what works: `make matrix`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch.multiprocessing as mp

from lightning_modules.networks.decoders import DECODERS
from tests.matrix.pairings import NAMED, PROCESSES, TINY, work


def main() -> None:
    """Runs the pairings and fails if fewer than 95 % work."""
    parser = argparse.ArgumentParser(prog="make matrix", description="Tries every encoder with every decoder.")
    parser.add_argument("--encoders", nargs="+", default=[*TINY, *NAMED])
    parser.add_argument("--decoders", nargs="+", default=list(DECODERS))
    parser.add_argument("--out", type=Path, default=Path("runs/matrix"), help="folder of matrix.csv")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(work, args=(folder, arguments.encoders, arguments.decoders, arguments.out), nprocs=PROCESSES)
    cells = pd.read_csv(arguments.out / "matrix.csv", keep_default_na=False)
    works = cells.refusal == ""
    cells["shown"] = cells.output_stride.astype(str).where(works, "-")
    shown = cells.groupby(["encoder", "decoder"], sort=False).shown.agg(" ".join).unstack(sort=False)
    print(f"output strides at which a pairing works\n{shown.to_string()}")
    for sentence in cells.refusal[~works].unique():
        print(f"refused: {sentence}")
    print(f"{works.sum()} of {len(cells)} work ({works.mean():.1%}), in {time.monotonic() - start:.0f} s")
    sys.exit(int(works.mean() < 0.95))


if __name__ == "__main__":
    main()
