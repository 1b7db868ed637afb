import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from datamodules.batch import stack_batches
from datamodules.clips.splits import read_pairs
from datamodules.errors import DataMissingError
from datamodules.parallel.pool import run_parallel
from datamodules.video.packets import UnreadableError
from experiments.sentences import sentence_of

ROOT = Path(__file__).parents[2]
MISTAKE = """
import sys
from pathlib import Path

from experiments.cli import main
from experiments.config import rows

{change}
main(["plan", "no-such-table"])
"""


def raised(work, *given):
    with pytest.raises((ValueError, OSError)) as caught:
        work(*given)
    return caught.value


@pytest.mark.parametrize(
    "change",
    ["Path(rows.__file__).write_text('')", "Path(rows.__file__).unlink()"],
    ids=["emptied", "removed"],
)
def test_a_mistake_is_a_sentence_whatever_becomes_of_the_source_meanwhile(tmp_path, change):
    for room in ("datamodules", "lightning_modules", "experiments"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "mistake.py").write_text(MISTAKE.format(change=change))
    ended = subprocess.run([sys.executable, "mistake.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith("error: 'no-such-table' is neither a row nor a table of")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_process_keeps_its_class_and_its_sentence(tmp_path, workers):
    error = raised(list, run_parallel(read_pairs, [tmp_path / "one", tmp_path / "other"], workers=workers))
    assert type(error) is DataMissingError
    assert sentence_of(error) == str(error)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_that_is_not_of_this_project_is_a_bug_in_whichever_process(workers):
    error = raised(list, run_parallel(int, ["one", "other"], workers=workers))
    assert type(error) is ValueError
    assert sentence_of(error) is None


def test_an_error_that_numpy_raises_inside_a_room_is_a_bug():
    samples = iter([{"image": np.zeros(3)}, {"image": np.zeros(4)}])
    error = raised(list, stack_batches(samples, 2, lambda first: {"image": np.zeros((2, 3))}))
    assert "could not broadcast" in str(error)
    assert sentence_of(error) is None


def test_what_an_error_was_caused_by_is_said_too():
    error = RuntimeError("while a parser was at it")
    error.__cause__ = UnreadableError("the clip is damaged: copy it again", [3])
    assert sentence_of(error) == "the clip is damaged: copy it again"
