"""Two processes train and test together on CPU (gloo), with a hard end should they hang."""

import json
import os
import signal
import subprocess
import sys

from tests.experiments.test_cli import FILES, SMALL


def run_with_two(command, tree, folder):
    words = [sys.executable, "-m", "experiments", command, *FILES, *SMALL, f"--data.init_args.root={tree}"]
    words += [f"--trainer.default_root_dir={folder}", "--trainer.devices=2", "--trainer.accelerator=cpu"]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, env=os.environ
    )
    try:
        output, _ = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, output
    return output


def test_two_processes_train_and_test(tree, tmp_path):
    assert "distributed_backend=gloo" in run_with_two("fit", tree, tmp_path)
    run_with_two("test", tree, tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert 0 <= metrics["test/pixel_iou_balanced"] <= 1
    assert json.loads((tmp_path / "provenance.json").read_text())["fit"]["processes"] == 2
