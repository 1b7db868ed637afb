"""Commands that only read say so within seconds: what takes long to import stays out of them."""

import os
import subprocess
import sys

import pytest

from experiments.cli import main
from experiments.evaluation.result import write_result
from experiments.runs.folder import RunFolder, write_metrics
from lightning_modules import OperatingPoint
from tests.experiments.test_intervals import evaluated

HEAVY = (
    *("torch", "pytorch_lightning", "lightning_fabric", "torchmetrics", "timm", "segmentation_models_pytorch"),
    *("albumentations", "jsonargparse", "wandb", "sklearn", "scipy.stats", "matplotlib", "dlib"),
)
"""Packages and parts of them that take from half a second to ten."""


def imported_by(*words):
    """Which of them a command has imported at its end, and what it printed."""
    code = (
        "import sys; from experiments.cli import main\n"
        "try: main(sys.argv[2:])\n"
        "finally: print('imported:', *[name for name in sys.argv[1].split() if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, " ".join(HEAVY), *map(str, words)]
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert ended.returncode == 0, ended.stderr
    printed, _, names = ended.stdout.rpartition("imported:")
    return names.split(), printed


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two tested runs of a table, with the logs of a training."""
    runs = tmp_path_factory.mktemp("light") / "runs"
    for seed in (0, 1):
        result, metrics = evaluated(seed=0)
        folder = RunFolder(runs / "own" / f"row{seed}" / "seed0")
        write_result(result, folder, None)
        folder.note("test", {"operating_point": OperatingPoint().as_dict()})
        write_metrics(folder.metrics(None), {f"test/{key}": value for key, value in metrics.items()})
        log = folder.path / "logs" / "version_0" / "metrics.csv"
        log.parent.mkdir(parents=True)
        log.write_text("epoch,step,train/loss,val/frame_auroc\n0,9,0.7,\n0,9,,0.6\n1,19,0.5,\n1,19,,0.8\n")
    return runs


def test_compare_and_collect_do_without_torch(runs):
    names, printed = imported_by("compare", *(runs / "own" / f"row{seed}" / "seed0" for seed in (0, 1)))
    assert "frame AUROC" in printed
    assert names == []
    names, printed = imported_by("collect", runs)
    assert "row1" in printed
    assert "<svg" in (runs / "index.html").read_text()
    assert names == ["matplotlib"]  # which draws that


@pytest.mark.parametrize("names", [["demo"], ["table-4/c23", "ablation-loss", "--quick"]], ids=str)
def test_a_plan_made_before_is_made_again_without_torch(tree, tmp_path, names, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = ["plan", *names, "--runs", str(tmp_path / "runs"), "--", "--data.init_args.root", str(tree)]
    main(words)
    first = capsys.readouterr().out
    assert imported_by(*words) == ([], first)


def test_help_and_doctor_do_without_torch(tree):
    assert imported_by("--help")[0] == []
    assert imported_by("doctor", tree, "--frames", "0")[0] in ([], ["matplotlib"])  # for its page
