"""From the metrics of all runs to tables: on the terminal and in `results.csv`."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from .folder import RunFolder

COLUMNS = {
    "test/pixel_iou_balanced": "IoU balanced",
    "test/pixel_iou_balanced_own": "IoU own labels",
    "test/pixel_iou": "IoU pooled",
    "test/pixel_iou_per_frame": "IoU per frame",
    "test/pixel_f1": "pixel F1",
    "test/pixel_auroc": "pixel AUROC",
    "test/pixel_fpr_real": "FPR real",
    "test/frame_auroc": "frame AUROC",
    "test/frame_accuracy": "frame acc",
    "test/frame_accuracy_always_fake": "always fake",
    "test/frame_eer": "frame EER",
    "test/video_auroc": "video AUROC",
}
"""What is printed; `results.csv` holds every metric."""

WITH_INTERVAL = ("test/pixel_iou_balanced", "test/frame_auroc")
"""What is printed with its 95 % interval; `results.csv` holds those of every metric, as `<metric> low` and `high`."""


CROPS = {
    "masks": "crops from the official masks (oracle)",
    "dlib": "crops by dlib's face detector on the originals",
    "whole": "whole frames",
}
"""What the heading of a table says of the source of its crops."""


def results(runs: Path) -> pd.DataFrame:
    """Reads every `<table>/<row>/seed<n>/metrics*.json` under a folder.

    Returns:
        One row a file: `table`, `row`, `seed`, `test_set` ("" for the table's own), `faces` (source of the crops), then
        the metrics and the ends of their intervals; NaN where a metric is not defined or not measured.
    """
    rows = []
    for path in sorted(runs.glob("*/*/seed*/metrics*.json")):
        table, row, seed = path.parts[-4:-1]
        if not re.fullmatch(r"seed\d+", seed):
            continue
        test_set = path.stem.removeprefix("metrics").removeprefix("-")
        faces = RunFolder(path.parent).noted(f"test-{test_set}" if test_set else "test").get("faces") or {}
        names = {"table": table, "row": row, "seed": int(seed.removeprefix("seed")), "test_set": test_set}
        ends = _intervals(RunFolder(path.parent).file("intervals", test_set, "json"))
        rows.append({**names, "faces": faces.get("source", ""), **json.loads(path.read_text()), **ends})
    return pd.DataFrame(rows, columns=None if rows else ["table", "row", "seed", "test_set", "faces"])


def _intervals(path: Path) -> dict[str, float]:
    """Ends of the intervals of a test, if they are there: `<metric> low` and `<metric> high`."""
    found = json.loads(path.read_text())["intervals"] if path.is_file() else {}
    defined = {key: pair for key, pair in found.items() if pair}
    return {
        f"{key} {end}": value for key, pair in defined.items() for end, value in zip(("low", "high"), pair, strict=True)
    }


def readable(table: pd.DataFrame, reference: pd.DataFrame | None = None) -> str:
    """One table as text, a line a row, the best last.

    Args:
        table: Rows of `results`.
        reference: Published figures: `row`, `metric`, `value`, `source`; each source stands beside those measured.
    """
    names = [name for name in COLUMNS if name in table]
    order = table.sort_values(names[:1], na_position="first", kind="stable")
    shown = order[names].rename(columns=COLUMNS)
    for key in WITH_INTERVAL:
        if f"{key} low" in order:
            text = order[f"{key} low"].map("{:.2f} to ".format) + order[f"{key} high"].map("{:.2f}".format)
            text = text.where(order[f"{key} low"].notna())
            shown.insert(shown.columns.get_loc(COLUMNS[key]) + 1, f"{COLUMNS[key]} 95 %", text)
    for (metric, source), figures in reference.groupby(["metric", "source"]) if reference is not None else ():
        published = order["row"].map(figures.set_index("row")["value"]).where(order["test_set"] == "")
        shown[f"{COLUMNS.get(metric, metric)} in {source}"] = published.to_numpy()
    labels = order["row"] + order["test_set"].map(lambda name: f" on {name}" if name else "")
    labels += order["seed"].map(lambda seed: f" (seed {seed})" if seed else "")
    return str(shown.set_axis(labels.tolist(), axis=0).to_string(float_format="{:.3f}".format, na_rep="-"))


def published(table: str) -> pd.DataFrame | None:
    """Figures of `<table>/reference.csv` beside this file, if there are any."""
    path = Path(__file__).with_name(table) / "reference.csv"
    return pd.read_csv(path) if path.is_file() else None


def collect(arguments: Sequence[str]) -> None:
    """Prints the tables and writes `results.csv`.

    Args:
        arguments: Folder of runs (default `runs`) and, optionally, `--table NAME`.

    Raises:
        FileNotFoundError: There is no result.
    """
    parser = argparse.ArgumentParser("python -m experiments collect", description="Prints the tables of a runs folder.")
    parser.add_argument("runs", type=Path, nargs="?", default=Path("runs"), help="folder of runs (default runs)")
    parser.add_argument("--table", help="print this one only")
    options = parser.parse_args(arguments)
    found = results(options.runs)
    printed = found[found.table == options.table] if options.table else found
    if printed.empty:
        raise FileNotFoundError(
            f"{options.runs} holds no metrics.json of {options.table or 'any table'}: train and test a row first, "
            "such as make train EXP=demo/segmentation DATA=data/mini"
        )
    for name, table in printed.groupby("table"):
        crops = " and ".join(CROPS.get(source, source) for source in sorted(set(table["faces"]) - {""}))
        print(f"\n{name}{f', {crops}' if crops else ''}\n{readable(table, published(str(name)))}")
    found.to_csv(options.runs / "results.csv", index=False)
    print(f"\nall {len(found)} results with every metric: {options.runs / 'results.csv'}")
