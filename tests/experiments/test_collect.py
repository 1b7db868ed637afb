"""Results of all runs become one table."""

import json

import pandas as pd
import pytest

from experiments.cli import main
from experiments.collect import published, readable, results
from experiments.folder import RunFolder


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
        ["table-9", "a", 1, "c40"],
        ["table-9", "a", 1, ""],
        ["table-9", "b", 0, ""],
    ]
    assert found["test/pixel_iou"].isna().tolist() == [True, False, False]


def test_table_is_printed_and_written(runs, capsys):
    main(["collect", str(runs), "--table", "table-9"])
    printed = capsys.readouterr().out
    assert printed.index("a on c40 (seed 1)") < printed.index("0.250") < printed.index("0.500")
    assert len(pd.read_csv(runs / "results.csv")) == 3


def test_an_interval_stands_beside_its_figure(runs, capsys):
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


def test_two_sources_of_one_figure_stand_side_by_side():
    measured = pd.DataFrame([{"row": "a", "seed": 0, "test_set": "", "test/frame_accuracy": 0.9}])
    figure = {"row": "a", "metric": "test/frame_accuracy", "value": 0.8}
    text = readable(measured, pd.DataFrame([{**figure, "source": "book 1"}, {**figure, "source": "book 2"}]))
    assert "frame acc in book 1  frame acc in book 2" in text


def test_no_result_is_a_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["collect", str(tmp_path)])
    assert "train and test a row first" in capsys.readouterr().err


def test_published_figures_stand_beside_those_measured():
    measured = pd.DataFrame([{"row": "deepfakes", "seed": 0, "test_set": "", "test/frame_accuracy": 0.9}])
    text = readable(measured, published("table-0"))
    assert "frame acc in FaceForensics++" in text
    assert text.splitlines()[1].split() == ["deepfakes", "0.900", "0.989"]
    assert set(published("table-0")["source"].str.contains("FaceForensics")) == {True}
    assert published("table-1") is None
