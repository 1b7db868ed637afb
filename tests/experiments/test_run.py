"""A small table of real trainings: run whole, killed and run again, with a row that fails and one that changes."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from experiments.cli import main
from experiments.config.layers import add_table_base
from experiments.launch.baselines import baseline_steps
from experiments.launch.plan import plan_jobs
from experiments.launch.request import parser_of, read_request
from experiments.training.baseline_folders import BASELINES
from tests.experiments.forks import program

ROWS = {
    "_base": "model: {init_args: {encoder: test_resnet, decoder: fcn, pretrained: false, warmup_steps: 2}}\n"
    "data: {init_args: {size: 64, frames_per_clip: 2, eval_frames_per_clip: 2, batch_size: 4, num_workers: 0}}\n"
    "trainer: {max_epochs: 2}\ntests:\n  few: {data: {init_args: {eval_frames_per_clip: '1'}}}\n  own: {data: {}}\n",
    "a": "{}",
    "b": "encoder_from: small/a\nmodel: {init_args: {frozen_epochs: all}}",
    "c": "{}",
    "d": "checkpoint_from: small/c\nmodel: {init_args: {decision: max}}",
}
TRAINED, EVERY = ("a", "b"), ("a", "b", "c", "d")


def write(folder, rows):
    (folder / "small").mkdir(parents=True, exist_ok=True)
    (folder / "base.yaml").write_text(Path("experiments/tables/base.yaml").read_text())
    for name, text in rows.items():
        (folder / "small" / f"{name}.yaml").write_text(text + "\n")


def words(command, tables, runs, tree, *names, options=()):
    what = [*(names or ["small"]), "--tables", str(tables), "--runs", str(runs)]
    return [command, *what, *options, "--", f"--data.init_args.root={tree}"]


@contextmanager
def rows_in_forks():
    """In this block rows and baselines are forks of a process that has imported all; in no other test are they."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("command", "baselines"):
            patch.setattr(f"experiments.launch.{module}.PROGRAM", program())
        yield


@pytest.fixture(scope="module")
def finished(tree, tmp_path_factory):
    """Tables, and the runs of an undisturbed start."""
    folder = tmp_path_factory.mktemp("finished")
    write(folder / "tables", ROWS)
    with rows_in_forks():
        main(words("run", folder / "tables", folder / "runs", tree, options=["--jobs", "2"]))
    main(["collect", str(folder / "runs")])
    return folder


def table(runs):
    return pd.read_csv(runs / "results.csv")


def test_every_row_is_filled_and_trained_once(finished):
    runs = finished / "runs" / "small"
    found = table(finished / "runs")
    rows = found[~found.row.str.startswith("baseline")]
    assert sorted(zip(rows.row, rows.test_set.fillna(""), strict=True)) == sorted(
        (row, name) for row in EVERY for name in ("", "few", "own")
    )
    assert set(found.row) == {*EVERY, *BASELINES}
    assert [name for name in EVERY if not (runs / name / "seed0" / "config.yaml").is_symlink()] == ["a", "b", "d"]
    assert rows[rows.row == "a"].iloc[:, 4:].equals(rows[rows.row == "a"].iloc[:, 4:])
    few = rows.set_index(["row", rows.test_set.fillna("")])["test/pixel_auroc"]
    assert few["a", "few"] == few["c", "few"] != few["a", ""]
    assert few["a", "own"] == few["a", ""]
    looks = json.loads((runs / "a" / "seed0" / "provenance.json").read_text())["test_evaluations"]
    assert looks == {"test": 1, "few": 1}  # the one that is the row's own is no look of its own


def test_a_row_starts_from_the_one_it_needs(finished):
    runs = finished / "runs" / "small"
    log = (runs / "b" / "seed0" / "log.txt").read_text()
    assert f"encoder 'test_resnet' from {runs / 'a/seed0/checkpoints/best.ckpt'}" in log
    fit = json.loads((runs / "d" / "seed0" / "provenance.json").read_text())
    assert fit["fit"]["checkpoint"].endswith("small/c/seed0/checkpoints/best.ckpt")
    assert fit["test"]["operating_point"]["decision"] == "max"
    other = json.loads((runs / "c" / "seed0" / "provenance.json").read_text())
    assert other["test"]["operating_point"]["frame_threshold"] != fit["test"]["operating_point"]["frame_threshold"]


def test_what_is_done_is_left_alone(finished, tree, capsys):
    files = [path for path in (finished / "runs").rglob("*") if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in files}
    started = time.monotonic()
    main(words("run", finished / "tables", finished / "runs", tree))
    assert time.monotonic() - started < 5
    assert {path: path.stat().st_mtime_ns for path in files} == before
    main(words("plan", finished / "tables", finished / "runs", tree))
    printed = capsys.readouterr().out
    assert "4 rows, 4 of them done; 2 distinct trainings, 0 still to be done" in printed
    assert "shares small/a/seed0" in printed


def planned(finished, root, runs=None, *options):
    """What a plan says of every row, and what is left to be done of the baselines."""
    _, wanted = read_request(
        parser_of("plan", ""), [*words("plan", finished / "tables", runs or finished / "runs", root)[1:], *options]
    )
    return plan_jobs(wanted.jobs, wanted.runs), baseline_steps(wanted.jobs, wanted.runs, wanted.options)


def states(*asked):
    return {(one.state, one.why) for one in planned(*asked)[0]}


def test_what_is_done_stays_done_wherever_its_data_lie(finished, tree, tmp_path, monkeypatch):
    moved = shutil.copytree(tree, tmp_path / "moved")
    for path in moved.rglob("*.mp4"):
        os.utime(path, (1, 1))
    (tmp_path / "link").symlink_to(moved)
    monkeypatch.chdir(tmp_path)
    for root in (f"{tree}/", moved, tmp_path / "link", "moved", "./link/../moved/"):
        found, baselines = planned(finished, root)
        assert {(one.state, one.why) for one in found} == {("done", "")}, root
        assert not baselines, root
    main(words("run", finished / "tables", finished / "runs", "moved"))
    assert not list(finished.rglob("*stale*"))
    assert states(finished, moved, None, f"--data.init_args.splits={moved / 'splits'}") == {("done", "")}


def change(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_one_changed_file_makes_rows_stale_and_is_named(split, finished, own_tree, tmp_path, capsys):
    first = json.loads((own_tree / "splits" / f"{split}.json").read_text())[0][0]
    path = change(next((own_tree / "manipulated_sequences/Face2Face/c23/videos").glob(f"{first}_*.mp4")))
    why = f"1 clip changed, first {path.relative_to(own_tree)}"
    found, baselines = planned(finished, own_tree)
    assert {one.state for one in found} == {"stale"}
    assert all(one.why.startswith(why) for one in found)
    assert baselines
    main(words("plan", finished / "tables", finished / "runs", own_tree))
    assert why in capsys.readouterr().out
    if split == "test":  # the checkpoint stands, its metrics do not
        return
    runs = shutil.copytree(finished / "runs", tmp_path / "runs", symlinks=True)
    row = ["-c", str(finished / "tables/base.yaml"), "-c", str(finished / "tables/small/a.yaml")]
    to = [f"--data.init_args.root={own_tree}", f"--trainer.default_root_dir={runs / 'small/a/seed0'}"]
    with pytest.raises(SystemExit) as ended:
        main(["test", *add_table_base([*row, *to])])
    assert ended.value.code
    assert f"learnt by other data than there are now ({why})" in capsys.readouterr().err


def test_a_file_that_is_gone_is_named(finished, own_tree):
    gone = next((own_tree / "manipulated_sequences/FaceSwap/c23/videos").glob("*.mp4"))
    gone.rename(gone.with_name("away"))
    why = f"1 clip gone, first {gone.relative_to(own_tree)}"
    found = states(finished, own_tree)
    assert found
    assert all(state == "stale" and why in reason for state, reason in found)


def test_where_data_are_not_to_be_had_settings_alone_are_compared(finished, tmp_path, capsys):
    assert states(finished, tmp_path / "nowhere") == {("done", "")}
    main(words("plan", finished / "tables", finished / "runs", tmp_path / "nowhere"))
    said = capsys.readouterr().err.splitlines()
    assert len([line for line in said if "their settings alone are: " in line and "nowhere" in line]) == 1
    found, _ = planned(finished, tmp_path / "nowhere", tmp_path / "runs")
    assert {one.state for one in found} == {"missing"}


def test_what_another_row_has_trained_is_not_shared_by_one_of_other_data(finished, own_tree, tmp_path):
    change(next((own_tree / "original_sequences/youtube/c23/videos").glob("*.mp4")))
    rows = {**ROWS, "c": f"data: {{init_args: {{root: {own_tree}}}}}"}
    write(tmp_path / "tables", rows)
    for root, homes in ((own_tree, {"a"}), (tmp_path / "nowhere", set())):
        lines = ["plan", "small/a", "small/c", "--tables", str(tmp_path / "tables"), "--runs", str(tmp_path / "runs")]
        write(tmp_path / "tables", {"a": f"data: {{init_args: {{root: {root}}}}}"})
        _, wanted = read_request(parser_of("plan", ""), lines[1:])
        assert {one.home.parts[-2] for one in plan_jobs(wanted.jobs, wanted.runs) if one.home} == homes


def test_runs_that_kept_no_table_of_their_data_are_known_by_where_their_data_lay(finished, tree, tmp_path):
    runs = shutil.copytree(finished / "runs", tmp_path / "runs", symlinks=True)
    for path in runs.glob("*/*/seed0/data*.parquet"):
        path.unlink()
    assert states(finished, tree, runs) == {("done", "")}
    moved = shutil.copytree(tree, tmp_path / "moved")
    assert all(
        state == "stale" and f"root was {tree}, is {moved}" in why for state, why in states(finished, moved, runs)
    )


def start(tables, runs, tree):
    command = [*program(), *words("run", tables, runs, tree)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def wait_for(path, process, seconds=400):
    until = time.monotonic() + seconds
    while not path.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    assert path.exists()


def rows_at_work(runs):
    """Processes that were started for rows under a folder of runs."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(runs) in line and "\0row\0" in line:
                yield int(entry.name)


def kill(process, runs, who):
    """Kills the runner, the row at work, or both, without a warning."""
    if who in ("runner", "both"):
        process.kill()
    for row in list(rows_at_work(runs)) if who in ("row", "both") else []:
        os.kill(row, signal.SIGKILL)
    process.wait(300)


MOMENTS = [
    ("a/seed0/checkpoints/last.ckpt", "row"),
    ("a/seed0/frames.parquet", "both"),
    ("b/seed0/checkpoints/best.ckpt", "runner"),
]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")
def test_killed_at_any_moment_and_run_again_it_gives_the_same_table(finished, tree, tmp_path):
    runs = tmp_path / "runs"
    chance = random.Random(0)
    for moment, who in MOMENTS:
        process = start(finished / "tables", runs, tree)
        wait_for(runs / "small" / moment, process)
        time.sleep(chance.uniform(0, 0.3))
        kill(process, runs, who)
    with rows_in_forks():
        main(words("run", finished / "tables", runs, tree))
    main(["collect", str(runs)])
    assert (runs / "results.csv").read_bytes() == (finished / "runs" / "results.csv").read_bytes()
    assert not list(rows_at_work(runs))


def test_a_failed_row_stops_no_other_and_is_said_at_the_end(finished, tree, tmp_path, capsys):
    write(tmp_path / "tables", {**ROWS, "a": "data: {init_args: {methods: [FaceShifter]}}"})
    (tmp_path / "tables" / "small" / "d.yaml").unlink()
    with rows_in_forks(), pytest.raises(SystemExit) as ended:
        main(words("run", tmp_path / "tables", tmp_path / "runs", tree, "small/a", "small/b", "small/c"))
    assert ended.value.code == 1
    said = capsys.readouterr().err.splitlines()
    assert any(line.startswith("  small/a seed0: ") and "has no c23 videos of FaceShifter" in line for line in said)
    assert "  small/b seed0: not begun, for it needs small/a seed0, which failed" in said
    metrics = tmp_path / "runs" / "small" / "c" / "seed0" / "metrics.json"
    assert metrics.read_bytes() == (finished / "runs/small/c/seed0/metrics.json").read_bytes()
    main(words("plan", tmp_path / "tables", tmp_path / "runs", tree, "small/a"))
    printed = capsys.readouterr().out
    assert "failed" in printed
    assert "has no c23 videos of FaceShifter" in printed


def test_a_row_that_changed_is_trained_again_alone(finished, tree, capsys):
    small = finished / "runs" / "small"
    others = [path for name in ("a", "b", "c") for path in (small / name).rglob("*") if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in others}
    write(finished / "tables", {"d": ROWS["d"].replace("max", "mean")})
    with rows_in_forks():
        main(words("run", finished / "tables", finished / "runs", tree))
    assert "d/seed0 is stale (model.init_args.decision): moved to" in capsys.readouterr().out
    assert (small / "d" / "seed0-stale-1" / "metrics.json").is_file()
    noted = json.loads((small / "d" / "seed0" / "provenance.json").read_text())
    assert noted["test"]["operating_point"]["decision"] == "mean"
    assert {path: path.stat().st_mtime_ns for path in others} == before
    write(finished / "tables", ROWS)
    main(words("plan", finished / "tables", finished / "runs", tree))
    assert "shares small/d/seed0-stale-1" in capsys.readouterr().out
