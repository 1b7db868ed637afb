"""One damaged file costs its own run: it is named, and all else goes on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.cli import main
from experiments.evaluation.result import Result, write_result
from experiments.launch.plan import FAILED
from experiments.launch.request import parser_of, read_request
from experiments.report.results import results
from lightning_modules import OperatingPoint
from lightning_modules.metrics.measurements import BINS

ROW = """
model: {class_path: lightning_modules.ClassificationModule, init_args: {encoder: test_resnet, pretrained: false}}
trainer: {max_epochs: 1}
"""


def half(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def folder(path):
    path.unlink()
    path.mkdir()


DAMAGE = {
    "half": half,
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(bytes(range(128, 256)) * 9),
    "list": lambda path: path.write_text("[1, 2]\n"),
    "number": lambda path: path.write_text("7\n"),
    "nan": lambda path: path.write_text('{"test/frame_auroc": NaN, "fit": {"seconds": -Infinity}}\n'),
    "text": lambda path: path.write_text('{"test/frame_auroc": "high", "fit": "long", "test": [1], "model": 3}\n'),
    "deep": lambda path: path.write_text("[" * 100_000),
    "folder": folder,
}


def result(shift):
    frames = pd.DataFrame({"method": ["original", "Deepfakes"] * 4, "clip": [*"aabbccdd"], "pair": [*"aabbccdd"]})
    score = np.linspace(0.1, 0.9, 8) + shift
    frames = frames.assign(label=[0, 1] * 4, frame=0, score=score, logit=np.log(score / (1 - score)))
    groups = pd.DataFrame({"method": [], "clip": [], "pair": [], "label": []}, dtype=str).astype({"label": int})
    return Result(frames, groups, np.zeros((0, 2, BINS), np.int64), OperatingPoint())


def words(command, base, *names):
    where = ["--tables", str(base / "tables"), "--runs", str(base / "runs")]
    return [command, *names, *where, "--", "--data.init_args.root=nowhere"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Three rows that are trained and tested, as far as their files tell."""
    base = tmp_path_factory.mktemp("whole")
    (base / "tables" / "small").mkdir(parents=True)
    shutil.copy("experiments/tables/base.yaml", base / "tables" / "base.yaml")
    for number, row in enumerate("abc"):
        (base / "tables" / "small" / f"{row}.yaml").write_text(
            f"{ROW.rstrip()[:-1]}, log_every_n_steps: {number + 1}}}\n"
        )
    _, wanted = read_request(parser_of("plan", ""), words("plan", base, "small")[1:])
    for number, job in enumerate(wanted.jobs):
        run = job.folder(base / "runs")
        run.keep_config(job.config)
        run.best.parent.mkdir()
        run.best.touch()
        run.note("fit", {"seconds": 5.0, "selected_by": "val/frame_auroc"})
        point = {"pixel_threshold": 0.5, "frame_threshold": 0.5, "video_threshold": 0.5, "decision": ""}
        run.note("test", {"seconds": 1.0, "operating_point": point, "index": "x", "frames": 8})
        write_result(result(number / 100), run, None)
        (run.path / "wandb.json").write_text(json.dumps({"id": "abc", "tests": {}}))
        (run.path / "intervals.json").write_text(json.dumps({"intervals": {"test/frame_auroc": [0.5, 1.0]}}))
        (run.path / "logs" / "version_0").mkdir(parents=True)
        (run.path / "logs" / "version_0" / "metrics.csv").write_text("epoch,step,train/loss\n0,1,0.5\n0,2,0.4\n")
        (run.path / "overlays").mkdir()
        run.metrics(None).write_text(json.dumps({"test/frame_auroc": 0.75 + number / 100}))
    return base


@pytest.fixture
def base(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "base", symlinks=True)
    return tmp_path / "base"


def told(capsys, name):
    """The lines on stderr that name a file; no other errors are there."""
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return [line for line in printed.err.splitlines() if name in line], printed.out


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["metrics.json", "intervals.json", "provenance.json"])
def test_collect_leaves_a_damaged_test_out_names_it_and_writes_the_rest(base, capsys, name, damage):
    DAMAGE[damage](base / "runs/small/b/seed0" / name)
    with pytest.raises(SystemExit) as ended:
        main(["collect", str(base / "runs")])
    assert ended.value.code == 1
    lines, out = told(capsys, str(base / "runs/small/b/seed0" / name))
    assert len(lines) == 1
    assert lines[0].startswith("left out: ")
    assert "put back a sound copy, or" in lines[0]
    assert len(lines[0]) < 600
    assert pd.read_csv(base / "runs/results.csv")["row"].tolist() == ["a", "c"]
    assert "0.750" in out
    assert "0.770" in out
    assert (base / "runs/index.html").is_file()


@pytest.mark.parametrize("damage", ["half", "empty", "garbage", "folder"])
@pytest.mark.parametrize("name", ["frames.parquet", "histograms.npz", "logs/version_0/metrics.csv"])
def test_what_the_page_cannot_draw_is_named_and_the_metrics_stay(base, capsys, name, damage):
    path = base / "runs/small/b/seed0" / name
    if (name, damage) in (("logs/version_0/metrics.csv", "half"), ("logs/version_0/metrics.csv", "empty")):
        path.write_text("epoch,step,train/loss\n0,x,y\n")  # else it is one that was killed early
    else:
        DAMAGE[damage](path)
    if name == "frames.parquet" and damage == "folder":
        pytest.skip("no test at all, as far as the page knows")
    with pytest.raises(SystemExit) as ended:
        main(["collect", str(base / "runs")])
    assert ended.value.code == 1
    assert len(told(capsys, str(path))[0]) == 1
    assert pd.read_csv(base / "runs/results.csv")["row"].tolist() == ["a", "b", "c"]


def test_of_several_tests_the_damaged_one_is_left_out(base, capsys):
    (base / "runs/small/b/seed0/metrics-c40.json").write_text('{"test/frame_auroc": 0.')
    with pytest.raises(SystemExit):
        main(["collect", str(base / "runs")])
    assert len(told(capsys, "metrics-c40.json")[0]) == 1
    assert pd.read_csv(base / "runs/results.csv")["row"].tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"metrics-c40\.json is damaged, or another program's .*: put back"):
        results(base / "runs")


def test_where_all_are_damaged_that_is_what_is_said(base, capsys):
    for path in (base / "runs").glob("*/*/*/metrics.json"):
        half(path)
    with pytest.raises(SystemExit) as ended:
        main(["collect", str(base / "runs")])
    assert ended.value.code == 2
    assert len(told(capsys, "metrics.json is damaged")[0]) == 3


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["config.yaml", "provenance.json"])
def test_plan_and_run_name_a_damaged_row_and_leave_it_as_it_is(base, capsys, name, damage):
    path = base / "runs/small/b/seed0" / name
    DAMAGE[damage](path)
    before = sorted((base / "runs").rglob("*"))
    with pytest.raises(SystemExit) as ended:
        main(words("plan", base, "small"))
    assert ended.value.code == 1
    lines, out = told(capsys, str(path))
    assert "3 rows, 2 of them done" in out
    assert f"damaged                 {path} is damaged" in out
    assert sorted((base / "runs").rglob("*")) == before
    with pytest.raises(SystemExit) as ended:
        main(words("run", base, "small"))
    assert ended.value.code == 1
    lines, out = told(capsys, f"small/b seed0: {path} is damaged")
    assert len(lines) == 1
    assert [one for one in sorted((base / "runs").rglob("*")) if one not in before] == [path.with_name(FAILED)]
    main(words("run", base, "small/a"))  # which it is not
    assert len(told(capsys, f"left out: {path} is damaged")[0]) == 1


def test_what_others_leave_in_a_folder_ends_no_run(base, capsys):
    run = base / "runs/small/b/seed0"
    (run / FAILED).write_bytes(bytes(range(128, 256)))
    (base / "runs/small/c/seed0" / FAILED).mkdir()
    half(run / "wandb.json")
    run.joinpath("metrics.json").unlink()
    main(words("plan", base, "small"))
    assert "failed" in told(capsys, "b")[1]
    (base / "runs/small/c/seed0/metrics.json").unlink()
    with pytest.raises(SystemExit) as ended:
        main(words("run", base, "small/c"))
    assert ended.value.code == 1
    assert any(FAILED in line for line in told(capsys, "small/c seed0: ")[0])


def test_a_configuration_by_which_nothing_was_learnt_is_written_anew(base, capsys):
    run = base / "runs/small/b/seed0"
    shutil.rmtree(run / "checkpoints")
    (run / "provenance.json").unlink()
    half(run / "config.yaml")
    main(words("plan", base, "small"))
    assert "missing" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["half", "empty", "garbage", "folder", "list"])
@pytest.mark.parametrize("name", ["frames.parquet", "histograms.npz", "provenance.json"])
def test_compare_names_the_damaged_file(base, capsys, name, damage):
    both = [str(base / "runs/small" / row / "seed0") for row in "ab"]
    DAMAGE[damage](Path(both[1], name))
    with pytest.raises(SystemExit) as ended:
        main(["compare", *both, "--replicates", "5"])
    assert ended.value.code == 2
    lines, _ = told(capsys, str(Path(both[1], name)))
    assert len(lines) == 1
    assert lines[0].startswith("error: ")


def test_a_parquet_file_of_something_else_is_named(base, capsys):
    both = [str(base / "runs/small" / row / "seed0") for row in "ab"]
    pd.DataFrame({"x": [1]}).to_parquet(Path(both[1], "frames.parquet"))
    with pytest.raises(SystemExit):
        main(["compare", *both])
    assert len(told(capsys, str(Path(both[1], "frames.parquet")))[0]) == 1


def test_what_json_has_no_words_for_is_written_as_null(whole, tmp_path):
    from experiments.runs.folder import RunFolder

    RunFolder(tmp_path).note("fit", {"selected_at": float("-inf"), "all": [float("nan"), 1.5]})
    assert RunFolder(tmp_path).read_provenance("fit") == {"selected_at": None, "all": [None, 1.5]}
