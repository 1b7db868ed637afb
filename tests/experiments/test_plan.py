"""What is to be done about rows is told beforehand: a pure matter of their settings and of what lies in runs/."""

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from experiments.config.rows import Row, find_rows
from experiments.launch.plan import FAILED, jobs, needed_row, plan_jobs, resolve_rows
from experiments.runs.share import link, move_aside
from experiments.training.further_tests import further_tests

BASE = {
    "seed_everything": 0,
    "model": {"class_path": "Model", "init_args": {"lr": 0.1, "encoder_checkpoint": None}},
    "data": {"class_path": "Data", "init_args": {"root": "nowhere", "methods": ["Deepfakes"], "compression": "c23"}},
    "trainer": {"max_epochs": 1, "logger": None},
    "encoder_from": None,
    "checkpoint_from": None,
    "tests": None,
    "name": None,
}


@pytest.fixture
def rows(tmp_path):
    """Makes rows of some settings, in a folder of tables of their own; returns their configurations."""

    def make(**settings):
        configs = {}
        for name, changes in settings.items():
            path = tmp_path / "tables" / "table-x" / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
            lr = changes.pop("lr", 0.1)
            model = {**BASE["model"], "init_args": {**BASE["model"]["init_args"], "lr": lr}}
            configs[Row("table-x", name, tmp_path / "tables")] = {**BASE, "model": model, **changes}
        return resolve_rows(list(configs), configs.__getitem__)

    return make


def train(job, runs, tested=True):
    """Leaves what a training leaves."""
    folder = job.folder(runs)
    folder.keep_config(job.config)
    folder.best.parent.mkdir(parents=True, exist_ok=True)
    folder.best.write_bytes(b"weights")
    folder.last.write_bytes(b"weights")
    folder.note("fit", {"epochs": 1})
    if tested:
        folder.note("test", {"faces": {"source": "masks"}})
        folder.metrics(None).write_text(json.dumps({"test/pixel_iou": 0.5}))
    return folder


def told(configs, runs, seeds=(0,)):
    return {f"{one.job.row.name}/{one.job.seed}": one for one in plan_jobs(jobs(configs, seeds), runs)}


def test_a_job_is_a_row_and_a_seed_and_its_key_says_what_shapes_it(rows):
    one, same, other, seed = jobs(rows(a={}, b={}, c={"lr": 0.2}), [0]) + jobs(rows(a={}), [1])
    assert one.key == same.key
    assert len({one.key, other.key, seed.key}) == 3
    assert jobs(rows(a={"tests": {"x": {"data": {"class_path": "Other"}}}}), [0])[0].key == one.key


def test_what_a_needed_row_is_shapes_the_rows_that_need_it(rows):
    def keys(lr):
        return {job.row.name: job.key for job in jobs(rows(a={"encoder_from": "table-x/b"}, b={"lr": lr}), [0])}

    assert list(keys(0.2)) == ["b", "a"]  # what is needed comes first
    assert keys(0.2)["a"] != keys(0.3)["a"]
    # A needed row may go by another name, where it is the same training.
    both = rows(a={"encoder_from": "table-x/b"}, c={"encoder_from": "table-x/d"}, b={}, d={})
    by_name = {job.row.name: job.key for job in jobs(both, [0])}
    assert by_name["a"] == by_name["c"]


def test_rows_that_need_each_other_are_refused(rows):
    with pytest.raises(ValueError, match="table-x/a needs table-x/b needs table-x/a: no row can be trained first"):
        rows(a={"encoder_from": "table-x/b"}, b={"checkpoint_from": "table-x/a"})


def test_a_needed_row_that_is_not_there_is_refused(rows):
    with pytest.raises(ValueError, match="did you mean 'table-x/b'"):
        rows(a={"encoder_from": "table-x/bb"}, b={})


def test_planning_changes_neither_settings_nor_folders(rows, tmp_path):
    configs = rows(a={"encoder_from": "table-x/b"}, b={})
    before = repr(configs)
    assert told(configs, tmp_path / "runs").keys() == {"a/0", "b/0"}
    assert repr(configs) == before
    assert not (tmp_path / "runs").exists()


def test_states_follow_what_lies_there(rows, tmp_path):
    runs = tmp_path / "runs"
    configs = rows(a={}, b={"lr": 0.2}, c={"lr": 0.3}, d={"lr": 0.4}, e={"lr": 0.5})
    done, tested, begun, changed, _ = jobs(configs, [0])
    train(done, runs)
    train(tested, runs, tested=False)
    folder = train(begun, runs, tested=False)
    (folder.path / "provenance.json").unlink()
    folder.best.unlink()
    train(changed, runs)
    (begun.folder(runs).path / FAILED).write_text("the disk is full\n")
    found = told({**configs, **rows(d={"lr": 0.45})}, runs)
    assert {name: one.state for name, one in found.items()} == {
        "a/0": "done",
        "b/0": "to test",
        "c/0": "interrupted",
        "d/0": "stale",
        "e/0": "missing",
    }
    assert found["d/0"].why == "model.init_args.lr"
    assert found["c/0"].failure == "the disk is full"
    assert [one.trains for one in found.values()] == [False, False, True, True, True]


def test_what_was_trained_elsewhere_is_done_here(rows, tmp_path):
    train(jobs(rows(a={"trainer": {"max_epochs": 1, "devices": 8, "num_nodes": 4}}), [0])[0], tmp_path)
    assert told(rows(a={}), tmp_path)["a/0"].state == "done"
    assert told(rows(a={"trainer": {"max_epochs": 2, "devices": 8}}), tmp_path)["a/0"].state == "stale"


def test_equal_rows_share_the_first_ones_training_which_waits_for_none(rows, tmp_path):
    found = told(rows(a={}, b={}, c={"lr": 0.2}), tmp_path, seeds=(0, 1))
    assert found["b/0"].home == tmp_path / "table-x/a/seed0"
    assert found["b/1"].home == tmp_path / "table-x/a/seed1"
    assert [job.row.name for job in found["b/0"].after] == ["a"]
    assert found["a/0"].home is found["c/0"].home is None
    assert sum(one.trains for one in found.values()) == 4


def test_a_training_is_taken_from_wherever_it_lies(rows, tmp_path):
    configs = rows(a={}, b={})
    train(jobs(configs, [0])[1], tmp_path)
    found = told(configs, tmp_path)
    assert found["b/0"].state == "done"
    assert found["a/0"].home == tmp_path / "table-x/b/seed0"
    assert found["a/0"].after == ()


def test_the_row_that_has_begun_goes_on_and_the_others_wait_for_it(rows, tmp_path):
    configs = rows(a={}, b={})
    folder = train(jobs(configs, [0])[1], tmp_path, tested=False)
    (folder.path / "provenance.json").unlink()
    found = told(configs, tmp_path)
    assert found["a/0"].home == folder.path
    assert [job.row.name for job in found["a/0"].after] == ["b"]
    assert found["b/0"].home is None


def test_shared_files_are_links_that_move_with_the_folder(rows, tmp_path):
    configs = rows(a={}, b={})
    one, other = jobs(configs, [0])
    home, folder = train(one, tmp_path / "runs"), other.folder(tmp_path / "runs")
    link(home.path, folder)
    assert told(configs, tmp_path / "runs")["b/0"].state == "done"
    assert folder.is_trained
    assert not os.path.isabs(os.readlink(folder.config))
    (tmp_path / "runs").rename(tmp_path / "moved")
    found = told(configs, tmp_path / "moved")
    assert found["b/0"].state == "done"
    assert found["b/0"].home.resolve() == (tmp_path / "moved/table-x/a/seed0").resolve()
    folder = other.folder(tmp_path / "moved")
    folder.note("test-c40", {"seconds": 1})
    assert not one.folder(tmp_path / "moved").read_provenance("test-c40")
    assert folder.read_provenance("fit")


def test_a_run_whose_row_changed_is_moved_aside_and_found_again(rows, tmp_path):
    before = rows(a={}, b={})
    one, other = jobs(before, [0])
    train(one, tmp_path)
    link(one.folder(tmp_path).path, other.folder(tmp_path))
    changed = {**before, **rows(a={"lr": 0.2})}
    assert {name: found.state for name, found in told(changed, tmp_path).items()} == {"a/0": "stale", "b/0": "done"}
    aside = move_aside(one.folder(tmp_path))
    assert aside.name == "seed0-stale-1"
    found = told(changed, tmp_path)
    assert (found["a/0"].state, found["a/0"].home) == ("missing", None)
    assert (found["b/0"].state, found["b/0"].home) == ("done", aside)  # who shares it follows
    assert told(before, tmp_path)["a/0"].home == aside


def test_a_row_whose_shared_run_was_deleted_is_stale(rows, tmp_path):
    configs = rows(a={}, b={})
    one, other = jobs(configs, [0])
    link(train(one, tmp_path).path, other.folder(tmp_path))
    shutil.rmtree(one.folder(tmp_path).path)
    found = told(configs, tmp_path)
    assert (found["a/0"].state, found["b/0"].state) == ("missing", "stale")
    assert found["b/0"].why == "the run it shared is gone"
    assert found["b/0"].home == one.folder(tmp_path).path


def test_a_done_row_whose_checkpoint_is_gone_is_trained_again_only_where_one_needs_it(rows, tmp_path):
    configs = rows(a={"encoder_from": "table-x/b"}, b={})
    needed, needing = jobs(configs, [0])
    folder = train(needed, tmp_path)
    folder.best.unlink()
    assert told(configs, tmp_path)["b/0"].state == "stale"
    train(needing, tmp_path)
    assert told(configs, tmp_path)["b/0"].state == "done"


def test_further_tests_are_done_once_each_by_what_differs(rows, tmp_path):
    data = {"init_args": {"compression": "c40"}}
    tests = {"c23": {"data": {"init_args": {"compression": "c23"}}}, "c40": {"data": data}}
    tests["rare"] = {"optional": True, "data": {"init_args": {"methods": ["FaceShifter"]}}}
    configs = rows(a={"tests": tests})
    (job,) = jobs(configs, [0])
    assert [test.same for test in job.tests] == [True, False, False]
    assert job.tests[1].options == ("--data.init_args.compression=c40",)
    assert job.tests[2].options == ('--data.init_args.methods=["FaceShifter"]',)
    assert job.tests[2].lacking == ("FaceShifter",)
    folder = train(job, tmp_path)
    assert (told(configs, tmp_path)["a/0"].state, told(configs, tmp_path)["a/0"].why) == ("to test", "c23, c40")
    for test in job.tests[:2]:
        folder.note(f"test-{test.name}", {"measured_by": test.key})
        folder.metrics(test.name).write_text("{}")
    assert told(configs, tmp_path)["a/0"].state == "done"
    data["init_args"] = {"compression": "raw"}
    assert told(rows(a={"tests": tests}), tmp_path)["a/0"].why == "c40"  # a changed test is done again, alone


def test_a_further_test_without_settings_is_a_sentence():
    with pytest.raises(ValueError, match=r"tests\.c40 is None, wanted settings that differ"):
        further_tests({**BASE, "tests": {"c40": None}})


def test_real_rows_know_what_they_need():
    names = {"table-3/classification-then-segmentation": "table-2/resnet50-classification"}
    names |= {"ablation-decision/mean": "table-1/resnet50-unet", "table-1/resnet50-unet": None}
    for name, needed in names.items():
        (row,) = find_rows([name])
        files = [path for path in (row.path.with_name("_base.yaml"), row.path) if path.is_file()]
        config = {key: value for path in files for key, value in yaml.safe_load(Path(path).read_text()).items()}
        found = needed_row(row, config)
        assert (str(found) if found else None) == needed
