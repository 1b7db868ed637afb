"""What a run's folder keeps, and refuses."""

import importlib
import json
from pathlib import Path

import pytest

from experiments.config.hashes import config_hash, differing_keys, training_key
from experiments.config.rows import Row
from experiments.runs.folder import RunFolder, write_metrics
from experiments.runs.run import Run, all_runs, run_folders
from experiments.runs.share import move_aside

CONFIG = {"model": {"lr": 0.1}, "data": {"init_args": {"size": 64, "cache_dir": "a"}}, "trainer": {"x": 1}}
OTHER = {"model": {"lr": 0.2}, "data": {"init_args": {"size": 64, "cache_dir": "b"}}, "trainer": {"x": 1}}


def trained(path):
    folder = RunFolder(path)
    folder.keep_config(CONFIG)
    folder.best.parent.mkdir()
    folder.best.touch()
    folder.last.touch()
    folder.note("fit", {"epochs": 1})
    return folder


def test_differing_keys_are_named_but_not_those_that_change_nothing_learnt():
    assert differing_keys(CONFIG, OTHER) == ["model.lr"]
    assert config_hash(CONFIG) != config_hash(OTHER)
    assert config_hash({**OTHER, "model": CONFIG["model"]}) == config_hash(CONFIG)


def test_configuration_of_a_started_run_cannot_change(tmp_path):
    folder = trained(tmp_path)
    before = folder.config.read_text()
    folder.keep_config(CONFIG)
    with pytest.raises(ValueError, match=r"differs in model\.lr: use the same options, another seed"):
        folder.keep_config(OTHER)
    assert folder.config.read_text() == before


def test_configuration_of_a_run_that_never_started_can(tmp_path):
    folder = RunFolder(tmp_path)
    folder.keep_config(CONFIG)
    folder.keep_config(OTHER)
    assert "0.2" in folder.config.read_text()


def test_other_test_data_need_a_name_and_another_model_is_refused(tmp_path):
    folder = trained(tmp_path)
    data = {**CONFIG, "data": {"init_args": {"size": 32}}, "trainer": {"x": 2}}
    with pytest.raises(ValueError, match=r"data\.init_args\.size.*--name NAME"):
        folder.check_test(data, None)
    folder.check_test(data, "small")
    with pytest.raises(ValueError, match=r"model\.lr"):
        folder.check_test(OTHER, "small")


def test_keys_inside_lists_are_named():
    callbacks = [{"class_path": "a", "init_args": {"n": number}} for number in (1, 2)]
    one, other = ({"trainer": {"callbacks": [callback]}} for callback in callbacks)
    assert differing_keys(one, other) == ["trainer.callbacks.0.init_args.n"]


def test_nothing_trained_is_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no model trained to its end: run fit"):
        RunFolder(tmp_path).check_test(CONFIG, None)


def test_a_training_that_has_not_ended_is_not_tested(tmp_path):
    folder = trained(tmp_path)
    (tmp_path / "provenance.json").unlink()
    with pytest.raises(FileNotFoundError, match="trained to its end"):
        folder.check_test(CONFIG, None)


def test_lost_checkpoints_neither_free_the_configuration_nor_count_as_trained(tmp_path):
    folder = trained(tmp_path)
    folder.best.unlink()
    folder.last.unlink()
    assert not folder.is_trained
    with pytest.raises(ValueError, match=r"model\.lr"):
        folder.keep_config(OTHER)


def test_metrics_are_flat_valid_json_with_null_for_what_is_not_defined(tmp_path):
    write_metrics(tmp_path / "metrics.json", {"b": float("nan"), "a": 0.5})
    assert (tmp_path / "metrics.json").read_text() == '{\n  "a": 0.5,\n  "b": null\n}\n'


def test_notes_of_stages_stand_side_by_side(tmp_path):
    folder = RunFolder(tmp_path)
    folder.note("fit", {"epochs": 2})
    folder.note("test", {"seconds": 1.0})
    assert json.loads((tmp_path / "provenance.json").read_text()) == {"fit": {"epochs": 2}, "test": {"seconds": 1.0}}
    assert folder.read_provenance("fit") == {"epochs": 2}
    assert folder.read_provenance("predict") == {}


def test_a_run_of_before_is_known_though_its_classes_have_moved(tmp_path):
    def config(logger, probes):
        trainer = {"logger": [{"class_path": logger}], "callbacks": [{"class_path": probes, "init_args": {"clips": 2}}]}
        return {"model": {"class_path": "A", "init_args": {}}, "data": {"class_path": "B"}, "trainer": trainer}

    folder = RunFolder(tmp_path / "seed0")
    folder.keep_config(config("experiments.wandb_logger.ResumableWandbLogger", "experiments.probes.ProbeFrames"))
    for name in ("experiments.tracking.logger.ResumableWandbLogger", "experiments.callbacks.ProbeFrames"):
        module, _, kind = name.rpartition(".")
        assert hasattr(importlib.import_module(module), kind)
    now = config("experiments.tracking.logger.ResumableWandbLogger", "experiments.callbacks.ProbeFrames")
    assert folder.list_differences(now) == []
    assert folder.key == training_key(now)


@pytest.mark.parametrize(("table", "name", "seed"), [("table-1", "resnet50-unet", 0), ("own", "_warm-up", 12)])
def test_a_run_is_known_by_where_it_lies(table, name, seed):
    run = Run.of_row(Path("somewhere", "runs"), Row(table, name), seed)
    known = Run.at(run.folder.path)
    assert known[:3] == (table, name, seed)
    assert known.folder.path == run.folder.path
    assert known.runs == Path("somewhere", "runs")
    assert str(known) == f"{table}/{name}/seed{seed}"
    assert Row.from_name(known.row_name) == Row(table, name)


def test_a_run_moved_aside_is_told_from_the_one_in_its_place(tmp_path):
    here = Run.of_row(tmp_path, Row("table-1", "a"), 3)
    here.folder.path.mkdir(parents=True)
    aside = Run.at(move_aside(here.folder))
    here.folder.path.mkdir()
    assert aside[:3] == here[:3]
    assert str(aside) == "table-1/a/seed3-stale-1"
    assert [run.folder.path for run in run_folders(tmp_path)] == [here.folder.path]
    assert [run.folder.path for run in all_runs(tmp_path)] == [here.folder.path, aside.folder.path]
