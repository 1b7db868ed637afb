"""The wheel and the models' README: the modules learn from somebody else's data, without this repository."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.test_walls import IN_ROOMS, ROOT, absolute_imports

SECTION = "## Use the models in your own project"
OPTIONAL = {"dlib", "jinja2", "matplotlib", "torchcodec"}  # imported where they are asked for
SIZE = 48  # pixels of the drawn crops, each way
ALL_FORGED = 0.3  # a script that calls every pixel forged has a lower IoU
LEARNT = 0.6

LIST_MODULES = """
import importlib, pkgutil, sys
for room in ("datamodules", "lightning_modules"):
    package = importlib.import_module(room)
    modules = [importlib.import_module(m.name) for m in pkgutil.walk_packages(package.__path__, room + ".")]
    print(*(module.__file__ for module in (package, *modules)), sep="\\n")
"""


@pytest.fixture(scope="module")
def blocks():
    """Python blocks of the section of the models' README: the script, the classifier."""
    section = (ROOT / "lightning_modules" / "README.md").read_text().split(f"{SECTION}\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """48 crops to train on and 16 to validate, noise of any colour, every other one with a redder disc."""
    root = tmp_path_factory.mktemp("somebody") / "crops"
    rng = np.random.default_rng(0)
    for split, crops in (("train", 48), ("val", 16)):
        forged = 0.0
        for kind in ("images", "masks"):
            (root / split / kind).mkdir(parents=True)
        for number in range(crops):
            image = rng.normal(rng.uniform(60, 160, 3), 20, (SIZE, SIZE, 3))
            mask = np.zeros((SIZE, SIZE), np.uint8)
            if number % 2:
                x, y = (int(place) for place in rng.integers(SIZE // 3, SIZE - SIZE // 3, 2))
                cv2.circle(mask, (x, y), SIZE // 4, 255, -1)
                image[mask > 0] += (-40, -40, 80)  # blue, green, red
            forged += (mask > 0).mean() / crops
            cv2.imwrite(str(root / split / "images" / f"{number:03}.png"), image.clip(0, 255).astype(np.uint8))
            cv2.imwrite(str(root / split / "masks" / f"{number:03}.png"), mask)
        assert 0 < forged < ALL_FORGED
    return root


def run(words, cwd, **variables):
    """What a command prints, in an environment that knows nothing of the caller's."""
    clean = {"PATH": os.defpath, "HOME": str(cwd), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=clean | variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_script(python, block, folder, cwd, **variables):
    """Runs the script beside nothing, returns the IoU it prints."""
    cwd.mkdir()
    script = cwd / "train.py"
    script.write_text(block)
    printed = run([python, script, folder], cwd, **variables)
    shutil.rmtree(cwd / "lightning_logs")  # its checkpoint, 170 MB
    mask = cv2.imread(str(cwd / "mask.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (SIZE, SIZE)
    assert set(np.unique(mask)) <= {0, 255}
    return float(re.search(r"^pixel IoU (\d\.\d{3})$", printed, flags=re.MULTILINE).group(1))


def plain(name):
    """A distribution's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def build_wheel(python, out, *options, **variables):
    """Builds the wheel from a copy: setuptools leaves a `build` beside the sources, and packs what lies in it."""
    out.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "CITATION.cff"):
        shutil.copy(ROOT / name, out)
    for name in ("datamodules", "lightning_modules", "experiments", "tests"):
        shutil.copytree(ROOT / name, out / name, ignore=shutil.ignore_patterns("__pycache__"))
    run([python, "-m", "pip", "wheel", "--quiet", "--no-deps", *options, "--wheel-dir", out, out], out, **variables)
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def empty_env():
    """Python of an environment that holds nothing but pip; what is installed into it (6 GB) goes in any case."""
    with tempfile.TemporaryDirectory(prefix="reuse-") as env:
        run([sys.executable, "-m", "venv", env], env)
        yield Path(env) / "bin" / "python"


def test_the_script_fits_a_page(blocks):
    assert len(blocks[0].splitlines()) <= 40


def test_the_script_learns_where_somebody_elses_crops_are_forged(blocks, folder, tmp_path):
    iou = run_script(sys.executable, blocks[0], folder, tmp_path / "own", PYTHONPATH=str(ROOT))
    assert iou > LEARNT


def test_the_classifier_takes_the_same_batches_without_masks(blocks, folder, tmp_path):
    maskless = """
import sys
from pathlib import Path
import pytorch_lightning as pl
from torch.utils.data import DataLoader
from train import Crops

class Maskless(Crops):
    def __len__(self):
        return 8

    def __getitem__(self, i):
        sample = super().__getitem__(i)
        return {"image": sample["image"], "label": sample["label"]}

crops = (Maskless(Path(sys.argv[1]) / split, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)) for split in ("train", "val"))
train, val = (DataLoader(c, batch_size=8) for c in crops)
"""
    (tmp_path / "train.py").write_text(blocks[0])
    (tmp_path / "classify.py").write_text(f"{maskless}\n{blocks[1]}")
    run([sys.executable, "classify.py", folder], tmp_path, PYTHONPATH=str(ROOT))
    shutil.rmtree(tmp_path / "lightning_logs")


def test_the_wheel_holds_the_two_rooms_and_nothing_else(tmp_path):
    # the current environment's setuptools, so that no network is needed
    wheel = build_wheel(sys.executable, tmp_path / "sources", "--no-build-isolation")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.endswith("/")}
    info = next(name.split("/")[0] for name in held if name.endswith(".dist-info/METADATA"))
    about = {f"{info}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "top_level.txt", "licenses/LICENSE")}
    sources = {path.as_posix() for path in IN_ROOMS}
    typed = {f"{room}/{name}" for room in ("datamodules", "lightning_modules") for name in ("py.typed", "__init__.pyi")}
    others = {"datamodules/doctor/page.html", *typed}
    assert held == sources | others | about


def test_every_package_the_rooms_import_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {plain(re.match(r"[\w.-]+", line).group()) for line in project["dependencies"]}
    imported = set().union(*map(absolute_imports, IN_ROOMS)) - sys.stdlib_module_names - OPTIONAL
    owners = packages_distributions()
    assert not {package for package in imported if not declared & set(map(plain, owners.get(package, [])))}


@pytest.mark.slow
def test_the_wheel_in_an_empty_environment_is_all_that_the_script_needs(blocks, folder, empty_env, tmp_path):
    pip = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}  # index and proxy
    wheel = build_wheel(empty_env, tmp_path / "sources", **pip)
    run([empty_env, "-m", "pip", "install", "--quiet", "--no-cache-dir", wheel], tmp_path, **pip)
    run([empty_env, "-m", "pip", "check"], tmp_path)

    assert run_script(empty_env, blocks[0], folder, tmp_path / "own") > LEARNT

    files = run([empty_env, "-c", LIST_MODULES], tmp_path / "own").split()
    site = Path(run([empty_env, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], tmp_path).strip())
    assert site.is_relative_to(empty_env.parents[1])
    assert {Path(file) for file in files} == {site / path for path in IN_ROOMS}
