"""What W&B loses of a run whose process is killed is logged anew from the CSV log, each metric once."""

import csv
import json
import os
import shutil
import time
from collections import defaultdict
from pathlib import Path

import pytest
import yaml
from pytorch_lightning import Callback

from experiments.runs.folder import RunFolder
from experiments.tracking import offline, sync
from experiments.tracking.logger import ResumableWandbLogger
from experiments.tracking.lost_rows import complete, lost_rows
from experiments.tracking.mode import finish
from experiments.tracking.offline import LoggedRows, files_of
from experiments.tracking.run_ids import run_id
from tests.experiments.test_cli import FILES
from tests.experiments.test_wandb import OFTEN, run_apart
from tests.experiments.test_wandb_settings import wait_for_end

NOT_FROM_CSV = ("epoch", "_", "probes", "trainer/global_step", "test/frames")


class KilledOnce(Callback):
    """Kills a training of five batches an epoch, once.

    Args:
        mark: File that says it has done so.
        batch: Of the second epoch, before which it is killed; -1 is behind the last, before the training's end.
    """

    def __init__(self, mark: str, batch: int) -> None:
        self.mark = Path(mark)
        self.batch = batch

    def kill(self):
        if not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), 9)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (1, self.batch):
            self.kill()

    def on_train_end(self, trainer, pl_module):
        if self.batch == -1:
            self.kill()


def killed(tree, folder, batch):
    """Trains until it is killed; returns the row's files with that callback, which lets the next start go on."""
    folder.parent.mkdir(parents=True)
    layer = folder.parent / "kill.yaml"
    callback = {"class_path": f"{__name__}.KilledOnce"}
    callback["init_args"] = {"mark": str(folder.parent / "killed"), "batch": batch}
    layer.write_text(yaml.safe_dump({"trainer": {"callbacks+": [callback]}}))
    row = [*FILES[:2], "-c", str(layer), *FILES[2:]]
    status, output = run_apart("fit", tree, folder, *OFTEN, row=row)
    assert status == -9, output
    return row


def in_csv(folder):
    """The CSV logs' metrics by optimiser step and key; of what was trained twice both say the same."""
    found = {}
    for log in sorted(folder.glob("logs/version_*/metrics.csv")):
        with log.open(newline="") as file:
            for line in csv.DictReader(file):
                for key, text in line.items():
                    if text and not key.startswith(("epoch", "step", "test/")):
                        assert found.setdefault((int(line["step"]), key), float(text)) == float(text)
    return found


def at_server(rows):
    """The same of rows as they have arrived, in the order of their numbers, each metric once."""
    numbers = [row["_step"] for row in rows]
    assert numbers == sorted(set(numbers))
    steps = [row["trainer/global_step"] for row in rows if "test/frames" not in row]
    assert steps == sorted(steps)
    found = defaultdict(list)
    for row in rows:
        for key, value in row.items():
            if not key.startswith(NOT_FROM_CSV):
                found[row["trainer/global_step"], key].append(value)
    assert all(len(values) == 1 for values in found.values()), found
    return {place: value for place, (value,) in found.items()}


def test_a_training_that_goes_on_logs_what_was_lost_and_all_of_it_is_there_once(tree, tmp_path, server):
    folder = tmp_path / "demo" / "segmentation" / "seed0"
    row = killed(tree, folder, batch=3)
    status, output = run_apart("fit", tree, folder, *OFTEN, row=row)
    assert status == 0, output
    assert sync.main([str(folder)]) == 0
    assert len(files_of(folder)) == 2
    logged = in_csv(folder)
    assert {step for step, key in logged if key == "train/loss"} == set(range(10))
    assert {step for step, key in logged if key == "val/pixel_iou"} == {4, 9}
    assert at_server(server.history[run_id(folder)]) == logged


@pytest.fixture(scope="module")
def killed_at_its_end(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "demo" / "segmentation" / "seed0"
    return folder, killed(tree, folder, batch=-1)


def test_a_training_that_never_goes_on_is_completed_when_it_is_sent(killed_at_its_end, tmp_path, server, capsys):
    folder = shutil.copytree(killed_at_its_end[0], tmp_path / "demo" / "segmentation" / "seed0", symlinks=True)
    for _ in range(2):
        assert sync.main([str(tmp_path)]) == 0
        assert "stays lost" not in capsys.readouterr().out
    assert len(files_of(folder)) == 2
    logged, sent = in_csv(folder), run_id(folder)
    assert {step for step, key in logged if key == "train/loss"} == set(range(10))
    assert at_server(server.history[sent]) == logged
    assert server.names[sent] == ("demo", "segmentation-seed0")
    assert server.summary[sent]["val/pixel_iou"] == logged[9, "val/pixel_iou"]


def test_what_was_lost_is_there_before_a_test_in_the_start_that_has_nothing_to_train(
    killed_at_its_end, tree, tmp_path, server
):
    folder = shutil.copytree(killed_at_its_end[0], tmp_path / "demo" / "segmentation" / "seed0", symlinks=True)
    status, output = run_apart("row", tree, folder, *OFTEN, row=killed_at_its_end[1])
    assert status == 0, output
    assert sync.main([str(tmp_path)]) == 0
    rows, sent = server.history[run_id(folder)], run_id(folder)
    assert at_server(rows) == in_csv(folder)
    assert [number for number, row in enumerate(rows) if "test/frames" in row] == [len(rows) - 1]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert server.summary[sent]["test/pixel_iou"] == metrics["test/pixel_iou"]


@pytest.fixture
def alone(monkeypatch):
    import wandb

    for name in ("WANDB_BASE_URL", "WANDB_API_KEY", "WANDB_RUN_ID", "WANDB_ENTITY", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    wandb.teardown()
    yield
    wandb.teardown()


def start(folder, steps, number, kept=None):
    """A start of a training that logs two metrics a step to W&B and to CSV, and of which W&B keeps so many rows."""
    logger = ResumableWandbLogger(save_dir=str(folder), id="abc")
    logger.log_hyperparams({"lr": 0.1})
    (folder / "logs" / f"version_{number}").mkdir(parents=True)
    with (folder / "logs" / f"version_{number}" / "metrics.csv").open("w") as file:
        file.write("epoch,lr,step,train/loss\n")
        for step in steps:
            logger.log_metrics({"lr": 0.1 * step, "epoch": 0}, step)
            logger.log_metrics({"train/loss": 1 / (step + 1), "epoch": 0}, step)
            file.write(f"0,{0.1 * step!r},{step},\n0,,{step},{1 / (step + 1)!r}\n")
        file.write("0,,99,0.12")  # half a line
    finish(exit_code=0)
    logger._held.close()
    file = files_of(folder)[-1]
    wait_for_end(file)
    if kept is not None:
        ends = [end for end, record in offline._read_records(file) if record.WhichOneof("record_type") == "history"]
        os.truncate(file, ends[kept - 1] if kept else offline.HEADER)
        time.sleep(1.1)  # by its second W&B names a folder


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 3), (1, 7), (4, 0), (8, 2)])
def test_wherever_a_run_is_cut_off_each_metric_is_there_once(alone, tmp_path, first, second):
    start(tmp_path, range(8), 0, kept=first)
    start(tmp_path, range(5, 10), 1, kept=second)
    start(tmp_path, range(7, 12), 2)
    rows = [row for file in files_of(tmp_path) for row in offline.read_rows(file)]
    assert at_server(rows) == {(step, "lr"): 0.1 * step for step in range(12)} | {
        (step, "train/loss"): 1 / (step + 1) for step in range(12)
    }


def test_what_was_completed_to_be_sent_goes_on_and_no_metric_is_there_twice(alone, tmp_path):
    start(tmp_path, range(8), 0, kept=3)
    assert complete(files_of(tmp_path)[0]) is None
    assert complete(files_of(tmp_path)[1]) is None
    assert [row["_step"] for row in offline.read_rows(files_of(tmp_path)[1])] == list(range(3, 8))
    start(tmp_path, range(5, 10), 1)
    rows = [row for file in files_of(tmp_path) for row in offline.read_rows(file)]
    assert len(files_of(tmp_path)) == 3
    assert {step for step, _ in at_server(rows)} == set(range(10))


def test_rows_of_folders_that_were_sent_and_removed_are_not_logged_anew(alone, tmp_path):
    start(tmp_path, range(5), 0)
    shutil.rmtree(tmp_path / "wandb")
    time.sleep(1.1)
    start(tmp_path, range(5, 8), 1, kept=0)
    start(tmp_path, range(7, 9), 2)
    rows = [row for file in files_of(tmp_path) for row in offline.read_rows(file)]
    assert {step for step, _ in at_server(rows)} == {5, 6, 7, 8}


def test_what_was_killed_online_may_be_there_and_is_not_logged_anew(alone, tmp_path):
    start(tmp_path, range(5), 0, kept=2)
    (folder,) = tmp_path.glob("wandb/offline-*")
    folder.rename(folder.with_name(folder.name.removeprefix("offline-")))
    start(tmp_path, range(4, 6), 1, kept=0)
    start(tmp_path, range(5, 7), 2)
    assert [row["trainer/global_step"] for row in offline.read_rows(files_of(tmp_path)[-1])] == [5, 6]


def test_nothing_is_logged_anew_where_nothing_was_cut_off_and_a_damaged_log_stops_nothing(alone, tmp_path):
    start(tmp_path, range(3), 0)
    rows = LoggedRows()
    rows.add(files_of(tmp_path)[0])
    assert lost_rows(RunFolder(tmp_path), rows) == []
    rows = LoggedRows()
    rows.cut = True
    assert [step for step, _ in lost_rows(RunFolder(tmp_path), rows)] == [0, 1, 2]
    assert lost_rows(RunFolder(tmp_path), rows, before=1) == [(0, {"epoch": 0, "lr": 0.0, "train/loss": 1.0})]
    for content in (b"", b"\xff\xfe\x00,,\n\n,", b"step,train/loss\nx,1\n2\n,3\n"):
        (tmp_path / "logs" / "version_0" / "metrics.csv").write_bytes(content)
        assert lost_rows(RunFolder(tmp_path), rows) == []
