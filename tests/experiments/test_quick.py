"""Small tables keep rows apart, see every test clip, and learn by enough steps."""

import json

import pytest

from experiments.config.hashes import config_hash
from experiments.config.layers import apply_changes, to_changes, to_options
from experiments.config.rows import find_rows
from experiments.launch.plan import jobs, resolve_rows
from experiments.launch.quick import FACTOR, LEAST_STEPS, quick
from experiments.training.settings import Settings

PAIRS = 6  # of the mini tree's training split


@pytest.fixture(scope="module")
def configs():
    return resolve_rows(find_rows([]), Settings().of)


def changes_of(config, pairs=PAIRS):
    return quick(config, 2 * pairs * (1 + len(config["data"]["init_args"]["methods"])))


def small(config, pairs=PAIRS):
    return apply_changes(config, to_changes(changes_of(config, pairs)))


def test_rows_that_differ_stay_apart_but_for_the_weights_they_start_from(configs):
    apart = {
        row: apply_changes(config, {"model": {"init_args": {"pretrained": False}}}) for row, config in configs.items()
    }
    before = {job.row: job.key for job in jobs(apart, [0])}
    after = {job.row: job.key for job in jobs({row: small(config) for row, config in configs.items()}, [0])}
    assert len(set(before.values())) == len(set(after.values()))
    for row, key in before.items():
        same = {other for other, found in before.items() if found == key}
        assert same == {other for other, found in after.items() if found == after[row]}


def test_the_number_of_distinct_trainings_is_known(configs):
    def trainings(settings):
        return len({job.key for job in jobs(settings, [0]) if not job.config["checkpoint_from"]})

    assert trainings(configs) == 66
    assert trainings({row: small(config) for row, config in configs.items()}) == 65  # no ImageNet, so scratch is none


def test_every_training_has_its_steps(configs):
    for config in map(small, configs.values()):
        data = config["data"]["init_args"]
        frames = 2 * PAIRS * (1 + len(data["methods"])) * data["frames_per_clip"] * config["trainer"]["max_epochs"]
        assert frames // data["batch_size"] >= LEAST_STEPS
        assert data["batch_size"] >= 2


def test_numbers_are_rounded_up_by_one_factor(configs):
    (row,) = [row for row in configs if str(row) == "table-1/resnet50-unet"]
    assert quick(configs[row], 60) == {
        "trainer.max_epochs": 1,
        "model.init_args.pretrained": False,
        "model.init_args.warmup_steps": 1,
        "data.init_args.frames_per_clip": 9,
        "data.init_args.eval_frames_per_clip": 3,
        "data.init_args.size": 52,
        "data.init_args.batch_size": 27,
        "data.init_args.num_workers": 0,
    }
    assert (52 / 299) ** 2 == pytest.approx(FACTOR, rel=0.01)


def test_options_and_settings_say_the_same(configs):
    for row, config in list(configs.items())[::20]:
        changes = changes_of(config)
        parsed = Settings(to_options(changes)).of(row)
        assert config_hash(parsed) == config_hash(small(config))
        assert json.dumps(parsed["data"]) == json.dumps(small(config)["data"])
