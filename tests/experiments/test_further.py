"""Further tests are known by what they measure, however it is written, and by names that any file may have."""

import os
from copy import deepcopy
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.config.hashes import measured_hash
from experiments.launch.request import parser_of, read_request
from experiments.runs.folder import RunFolder
from experiments.training.further_tests import further_tests, put_aside
from experiments.training.settings import Settings

FILES = ["-c", "experiments/tables/base.yaml", "-c", "experiments/tables/demo/segmentation.yaml"]
CHANGES = [
    {"data": {"init_args": {"margin": 2}}},
    {"data": {"init_args": {"margin": "2"}}},
    {"data": {"init_args": {"margin": "2e0", "eval_frames_per_clip": "5"}}},
    {"data": {"init_args": {"methods": ["Deepfakes"], "compression": "c40"}}, "trainer": {"limit_test_batches": "0.5"}},
    {"model": {"init_args": {"frame_threshold": 1}}, "trainer": {"precision": 32}},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_a_further_test_is_known_by_what_its_command_will_measure(changes):
    settings = Settings()
    _, config = settings.parse(FILES)
    before = deepcopy(config)
    (test,) = further_tests({**config, "tests": {"other": changes}}, settings.apply)
    assert config == before
    _, parsed = Settings().parse([*FILES, *test.options])
    assert test.key == measured_hash(parsed)
    assert not test.same


def test_the_same_written_otherwise_is_the_same(tmp_path):
    settings = Settings()
    _, config = settings.parse(FILES)
    margin = config["data"]["init_args"]["margin"]
    (tmp_path / "demo").mkdir()
    (tmp_path / "base.yaml").write_text(Path("experiments/tables/base.yaml").read_text())
    (tmp_path / "demo" / "one.yaml").write_text(Path("experiments/tables/demo/segmentation.yaml").read_text())
    tests = {
        name: {"data": {"init_args": {"margin": value}}} for name, value in (("a", str(margin)), ("b", 2), ("c", 2.0))
    }
    words = ["demo/one", "--tables", str(tmp_path), "--seeds", "0", "1", "--", f"--tests={tests}"]
    _, wanted = read_request(parser_of("plan", ""), words)
    for job in wanted.jobs:
        assert [test.same for test in job.tests] == [True, False, False]
        assert job.tests[1].key == job.tests[2].key
    assert wanted.jobs[0].tests[1].key != wanted.jobs[1].tests[1].key  # of another seed


@pytest.mark.parametrize(
    "name", ["celeb/v2", "", " c40", "c40 ", "..", "a\nb", "c40\n", "-x", "test", "x" * 200, "a:b"]
)
def test_a_name_that_is_none_of_a_file_is_refused_before_anything_runs(name, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["test", *FILES, f"--trainer.default_root_dir={tmp_path / 'seed0'}", f"--name={name}"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: --name is ")
    assert not (tmp_path / "seed0").exists()
    with pytest.raises(ValueError, match="a name in tests is "):
        further_tests({"tests": {name: {"data": {}}}})


def test_names_that_differ_in_capitals_are_refused(tmp_path, capsys):
    (tmp_path / "metrics-c40.json").write_text("{}")
    with pytest.raises(SystemExit):
        main(["test", *FILES, f"--trainer.default_root_dir={tmp_path}", "--name=C40"])
    assert "differs from 'c40' in capitals only" in capsys.readouterr().err
    with pytest.raises(ValueError, match="in capitals only"):
        further_tests({"data": {"init_args": {}}, "tests": {"c40": {"data": {}}, "C40": {"data": {}}}})
    with pytest.raises(ValueError, match="a name in tests is 2, wanted letters"):
        further_tests({"tests": {2: {"data": {}}}})


def test_what_was_put_aside_is_not_lost_when_more_is(tmp_path):
    folder = RunFolder(tmp_path)
    for text in ("first", "second"):
        folder.metrics("c40").write_text(text)
        folder.file("frames", "c40", "parquet").write_text(text)
        put_aside(folder, "c40")
    assert sorted(os.listdir(tmp_path)) == [
        f"stale-{number}-{name}" for number in (1, 2) for name in ("frames-c40.parquet", "metrics-c40.json")
    ]
    assert (tmp_path / "stale-1-metrics-c40.json").read_text() == "first"
