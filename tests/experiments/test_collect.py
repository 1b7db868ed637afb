"""Results of all runs become one table."""

import json

import pandas as pd
import pytest

from experiments.cli import main
from experiments.report.columns import mark_best, read_published
from experiments.report.formats import latex, markdown, text
from experiments.report.results import results, summarise_seeds, timings
from experiments.runs.folder import RunFolder
from experiments.runs.share import link


@pytest.fixture
def runs(tmp_path):
    for row, seed, name, iou in [("b", 0, "metrics", 0.5), ("a", 1, "metrics", 0.25), ("a", 1, "metrics-c40", None)]:
        folder = tmp_path / "runs" / "table-9" / row / f"seed{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps({"test/pixel_iou": iou, "test/loss": 1.0}))
    return tmp_path / "runs"


def test_every_metrics_file_is_a_row(runs):
    found = results(runs)
    assert found[["table", "row", "seed", "test_set"]].values.tolist() == [
        ["table-9", "a", 1, ""],
        ["table-9", "a", 1, "c40"],
        ["table-9", "b", 0, ""],
    ]
    assert found["test/pixel_iou"].isna().tolist() == [False, True, False]


def test_table_is_printed_and_written(runs, capsys):
    main(["collect", str(runs), "--table", "table-9"])
    printed = capsys.readouterr().out
    assert printed.index("a on c40 (seed 1)") < printed.index("0.250") < printed.index("0.500")
    assert len(pd.read_csv(runs / "results.csv")) == 3


def test_an_interval_stands_beside_its_metric(runs, capsys):
    folder = runs / "table-9" / "b" / "seed0"
    (folder / "metrics.json").write_text(json.dumps({"test/frame_auroc": 0.8, "test/frame_eer": None}))
    ends = {"level": 0.95, "intervals": {"test/frame_auroc": [0.7, 0.875], "test/frame_eer": None}}
    (folder / "intervals.json").write_text(json.dumps(ends))
    main(["collect", str(runs)])
    printed = capsys.readouterr().out
    assert "frame AUROC 95 %" in printed
    assert "0.70 to 0.88" in printed
    table = pd.read_csv(runs / "results.csv").set_index("row")
    assert table.loc["b", "test/frame_auroc high"] == 0.875


def test_a_folder_of_ones_own_beside_the_seeds_is_left_alone(runs):
    (runs / "table-9" / "a" / "seed1-old").mkdir()
    (runs / "table-9" / "a" / "seed1-old" / "metrics.json").write_text("{}")
    assert len(results(runs)) == 3


def test_heading_says_whose_crops_they_are(runs, capsys):
    RunFolder(runs / "table-9" / "b" / "seed0").note("test", {"faces": {"source": "masks"}})
    main(["collect", str(runs)])
    assert "table-9, crops from the official masks (oracle)" in capsys.readouterr().out


def test_two_sources_of_one_metric_stand_side_by_side():
    measured = pd.DataFrame([{"row": "a", "seed": 0, "test_set": "", "test/frame_accuracy": 0.9}])
    metric = {"row": "a", "metric": "test/frame_accuracy", "value": 0.8}
    shown = text(measured, pd.DataFrame([{**metric, "source": "book 1"}, {**metric, "source": "book 2"}]))
    assert "frame acc in book 1  frame acc in book 2" in shown


def test_no_result_is_a_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["collect", str(tmp_path)])
    assert "train and test a row first" in capsys.readouterr().err


def test_published_metrics_stand_beside_those_measured():
    measured = pd.DataFrame([{"row": "deepfakes", "seed": 0, "test_set": "", "test/frame_accuracy": 0.9}])
    shown = text(measured, read_published("table-0"))
    assert "frame acc in FaceForensics++" in shown
    assert shown.splitlines()[1].split() == ["deepfakes", "0.900", "0.989"]
    assert set(read_published("table-0")["source"].str.contains("FaceForensics")) == {True}
    assert read_published("table-1") is None


def measure(runs, row, seed, name="metrics", **metrics):
    folder = runs / "table-9" / row / f"seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    metrics = {f"test/{key}": value for key, value in metrics.items()}
    (folder / f"{name}.json").write_text(json.dumps(metrics))
    return RunFolder(folder)


def test_seeds_become_mean_and_deviation_and_the_csv_keeps_each(tmp_path, capsys):
    for seed, iou in enumerate([0.5, 0.6, 0.7]):
        measure(tmp_path, "several", seed, pixel_iou_balanced=iou, frame_auroc=0.9 if seed else None)
    measure(tmp_path, "one", 0, pixel_iou_balanced=0.55, frame_auroc=0.8)
    summary = summarise_seeds(results(tmp_path)).set_index("row")
    assert summary.loc["several", "seeds"] == 3
    assert summary.loc["several", "test/pixel_iou_balanced sd"] == pytest.approx(0.1)
    assert summary["test/frame_auroc"].isna().to_dict() == {"one": False, "several": True}  # not defined for every seed
    main(["collect", str(tmp_path)])
    assert [line.split() for line in capsys.readouterr().out.splitlines()[3:5]] == [
        ["one", "0.550", "0.800"],
        ["several", "(3", "seeds)", "0.600", "±", "0.100", "-"],
    ]
    assert pd.read_csv(tmp_path / "results.csv")["seed"].tolist() == [0, 0, 1, 2]


def test_rows_and_seeds_are_sorted_by_name_and_number(tmp_path):
    for row, seed in [("b", 10), ("b", 9), ("a", 0)]:
        measure(tmp_path, row, seed, pixel_iou=0.5)
    assert results(tmp_path)[["row", "seed"]].values.tolist() == [["a", 0], ["b", 9], ["b", 10]]


def test_a_row_that_shares_a_run_is_filled(tmp_path):
    first = measure(tmp_path, "first", 0, pixel_iou=0.5)
    first.note("fit", {"seconds": 7.5, "device": "cpu"})
    first.config.write_text("{}")
    link(first.path, RunFolder(tmp_path / "ablation-9" / "second" / "seed0"))
    assert results(tmp_path)[["table", "row", "test/pixel_iou"]].values.tolist() == [
        ["ablation-9", "second", 0.5],
        ["table-9", "first", 0.5],
    ]
    assert timings(tmp_path)["run"].tolist() == ["table-9/first/seed0"] * 2


def test_timings_are_apart_from_results_which_stay_the_same_to_the_byte(tmp_path):
    folder = measure(tmp_path, "a", 0, pixel_iou=0.5)
    folder.note("fit", {"seconds": 60.5, "device": "cpu", "processes": 1, "epochs": 3, "steps": 90})
    folder.note("test", {"seconds": 5.0, "device": "cpu", "processes": 1, "frames": 8})
    main(["collect", str(tmp_path)])
    before = [(tmp_path / name).read_bytes() for name in ("results.csv", "timings.csv")]
    folder.note("fit", {"seconds": 61.5, "device": "cuda:0", "processes": 2, "epochs": 3, "steps": 90})
    main(["collect", str(tmp_path)])
    assert (tmp_path / "results.csv").read_bytes() == before[0]
    assert (tmp_path / "timings.csv").read_bytes() != before[1]
    table = pd.read_csv(tmp_path / "timings.csv")
    assert table[["stage", "seconds", "device"]].values.tolist() == [["fit", 61.5, "cuda:0"], ["test", 5.0, "cpu"]]


def test_a_quick_try_says_so_in_every_heading(tmp_path, capsys):
    measure(tmp_path / "quick", "a", 0, pixel_iou=0.5)
    (tmp_path / "quick" / "heading.txt").write_text("quick try, no benchmark\n")
    main(["collect", str(tmp_path / "quick")])
    assert "quick try, no benchmark" in capsys.readouterr().out
    for name in ("tables/table-9.md", "tables/table-9.tex", "index.html"):
        assert "quick try, no benchmark" in (tmp_path / "quick" / name).read_text().lower()


def test_the_best_trained_row_is_marked_among_those_tested_on_the_same_data(tmp_path):
    unranked = {"frame_accuracy_always_fake": 0.8}
    measure(tmp_path, "a", 0, pixel_iou=0.5, pixel_fpr_real=0.1, pixel_iou_balanced_own=0.7, **unranked)
    measure(tmp_path, "b", 0, pixel_iou=0.6, pixel_fpr_real=0.2, pixel_iou_balanced_own=0.6, **unranked)
    measure(tmp_path, "baseline-all-fake", 0, pixel_iou=0.9, pixel_fpr_real=1.0, frame_accuracy_always_fake=0.8)
    measure(tmp_path, "a", 0, "metrics-c40", pixel_iou=0.4)
    summary = summarise_seeds(results(tmp_path))
    marked = mark_best(summary)
    found = {name: summary.loc[marked[name], "row"].tolist() for name in marked}
    assert {name: rows for name, rows in found.items() if rows} == {
        "test/pixel_iou": ["b"],
        "test/pixel_fpr_real": ["a"],
    }
    assert {"test/frame_accuracy_always_fake", "test/pixel_iou_balanced_own"} <= found.keys()


def test_what_was_not_measured_in_a_table_has_no_column_there(tmp_path, capsys):
    measure(tmp_path, "a", 0, frame_auroc=0.5)
    other = tmp_path / "table-8" / "b" / "seed0"
    other.mkdir(parents=True)
    (other / "metrics.json").write_text(json.dumps({"test/pixel_iou": 0.5}))
    main(["collect", str(tmp_path), "--table", "table-9"])
    assert "IoU" not in capsys.readouterr().out
    assert (tmp_path / "tables" / "table-8.md").read_text().startswith("table-8.\n\n|  | IoU pooled |")


def test_markdown_and_latex_hold_the_metrics_and_escape_names(tmp_path):
    measure(tmp_path, "deep_lab|v3 & 50%", 0, pixel_iou_balanced=0.5)
    measure(tmp_path, "deep_lab|v3 & 50%", 1, pixel_iou_balanced=0.75)
    measure(tmp_path, "other", 0, pixel_iou_balanced=0.25)
    table = results(tmp_path)
    lines = markdown(table, None, "table-9: what? crops_x").splitlines()
    assert lines[0] == r"table-9: what? crops\_x"
    assert [part.strip() for part in lines[-1].split(" | ")] == [
        r"| deep\_lab\|v3 & 50% (2 seeds)",
        "**0.625 ± 0.177** |",
    ]
    written = latex(table, None, "95 % of table_9")
    for part in (r"\toprule", r"\caption{95 \% of table\_9}", r"\label{tab:table-9}", "IoU balanced"):
        assert part in written
    assert r"deep\_lab|v3 \& 50\% (2 seeds) & \textbf{0.625 $\pm$ 0.177} \\" in written
