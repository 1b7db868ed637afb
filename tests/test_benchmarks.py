"""The benchmark runs and writes what it says; its figures are not tested."""

import json
import os
import subprocess
import sys
from pathlib import Path


def test_the_benchmark_writes_a_row_a_comparison(tmp_path):
    words = [sys.executable, "-m", "tests.benchmarks", "--out", str(tmp_path), "--repeats", "1", "--clips", "2"]
    words += ["--frames", "20", "--sizes", "160x128", "192x128", "--only", "stream"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path / "home")}
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[1], env=environment)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "bench.json").read_text())
    assert len(rows) == 8
    assert all(set(row) == {"name", "ratio", "bound", "holds", "runs"} for row in rows)
    assert all(row["name"] in done.stdout for row in rows)
