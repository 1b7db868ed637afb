"""A training never ends by what W&B is told: what cannot be is left out, or refused in one sentence."""

import time

import pytest

from experiments.tracking import sync
from experiments.tracking.logger import ResumableWandbLogger
from experiments.tracking.mode import finish
from experiments.tracking.offline import files_of, is_complete, read_start
from tests.experiments.wandb_server import serving


@pytest.fixture
def alone(monkeypatch, tmp_path):
    import wandb  # here, for beside a folder of that name ruff sorts it otherwise

    for name in ("WANDB_BASE_URL", "WANDB_API_KEY", "WANDB_RUN_ID", "WANDB_ENTITY", "WANDB_PROJECT"):
        monkeypatch.setenv(name, "x")  # so that what is set here is forgotten afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    wandb.teardown()
    yield monkeypatch
    wandb.teardown()


def wait_for_end(file):
    """Waits for W&B's own process, which writes the end of a file."""
    end = time.monotonic() + 30
    while not is_complete(file) and time.monotonic() < end:
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WANDB_BASE_URL", "nowhere"),
        ("WANDB_BASE_URL", "http://wandb.ai"),
        ("WANDB_API_KEY", " a b\n"),
        ("WANDB_PROJECT", "a/b"),
        ("WANDB_RUN_ID", "a/b"),
        ("WANDB_ENTITY", "a/b"),
        ("WANDB_ENTITY", "our team"),
    ],
)
def test_what_the_environment_says_stops_no_run(alone, name, value, tmp_path):
    alone.setenv(name, value)
    logger = ResumableWandbLogger(save_dir=str(tmp_path), id="abc")
    logger.log_metrics({"loss": 1.0}, step=0)
    finish(exit_code=0)
    logger._held.close()
    (file,) = files_of(tmp_path)
    wait_for_end(file)
    assert file.name == "run-abc.wandb"
    assert read_start(file).entity == ""


@pytest.mark.parametrize(
    "given", [{"project": "a/b"}, {"project": "x" * 200}, {"entity": "a/b"}, {"entity": "our team"}]
)
def test_arguments_that_cannot_be_are_one_sentence(alone, given, tmp_path):
    with pytest.raises(ValueError, match=r"^W&B takes no run of \{'project': .*: correct them, or set WANDB_MODE") as e:
        ResumableWandbLogger(save_dir=str(tmp_path), id="abc", **given).log_metrics({"loss": 1.0}, step=0)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("given", ["environment", "argument"])
def test_an_entity_that_the_server_does_not_know_means_offline_with_one_sentence(alone, given, tmp_path, capsys):
    alone.delenv("WANDB_MODE")
    alone.setenv("WANDB_API_KEY", "0" * 40)
    if given == "environment":
        alone.setenv("WANDB_ENTITY", "nobody")
    with serving() as (address, kept):
        alone.setenv("WANDB_BASE_URL", address)
        logger = ResumableWandbLogger(
            save_dir=str(tmp_path), id="abc", entity="nobody" if given == "argument" else None
        )
        logger.log_metrics({"loss": 1.0}, step=0)
        finish(exit_code=0)
        logger._held.close()
        printed = capsys.readouterr().out
        assert printed.count("\n") == 1
        assert "entity nobody not found" in printed
        assert "logging offline, send later with make wandb-sync" in printed
        assert not kept.history
        (file,) = sync.list_waiting(tmp_path)
        wait_for_end(file)
        assert sync.main([str(tmp_path)]) == 1
        said = f"entity nobody not found during upsertBucket (wandb sync --entity NAME {file.parent} sends it to"
        assert said in capsys.readouterr().out
