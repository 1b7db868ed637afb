"""A tiny FaceForensics++ tree, clips of one's own, and a home without network or yesterday's caches."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]

Box = tuple[int, int, int, int] | None

PROGRAM = f"""#!{sys.executable} -IS
import json, os, sys
with open(os.environ["SAID"], "a") as file:
    file.write(json.dumps([sys.argv[1:], os.environ.get("SWEEP_ROW")]) + "\\n")
"""


def pytest_configure(config: pytest.Config) -> None:
    """Some packages read these when they are imported, so a fixture would come too late.

    What a shell starts in the background ignores Ctrl-C, which some tests send.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["WANDB_MODE"] = "disabled"
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Caches go to a temporary folder; a seed left behind by the caller does not reach the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("WANDB_MODE", "disabled")
        patch.delenv("PL_GLOBAL_SEED", raising=False)
        yield


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pairs at c23, one a split, with every quirk of the real data; not to be changed."""
    from datamodules.synthetic import write_tree

    out = tmp_path_factory.mktemp("tree") / "mini"
    write_tree(out, pairs=3, seed=0, frames=12, size=(160, 128), qualities=("c23",), workers=0)
    return out


@pytest.fixture
def own_tree(tree: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return shutil.copytree(tree, tmp_path / "own")


@pytest.fixture(scope="session")
def film() -> Callable[..., Path]:
    """Writes a small clip, by default of grey frames, brighter to the right and with time.

    With `faces` it is a mask: black, white inside each frame's box, wholly black where the box is None.
    """
    from datamodules import write_video

    def write(
        path: Path,
        frames: int = 6,
        size: tuple[int, int] = (96, 64),
        faces: Box | Sequence[Box] = (),
        quality: str = "c23",
        fps: int = 25,
    ) -> Path:
        width, height = size
        images = []
        boxes = [faces] * frames if faces is None or (faces and isinstance(faces[0], int)) else list(faces)
        for number in range(frames):
            if boxes:
                image = np.zeros((height, width, 3), np.uint8)
                if boxes[number] is not None:
                    x0, y0, x1, y1 = boxes[number]
                    image[y0:y1, x0:x1] = 255
            else:
                ramp = np.linspace(40 + 5 * number, 200, width).astype(np.uint8)
                image = np.tile(ramp[None, :, None], (height, 1, 3))
            images.append(image)
        write_video(path, images, quality, fps)
        return path

    return write


@pytest.fixture
def make(tmp_path):
    """Runs make with an interpreter that only notes its arguments; gives them, of each call."""
    program, installed, said = tmp_path / "python", tmp_path / "venv/.installed", tmp_path / "said"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    installed.parent.mkdir()
    installed.touch()
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    os.utime(tmp_path / "pyproject.toml", (0, 0))
    (tmp_path / "experiments/tables/table-1").mkdir(parents=True)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "GNUMAKE"))}

    def run(*words, environment=None, rc=0):
        said.write_text("")
        command = ["make", "--no-print-directory", *words, f"PY={program}", f"VENV={tmp_path / 'venv'}"]
        told = {**clean, "SAID": str(said), **(environment or {})}
        done = subprocess.run(command, cwd=tmp_path, env=told, capture_output=True, text=True)
        assert done.returncode == rc, done.stdout + done.stderr
        assert not (tmp_path / "made").exists()
        return [json.loads(line) for line in said.read_text().splitlines()] if rc == 0 else done.stdout

    return run
