"""How long a table takes is told from what has finished, or from a measured cost, and it says which."""

import pandas as pd
import pytest

from experiments.config.rows import find_rows
from experiments.launch.estimate import CPU_S, START_S, estimate, spoken, work
from experiments.launch.plan import jobs, plan_jobs, resolved
from experiments.runs.data_used import Data, DataNow, count_clips, keep_data
from experiments.training.settings import Settings

CLIPS = {"train": 3600, "val": 700, "test": 700}


@pytest.fixture(scope="module")
def table():
    return jobs(
        resolved(find_rows(["table-1/resnet50-unet", "ablation-decision/mean", "table-4/c23"]), Settings().of), [0]
    )


def test_work_is_counted_in_megapixels_a_training_step_as_three_passes(table):
    reference, *_ = (job.config for job in table if str(job.row) == "table-1/resnet50-unet")
    crop = 299 * 299 / 1e6
    seen, looked = 3600 * 270, 700 * 100
    assert work(reference, CLIPS) == pytest.approx((crop * 10 * (3 * seen + looked), crop * looked))
    decision = next(job.config for job in table if job.row.table == "ablation-decision")
    assert work(decision, CLIPS) == pytest.approx((crop * looked, crop * looked))  # validated, not trained


def test_without_a_finished_run_a_measured_cost_is_taken(table, tmp_path):
    told = estimate(plan_jobs(table, tmp_path), tmp_path)
    by_row = {str(job.row): seconds for job, seconds in zip(table, told.seconds, strict=True)}
    whole = work(table[0].config, CLIPS)
    assert by_row["table-1/resnet50-unet"] == pytest.approx(START_S + CPU_S * (whole.training + whole.test))
    assert by_row["table-4/c23"] < by_row["table-1/resnet50-unet"] / 10  # shares it, and is tested further
    assert told.source == "the cost of resnet50-unet on one CPU core"


def test_a_finished_run_tells_how_long_the_others_take(table, tmp_path):
    (done,) = [job for job in table if str(job.row) == "table-1/resnet50-unet"]
    folder = done.folder(tmp_path)
    folder.keep_config({**done.config, "seed_everything": 5})  # another seed
    splits = [split for split, count in CLIPS.items() for _ in range(count)]
    clips = pd.DataFrame({"name": range(len(splits)), "split": splits, "pair": "", "video": "", "mask": ""})
    keep_data(folder, Data(clips.astype(str), {}, {}), write=True)
    folder.note("fit", {"seconds": 2 * work(done.config, CLIPS).training})
    told = estimate(plan_jobs([done], tmp_path), tmp_path)
    whole = work(done.config, CLIPS)
    assert told.seconds == [pytest.approx(START_S + 2 * (whole.training + whole.test))]
    assert told.source == "what 1 finished training took here"


@pytest.mark.parametrize(("seconds", "text"), [(40, "40 s"), (720, "12 min"), (9000, "2.5 h"), (400000, "4.6 days")])
def test_time_is_said_in_words(seconds, text):
    assert spoken(seconds) == text


def test_videos_named_by_a_csv_are_counted_as_they_are(film, tmp_path):
    lines = ["path,split,label"]
    for number, split in enumerate(["train", "train", "val", "val", "test", "test", "test"]):
        film(tmp_path / f"{number}.mp4")
        lines.append(f"{number}.mp4,{split},{number % 2}")
    (tmp_path / "videos.csv").write_text("\n".join(lines) + "\n")
    changes = {
        "data": {"class_path": "datamodules.VideoFolderDataModule", "init_args": {"csv": str(tmp_path / "videos.csv")}}
    }
    settings = Settings()
    row = find_rows(["demo/classification"])[0]
    config = settings.changed(settings.of(row), changes)
    assert count_clips(DataNow()(config), config) == {"train": 2, "val": 2, "test": 3}
    told = estimate(plan_jobs(jobs({row: config}, [0]), tmp_path / "runs"), tmp_path / "runs")
    assert told.seconds[0] > START_S
