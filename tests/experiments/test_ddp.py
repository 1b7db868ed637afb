"""Two processes train and test together on CPU (gloo), with a hard end should they hang."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.experiments.test_cli import FILES, SMALL, run


def run_with_two(command, tree, folder, **environment):
    words = [sys.executable, "-m", "experiments", command, *FILES, *SMALL, f"--data.init_args.root={tree}"]
    words += [f"--trainer.default_root_dir={folder}", "--trainer.devices=2", "--trainer.accelerator=cpu"]
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, **environment},
    )
    try:
        output, _ = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, output
    return output


def test_two_processes_train_and_test_as_one_would(tree, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    home = {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc"), "WANDB_API_KEY": "", "WANDB_MODE": "offline"}
    assert "distributed_backend=gloo" in run_with_two("fit", tree, folder, **home)
    assert json.loads((folder / "provenance.json").read_text())["fit"]["processes"] == 2
    assert len(list(folder.glob("wandb/offline-run-*/*.wandb"))) == 1
    run_with_two("test", tree, folder)
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    run("test", tree, folder, "--name=one")
    together, alone = (json.loads((folder / name).read_text()) for name in ("metrics.json", "metrics-one.json"))
    assert together == pytest.approx(alone, abs=1e-6)
