"""What tables of results show, what is better, and what is said of a table."""

from __future__ import annotations

import pandas as pd

from ..config.rows import TABLES

METRIC_COLUMNS = {
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

LOWER_IS_BETTER = ("test/pixel_fpr_real", "test/frame_eer")
"""What is better when it is lower."""

UNRANKED = ("test/frame_accuracy_always_fake",)
"""What belongs to the data, so that no row is better."""

OWN_LABELS = "test/pixel_iou_balanced_own"
"""Measured by what each row calls forged, so that rows of other labels cannot be compared by it."""

BASELINE = "baseline-"
"""What names of rows begin with that stand beside the trained ones."""

CROPS = {
    "masks": "crops from the official masks (oracle)",
    "dlib": "crops by dlib's face detector on the originals",
    "whole": "whole frames",
}
"""What the heading of a table says of the source of its crops."""

QUESTIONS = {
    "table-0": "Is the harness sound?",
    "table-1": "Which pairing of encoder and decoder localises best?",
    "table-2": "Does the pixel view detect better?",
    "table-3": "What do features of a classifier know of pixels, and those of a segmenter of frames?",
    "table-4": "How far does a model go on other compressions than its own?",
    "table-5": "How far does a model go on manipulations it has not seen?",
    "ablation-pretraining": "What is a start from ImageNet, from nothing or from self-blended fakes worth?",
    "ablation-output-stride": "How fine must the encoder's last map be?",
    "ablation-resolution": "How many pixels does a crop need?",
    "ablation-labels": "Forged or not, or forged by which method?",
    "ablation-masks": "What should count as forged in training?",
    "ablation-loss": "Which loss teaches pixels best?",
    "ablation-crop": "How much around the face should a crop show?",
    "ablation-frames": "How many frames of a clip are worth reading?",
    "ablation-decision": "Which rule makes a frame's score of a mask?",
    "ablation-efficiency": "How much accuracy does a GFLOP buy?",
    "demo": "Does the machine work?",
}


def split_by_table(found: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Splits rows of `results` into tables: those by number, then ablations, then others."""
    tables = [(str(name), table) for name, table in found.groupby("table")]
    return sorted(tables, key=lambda one: [not one[0].startswith(kind) for kind in ("table-", "ablation-")])


def heading(table: pd.DataFrame, scale: str = "") -> str:
    """What a reader must know before any metric of a table: the source of its crops, and whether it was a quick try.

    Args:
        table: Rows of `results`.
        scale: Of the runs, see `scale_of`.
    """
    crops = " and ".join(CROPS.get(source, source) for source in sorted(set(table["faces"]) - {""}))
    return ", ".join(filter(None, [crops, scale]))


def title(name: str, facts: str) -> str:
    """What stands above a table in a text: its name, question and heading."""
    sentence = f"{facts[0].upper()}{facts[1:]}." if facts else ""
    return " ".join(filter(None, [f"{name}.", QUESTIONS.get(name), sentence]))


def read_published(table: str) -> pd.DataFrame | None:
    """Metrics of `<table>/reference.csv` beside the rows, if there are any."""
    path = TABLES / table / "reference.csv"
    return pd.read_csv(path) if path.is_file() else None


def group_by_data(summary: pd.DataFrame) -> pd.Series:
    """Names that are the same for rows of `summarise_seeds` that were tested on the same data."""
    return summary["data"].where(summary["data"] != "", "tested on " + summary["test_set"])


def measured_columns(summary: pd.DataFrame) -> list[str]:
    """Those of `COST_COLUMNS` that any row has."""
    return [name for name in METRIC_COLUMNS if name in summary and summary[name].notna().any()]


def mark_best(summary: pd.DataFrame) -> pd.DataFrame:
    """Marks the best metric of each column among the trained rows tested on the same data, where there are several.

    Args:
        summary: Rows of `summarise_seeds`.

    Returns:
        True or False by row and metric.
    """
    marked = pd.DataFrame(False, index=summary.index, columns=measured_columns(summary))
    trained = summary[~summary["row"].str.startswith(BASELINE)]
    for _, rows in trained.groupby(group_by_data(trained)):
        for name in marked.columns.difference([*UNRANKED, OWN_LABELS]):
            metrics = rows[name].round(3)
            if rows.loc[metrics.notna(), "row"].nunique() > 1:
                marked.loc[rows.index, name] = metrics == (metrics.min() if name in LOWER_IS_BETTER else metrics.max())
    return marked
