"""What several tests of the experiments begin with."""

import pytest

from tests.experiments.wandb_server import serving


@pytest.fixture
def server(monkeypatch):
    """A W&B server of this test's own; yields what it is sent."""
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with serving() as (address, kept):
        monkeypatch.setenv("WANDB_BASE_URL", address)
        yield kept
