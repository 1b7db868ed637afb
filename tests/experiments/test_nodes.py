"""Several nodes: refused where nothing starts the others, joined by torchrun."""

import json
import os
import signal
import subprocess
import sys

import pytest

from experiments.cli import main
from tests.experiments.slurm_cluster import free_ports
from tests.experiments.test_cli import FILES, SMALL


def words(tree, folder):
    options = [f"--data.init_args.root={tree}", f"--trainer.default_root_dir={folder}", "--trainer.num_nodes=2"]
    return ["row", *FILES, *SMALL, *options, "--trainer.devices=1", "--trainer.accelerator=cpu"]


@pytest.mark.parametrize("command", ["row", "run"])
def test_nodes_that_nobody_starts_are_not_waited_for(command, tree, tmp_path, capsys):
    runs = ["run", "demo/segmentation", "--runs", str(tmp_path), "--", "--trainer.num_nodes=2", "--trainer.devices=1"]
    with pytest.raises(SystemExit):
        main(words(tree, tmp_path / "run") if command == "row" else runs)
    said = capsys.readouterr().err
    assert "trainer.num_nodes is 2, but nothing starts the others" in said
    assert "torchrun --nnodes 2 --nproc_per_node 1 " in said


def test_torchrun_joins_two_nodes(tree, tmp_path):
    folder = tmp_path / "runs" / "demo" / "segmentation" / "seed0"
    (port,) = free_ports(1)
    meeting = ["--nnodes=2", "--nproc_per_node=1", "--rdzv_backend=c10d", f"--rdzv_endpoint=127.0.0.1:{port}"]
    command = [sys.executable, "-m", "torch.distributed.run", *meeting, "--local_addr=127.0.0.1"]
    nodes = [
        subprocess.Popen(
            [*command, "-m", "experiments", *words(tree, folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, "WANDB_MODE": "disabled"},
        )
        for _ in range(2)
    ]
    try:
        printed = [node.communicate(timeout=300)[0] for node in nodes]
    except subprocess.TimeoutExpired:
        for node in nodes:
            os.killpg(node.pid, signal.SIGKILL)
        raise
    assert [node.returncode for node in nodes] == [0, 0], printed
    noted = json.loads((folder / "provenance.json").read_text())
    assert [noted[stage]["processes"] for stage in ("fit", "test")] == [2, 2]
    assert noted["test_evaluations"] == {"test": 1}
    assert (folder / "metrics.json").is_file()
