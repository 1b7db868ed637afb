"""W&B never stands in the way."""

import socket
import time

import pytest
from pytorch_lightning.utilities import rank_zero_only

from experiments.tracking import mode as tracking
from tests.experiments.wandb_server import serving


@pytest.fixture
def undecided(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "x")  # so that what is set here is forgotten afterwards
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


def mode_after_settling():
    tracking.settle_mode()
    return tracking.os.environ["WANDB_MODE"]


def test_no_key_means_offline_with_one_sentence(undecided, capsys):
    assert mode_after_settling() == "offline"
    assert capsys.readouterr().out.count("\n") == 1


def test_a_server_that_never_answers_means_offline_in_time(undecided, capsys):
    undecided.setattr(tracking, "WAIT_S", 0.5)
    undecided.setenv("WANDB_API_KEY", "0" * 40)
    with socket.create_server(("127.0.0.1", 0)) as server:
        undecided.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        started = time.monotonic()
        assert mode_after_settling() == "offline"
    assert time.monotonic() - started < 5
    assert "does not answer: logging offline" in capsys.readouterr().out


def test_a_host_that_is_not_there_means_offline_at_once(undecided, capsys):
    undecided.setenv("WANDB_API_KEY", "0" * 40)
    undecided.setenv("WANDB_BASE_URL", "http://nowhere.invalid")
    started = time.monotonic()
    assert mode_after_settling() == "offline"
    assert time.monotonic() - started < 10
    assert capsys.readouterr().out.count("\n") == 1


def test_a_server_that_answers_is_logged_to(undecided, capsys):
    undecided.setenv("WANDB_API_KEY", "0" * 40)
    with serving() as (address, _):
        undecided.setenv("WANDB_BASE_URL", address)
        tracking.settle_mode()
        undecided.setenv("WANDB_SWEEP_ID", "sweep")
        tracking.settle_mode(waiting=2)
    assert "WANDB_MODE" not in tracking.os.environ
    assert capsys.readouterr().out == ""


def test_a_run_whose_earlier_parts_wait_stays_offline(undecided, capsys):
    undecided.setenv("WANDB_API_KEY", "0" * 40)
    with serving() as (address, _):
        undecided.setenv("WANDB_BASE_URL", address)
        tracking.settle_mode(waiting=2)
    assert tracking.os.environ["WANDB_MODE"] == "offline"
    assert "2 earlier parts have not been sent to W&B: logging offline, send later" in capsys.readouterr().out


def test_only_the_first_process_decides(undecided, capsys):
    undecided.setattr(rank_zero_only, "rank", 1)
    tracking.settle_mode()
    assert "WANDB_MODE" not in tracking.os.environ
    assert capsys.readouterr().out == ""


def test_a_row_that_another_needs_does_not_log_to_the_run_of_a_sweep_s_agent(monkeypatch):
    agent = {"WANDB_SWEEP_ID": "sweep", "WANDB_RUN_ID": "run", "WANDB_SWEEP_PARAM_PATH": "file"}
    for name, value in {**agent, "SWEEP_ROW": "table-3/faceswap"}.items():
        monkeypatch.setenv(name, value)
    tracking.leave_sweep("table-3/faceswap")
    assert {name: tracking.os.environ.get(name) for name in agent} == agent
    tracking.leave_sweep("table-2/all-methods")
    assert not agent.keys() & tracking.os.environ.keys()


def test_a_mode_that_was_chosen_is_kept(undecided, capsys):
    undecided.setenv("WANDB_MODE", "disabled")
    assert mode_after_settling() == "disabled"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("given", ["offlin", "on line", "true", "1"])
def test_a_misspelt_mode_is_a_sentence(undecided, given):
    undecided.setenv("WANDB_MODE", given)
    with pytest.raises(ValueError, match=rf"^WANDB_MODE is '{given}', wanted one of online, offline, .* did you mean "):
        tracking.settle_mode()


@pytest.mark.parametrize(
    ("given", "settled"),
    [("", "offline"), ("OFFLINE", "offline"), ("dryrun", "offline"), (" Disabled", "disabled"), ("online", "offline")],
)
def test_a_mode_is_read_whatever_its_case_and_none_is_online_without_a_key(undecided, given, settled):
    undecided.setenv("WANDB_MODE", given)
    assert mode_after_settling() == settled


@pytest.mark.parametrize("key", [" ", "a b", "\n"])
def test_what_is_no_key_means_offline(undecided, key):
    undecided.setenv("WANDB_API_KEY", key)
    assert mode_after_settling() == "offline"


@pytest.mark.parametrize("address", ["nowhere", "htp://x", "", "http://"])
def test_a_bad_address_means_offline(undecided, address):
    undecided.setenv("WANDB_API_KEY", "0" * 40)
    undecided.setenv("WANDB_BASE_URL", address)
    assert mode_after_settling() == "offline"
