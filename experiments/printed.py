"""Results as tables to read: on the terminal, in Markdown, in LaTeX."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from .runs import over_seeds

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

LOWER = ("test/pixel_fpr_real", "test/frame_eer")
"""What is better when it is lower."""

UNRANKED = ("test/frame_accuracy_always_fake",)
"""What belongs to the data, so that no row is better."""

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


def by_table(found: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Splits rows of `results` into tables: those by number, then ablations, then others."""
    tables = [(str(name), table) for name, table in found.groupby("table")]
    return sorted(tables, key=lambda one: [not one[0].startswith(kind) for kind in ("table-", "ablation-")])


def heading(table: pd.DataFrame, scale: str = "") -> str:
    """What a reader must know before any figure of a table: the source of its crops, and whether it was a quick try.

    Args:
        table: Rows of `results`.
        scale: Of the runs, see `scale_of`.
    """
    crops = " and ".join(CROPS.get(source, source) for source in sorted(set(table["faces"]) - {""}))
    return ", ".join(filter(None, [crops, scale]))


def published(table: str) -> pd.DataFrame | None:
    """Figures of `<table>/reference.csv` beside this file, if there are any."""
    path = Path(__file__).with_name(table) / "reference.csv"
    return pd.read_csv(path) if path.is_file() else None


def labels(summary: pd.DataFrame) -> list[str]:
    """Names of the rows of `over_seeds`, with the test set and the seeds where these are not the usual ones."""
    names = summary["row"] + summary["test_set"].map(lambda name: f" on {name}" if name else "")
    one = summary["seed"].map(lambda seed: f" (seed {seed})" if seed else "")
    return list(names + one.where(summary["seeds"] == 1, summary["seeds"].map(" ({} seeds)".format)))


def same_data(summary: pd.DataFrame) -> pd.Series:
    """Names that are the same for rows of `over_seeds` that were tested on the same data."""
    return summary["data"].where(summary["data"] != "", "tested on " + summary["test_set"])


def best(summary: pd.DataFrame) -> pd.DataFrame:
    """Marks the best figure of each column among the trained rows tested on the same data, where there are several.

    Args:
        summary: Rows of `over_seeds`.

    Returns:
        True or False by row and metric.
    """
    marked = pd.DataFrame(False, index=summary.index, columns=[name for name in COLUMNS if name in summary])
    trained = summary[~summary["row"].str.startswith(BASELINE)]
    for _, rows in trained.groupby(same_data(trained)):
        for name in marked.columns.difference(UNRANKED):
            figures = rows[name].round(3)
            if figures.count() > 1:
                marked.loc[rows.index, name] = figures == (figures.min() if name in LOWER else figures.max())
    return marked


def text(table: pd.DataFrame, reference: pd.DataFrame | None = None) -> str:
    """One table for the terminal, a line a row, the best last.

    Args:
        table: Rows of `results`.
        reference: Published figures: `row`, `metric`, `value`, `source`; each source stands beside those measured.
    """
    summary = ranked(over_seeds(table))
    cells = _cells(summary, reference)
    apart = {name: max(len(name), cells[name].str.len().max()) + 1 for name in cells}  # two spaces between columns
    return str(cells.set_axis(labels(summary), axis=0).to_string(col_space=apart))


def markdown(table: pd.DataFrame, reference: pd.DataFrame | None, title: str) -> str:
    """One table as GitHub's Markdown under a title, the best of each column in bold; arguments as for `text`."""
    summary = ranked(over_seeds(table))
    cells = _cells(summary, reference)
    for name, marked in best(summary).items():
        cells[COLUMNS[str(name)]] = cells[COLUMNS[str(name)]].where(~marked, "**" + cells[COLUMNS[str(name)]] + "**")
    escaped = cells.set_axis(map(_plain, labels(summary)), axis=0).rename(columns=_plain)
    aligned = ["left", *["right"] * len(cells.columns)]
    return f"{_plain(title)}\n\n{escaped.to_markdown(colalign=aligned, disable_numparse=True)}\n"


def latex(table: pd.DataFrame, reference: pd.DataFrame | None, title: str) -> str:
    """One table for LaTeX with booktabs, the best of each column in bold; arguments as for `text`."""
    summary = ranked(over_seeds(table))
    cells = _cells(summary, reference, "$\\pm$")
    names = table["table"].iloc[0]
    marked = best(summary).rename(columns=COLUMNS).reindex(columns=cells.columns, fill_value=False)
    bold = marked.map(lambda is_best: "textbf:--rwrap;" if is_best else "")
    unique = [f"{number}" for number in range(len(cells))]
    style = cells.set_axis(unique, axis=0).style.apply(lambda _: bold.set_axis(unique, axis=0), axis=None)
    style = style.format_index(lambda number: _tex(labels(summary)[int(number)]), axis=0).format_index(_tex, axis=1)
    return str(
        style.to_latex(
            hrules=True,
            column_format="l" + "r" * len(cells.columns),
            caption=_tex(title),
            label=f"tab:{names}",
            position="t",
            position_float="centering",
        )
    )


def ranked(summary: pd.DataFrame) -> pd.DataFrame:
    """Rows of `over_seeds` by the first of the columns, the best last, rows without it first."""
    names = [name for name in COLUMNS if name in summary]
    return summary.sort_values(names[:1], na_position="first", kind="stable").reset_index(drop=True)


def _cells(summary: pd.DataFrame, reference: pd.DataFrame | None, plus_minus: str = "±") -> pd.DataFrame:
    """What is printed of `over_seeds`: figures as text, over several seeds with their standard deviation."""
    shown = {}
    for key, name in COLUMNS.items():
        if key in summary:
            figures, spread = (summary[name].map("{:.3f}".format) for name in (key, f"{key} sd"))
            if key not in UNRANKED:
                figures = figures.where(summary[f"{key} sd"].isna(), figures + f" {plus_minus} " + spread)
            shown[name] = figures.where(summary[key].notna(), "-")
        if key in WITH_INTERVAL and f"{key} low" in summary:
            ends = summary[f"{key} low"].map("{:.2f} to ".format) + summary[f"{key} high"].map("{:.2f}".format)
            shown[f"{name} 95 %"] = ends.where(summary[f"{key} low"].notna(), "-")
    for (metric, source), figures in reference.groupby(["metric", "source"]) if reference is not None else ():
        values = summary["row"].map(figures.set_index("row")["value"]).where(summary["test_set"] == "")
        shown[f"{COLUMNS.get(metric, metric)} in {source}"] = values.map("{:.3f}".format).where(values.notna(), "-")
    return pd.DataFrame(shown, index=summary.index)


def _plain(name: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_<>|\[\]])", r"\\\1", name)


def _tex(name: str) -> str:
    """Text that LaTeX shows as it is."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return re.sub(r"[\\~^&%$#_{}]", lambda found: special.get(found[0], f"\\{found[0]}"), name)
