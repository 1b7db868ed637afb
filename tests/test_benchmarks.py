"""The benchmark runs and writes what it says; its figures are not tested."""

import json
import os
import subprocess
import sys
from pathlib import Path


def test_the_benchmark_measures_every_comparison(tmp_path):
    words = [sys.executable, "-m", "tests.benchmarks", "--out", str(tmp_path), "--repeats", "1", "--clips", "4"]
    words += ["--frames", "40", "--sizes", "288x288", "320x288", "--opens", "20"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path / "home")}
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[1], env=environment)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "bench.json").read_text())
    assert all(set(row) == {"name", "ratio", "bound", "holds", "runs"} for row in rows)
    assert all(
        row["holds"] == (row["ratio"] >= row["bound"]) for row in rows if abs(row["ratio"] - row["bound"]) > 0.01
    )
    named = " ".join(row["name"] for row in rows)
    for contest in (
        "bare decoder",
        "decord loop",
        "random frame",
        "PNG crops",
        "extracting",
        "two workers",
        "transforms",
    ):
        assert contest in named
    assert done.stdout.count("a clip") >= 13
