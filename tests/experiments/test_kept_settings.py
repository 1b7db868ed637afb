"""What rows resolve to is kept from plan to plan, and is never that of other files, options, packages or sources."""

import shutil
import sys
from pathlib import Path

import pytest

import datamodules
from experiments.config.keys import MisspeltKeyError
from experiments.config.rows import find_rows
from experiments.training.kept_settings import KeptSettings
from experiments.training.settings import Settings

TABLES = Path("experiments/tables")


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """A copy of the demo's rows, and a cache folder without anything in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(TABLES / "demo", tmp_path / "tables" / "demo")
    shutil.copy(TABLES / "base.yaml", tmp_path / "tables")
    return tmp_path / "tables"


def resolve(tables, *options):
    """Resolves a row as a plan does; also says whether it was parsed."""
    kept = KeptSettings()
    settings = Settings(options, kept)
    config = settings.of(find_rows(["demo/segmentation"], tables)[0])
    kept.write()
    return config, settings._parser is not None


def cache_file(tables):
    (path,) = tables.parent.glob("cache/pixel-forensics/settings-*.json")
    return path


def test_what_was_resolved_once_is_not_parsed_again(tables):
    options = ("--data.init_args.root", "data/mini", "--model.init_args.lr=2e-3", "--trainer.max_epochs", "3")
    parsed, again = resolve(tables, *options), resolve(tables, *options)
    assert (parsed[1], again[1]) == (True, False)
    assert repr(again[0]) == repr(parsed[0])  # 2 is not 2.0, and the order is the same
    assert parsed[0]["model"]["init_args"]["lr"] == 2e-3


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


CHANGES = {
    "row": lambda tables, _: write(tables / "demo" / "segmentation.yaml", "model: {init_args: {lr: 7.0e-3}}\n"),
    "base of the table": lambda tables, _: write(tables / "demo" / "_base.yaml", "trainer: {max_epochs: 7}\n"),
    "base": lambda tables, _: write(
        tables / "base.yaml", (tables / "base.yaml").read_text().replace("s: 10\n", "s: 11\n")
    ),
    "source": lambda tables, _: write(tables.parent / "datamodules" / "new.py", "NEW = 1\n"),
    "package": lambda tables, _: write(tables.parent / "site" / "one-1.1.dist-info" / "METADATA", ""),
    "variable": lambda _, patch: patch.setenv("JSONARGPARSE_DEBUG", ""),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_an_answer_depends_on_has_it_parsed_anew(tables, monkeypatch, change):
    shutil.copytree(Path(datamodules.__file__).parent, tables.parent / "datamodules")
    monkeypatch.setattr(datamodules, "__file__", str(tables.parent / "datamodules" / "__init__.py"))
    monkeypatch.syspath_prepend(tables.parent / "site")
    assert [resolve(tables)[1], resolve(tables)[1]] == [True, False]
    CHANGES[change](tables, monkeypatch)
    config, was_parsed = resolve(tables)
    assert was_parsed
    assert config == Settings().of(find_rows(["demo/segmentation"], tables)[0])
    assert not resolve(tables)[1]


def test_another_option_is_parsed_anew_and_the_first_stays_known(tables):
    first = resolve(tables, "--model.init_args.lr=1e-3")[0]
    assert resolve(tables, "--model.init_args.lr=1e-4")[0]["model"]["init_args"]["lr"] == 1e-4
    assert resolve(tables, "--model.init_args.lr=1e-3") == (first, False)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(b"\xff\x00" * 50),
        lambda path: path.write_text(path.read_text().replace("0.002", "0.003")),
        lambda path: path.write_text(""),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_a_damaged_file_is_as_good_as_none(tables, capfd, damage):
    parsed, _ = resolve(tables)
    assert "0.002" in cache_file(tables).read_text()
    damage(cache_file(tables))
    assert resolve(tables) == (parsed, True)
    assert capfd.readouterr() == ("", "")
    if cache_file(tables).is_file():
        assert resolve(tables) == (parsed, False)


def test_a_cache_folder_that_cannot_be_written_is_no_word_worth(tables, capfd):
    (tables.parent / "cache").write_text("a file")
    assert resolve(tables)[0] == resolve(tables)[0]
    assert resolve(tables)[1]
    assert capfd.readouterr() == ("", "")


def test_an_error_is_told_every_time(tables):
    for _ in range(2):
        with pytest.raises(MisspeltKeyError, match="nearest valid key: model"):
            resolve(tables, "--model.init_args.lrr=1")
        with pytest.raises(SystemExit):
            resolve(tables, "--model.init_args.lr=fast")
    assert not list(tables.parent.glob("cache/**/*.json"))


def test_a_class_from_elsewhere_is_asked_every_time(tables, monkeypatch):
    write(tables.parent / "own.py", "import lightning_modules\nclass Own(lightning_modules.SegmentationModule): pass\n")
    monkeypatch.syspath_prepend(tables.parent)
    try:
        for _ in range(2):
            config, was_parsed = resolve(tables, "--model=own.Own")
            assert config["model"]["class_path"] == "own.Own"
            assert was_parsed
    finally:
        sys.modules.pop("own", None)


def test_settings_in_a_further_file_are_read_every_time(tables):
    more = tables.parent / "callbacks.yaml"
    for patience in (3, 4):
        more.write_text(
            "- class_path: pytorch_lightning.callbacks.EarlyStopping\n"
            f"  init_args: {{monitor: val/loss, patience: {patience}}}\n"
        )
        (one,) = resolve(tables, f"--trainer.callbacks={more}")[0]["trainer"]["callbacks"]
        assert one["init_args"]["patience"] == patience


def test_files_that_the_parser_never_reads_are_no_files_of_settings(tables):
    weights = tables.parent / "best.ckpt"
    weights.write_text("weights")
    options = ("--model.init_args.encoder_checkpoint", str(weights), f"--data.init_args.faces={weights}")
    assert [resolve(tables, *options)[1] for _ in range(2)] == [True, False]


def test_what_changes_for_a_further_test_is_kept_too(tables):
    changes = {"data": {"init_args": {"margin": 2, "methods": ["Deepfakes"]}}}
    found = []
    for _ in range(2):
        kept = KeptSettings()
        settings = Settings(kept=kept)
        config = settings.of(find_rows(["demo/segmentation"], tables)[0])
        found.append((repr(settings.apply(config, changes)), settings._parser is None))
        kept.write()
    assert [parsed for _, parsed in found] == [False, True]
    assert found[0][0] == found[1][0]
    assert "'margin': 2.0" in found[1][0]
