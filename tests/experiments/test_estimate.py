"""How long a table takes is told from what has finished, or from a measured cost, and it says which."""

import pytest

from experiments.config.rows import find_rows
from experiments.launch.estimate import CPU_S, START_S, estimate, spoken, work
from experiments.launch.plan import jobs, plan, resolved
from experiments.training.settings import Settings

PAIRS = (360, 70, 70)


@pytest.fixture(scope="module")
def table():
    return jobs(
        resolved(find_rows(["table-1/resnet50-unet", "ablation-decision/mean", "table-4/c23"]), Settings().of), [0]
    )


def test_work_is_counted_in_megapixels_a_training_step_as_three_passes(table):
    reference, *_ = (job.config for job in table if str(job.row) == "table-1/resnet50-unet")
    crop = 299 * 299 / 1e6
    seen, looked = 3600 * 270, 700 * 100
    assert work(reference, PAIRS) == pytest.approx((crop * 10 * (3 * seen + looked), crop * looked))
    decision = next(job.config for job in table if job.row.table == "ablation-decision")
    assert work(decision, PAIRS) == pytest.approx((crop * looked, crop * looked))  # validated, not trained


def test_without_a_finished_run_a_measured_cost_is_taken(table, tmp_path):
    told = estimate(plan(table, tmp_path), tmp_path, PAIRS)
    by_row = {str(job.row): seconds for job, seconds in zip(table, told.seconds, strict=True)}
    whole = work(table[0].config, PAIRS)
    assert by_row["table-1/resnet50-unet"] == pytest.approx(START_S + CPU_S * (whole.training + whole.test))
    assert by_row["table-4/c23"] < by_row["table-1/resnet50-unet"] / 10  # shares it, and is tested further
    assert told.source == "the cost of resnet50-unet on one CPU core"


def test_a_finished_run_tells_how_long_the_others_take(table, tmp_path):
    (done,) = [job for job in table if str(job.row) == "table-1/resnet50-unet"]
    folder = done.folder(tmp_path)
    folder.keep_config({**done.config, "seed_everything": 5})  # another seed
    folder.note("fit", {"seconds": 2 * work(done.config, PAIRS).training})
    told = estimate(plan([done], tmp_path), tmp_path, PAIRS)
    whole = work(done.config, PAIRS)
    assert told.seconds == [pytest.approx(START_S + 2 * (whole.training + whole.test))]
    assert told.source == "what 1 finished training took here"


@pytest.mark.parametrize(("seconds", "text"), [(40, "40 s"), (720, "12 min"), (9000, "2.5 h"), (400000, "4.6 days")])
def test_time_is_said_in_words(seconds, text):
    assert spoken(seconds) == text
