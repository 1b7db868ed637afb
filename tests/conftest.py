"""A tiny FaceForensics++ tree, clips of one's own, and a home without network or yesterday's caches."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

Box = tuple[int, int, int, int] | None


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
