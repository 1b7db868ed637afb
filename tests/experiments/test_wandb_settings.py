"""A training never ends by what W&B is told: what cannot be is left out, or refused in one sentence."""

import pytest
import wandb

from experiments.offline import files_of
from experiments.wandb_logger import ResumableWandbLogger


@pytest.fixture
def alone(monkeypatch, tmp_path):
    for name in ("WANDB_BASE_URL", "WANDB_API_KEY", "WANDB_RUN_ID", "WANDB_ENTITY", "WANDB_PROJECT"):
        monkeypatch.setenv(name, "x")  # so that what is set here is forgotten afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    wandb.teardown()
    yield monkeypatch
    wandb.teardown()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WANDB_BASE_URL", "nowhere"),
        ("WANDB_BASE_URL", "http://wandb.ai"),
        ("WANDB_API_KEY", " a b\n"),
        ("WANDB_PROJECT", "a/b"),
        ("WANDB_RUN_ID", "a/b"),
    ],
)
def test_what_the_environment_says_stops_no_run(alone, name, value, tmp_path):
    alone.setenv(name, value)
    logger = ResumableWandbLogger(save_dir=str(tmp_path), id="abc")
    logger.log_metrics({"loss": 1.0}, step=0)
    wandb.finish()
    logger._held.close()
    assert [file.name for file in files_of(tmp_path)] == ["run-abc.wandb"]


@pytest.mark.parametrize("given", [{"project": "a/b"}, {"project": "x" * 200}])
def test_arguments_that_cannot_be_are_one_sentence(alone, given, tmp_path):
    with pytest.raises(ValueError, match=r"^W&B takes no run of \{'project': .*: correct them, or set WANDB_MODE") as e:
        ResumableWandbLogger(save_dir=str(tmp_path), id="abc", **given).log_metrics({"loss": 1.0}, step=0)
    assert "\n" not in str(e.value)
