"""The architecture as a test: who may import what."""

import ast
from pathlib import Path

import pytest

import datamodules
import lightning_modules

ROOT = Path(__file__).parents[1]
ROOMS = ("datamodules", "lightning_modules")
FILES = [path.relative_to(ROOT) for room in (*ROOMS, "experiments") for path in sorted((ROOT / room).rglob("*.py"))]
IN_ROOMS = [path for path in FILES if path.parts[0] in ROOMS]

DOORS = {
    "decord": {"datamodules/video.py"},
    "torchcodec": {"datamodules/video.py"},
    "av": {
        f"datamodules/{name}.py" for name in ("video", "packets", "planes", "containers", "listing", "player", "scan")
    },
    "dlib": {"datamodules/detection.py"},
    "albumentations": {"datamodules/transforms.py"},
    "timm": {f"lightning_modules/{name}.py" for name in ("encoders", "output_stride", "simple_pyramid")},
    "segmentation_models_pytorch": {f"lightning_modules/{name}.py" for name in ("decoders", "networks")},
    "submitit": {"experiments/slurm.py"},
    "wandb": {f"experiments/{name}.py" for name in ("offline", "tracking", "wandb_logger")},
}
LIGHTNING = {
    "datamodules/video_data.py",
    "lightning_modules/base.py",
    "lightning_modules/segmentation.py",
    "lightning_modules/classification.py",
}


def absolute_imports(path: Path) -> set[str]:
    """Packages a file names, wherever in it; `from . import` is not one of them."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).split(".")[0])
    return found


@pytest.mark.parametrize("path", IN_ROOMS, ids=str)
def test_rooms_do_not_know_each_other_and_import_themselves_relatively(path):
    assert not {*ROOMS, "experiments", "tests"} & absolute_imports(path)


@pytest.mark.parametrize("path", IN_ROOMS, ids=str)
def test_a_relative_import_stays_in_its_room(path):
    levels = [node.level for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.ImportFrom)]
    assert max(levels, default=0) < len(path.parts)


@pytest.mark.parametrize("name", ["METHODS", "UNKNOWN"])
def test_rooms_that_do_not_know_each_other_read_a_batch_alike(name):
    assert getattr(datamodules, name) == getattr(lightning_modules, name)


@pytest.mark.parametrize("package", DOORS)
def test_each_outside_thing_has_one_door(package):
    assert {str(path) for path in FILES if package in absolute_imports(path)} <= DOORS[package]


def test_lightning_stays_in_the_modules():
    users = {str(path) for path in IN_ROOMS if {"pytorch_lightning", "lightning"} & absolute_imports(path)}
    assert users <= LIGHTNING


@pytest.mark.parametrize("path", [path for path in IN_ROOMS if path.name == "__init__.py"], ids=str)
def test_a_public_interface_is_imports_and_a_sorted_all(path):
    docstring, *body = ast.parse((ROOT / path).read_text()).body
    assert isinstance(docstring, ast.Expr)
    *imports, last = body
    assert all(isinstance(node, ast.ImportFrom) and node.level == 1 for node in imports)
    assert isinstance(last, ast.Assign)
    assert last.targets[0].id == "__all__"
    names = ast.literal_eval(last.value)
    assert set(names) == {alias.asname or alias.name for node in imports for alias in node.names}
    # as ruff sorts: constants, then classes, then functions
    assert names == sorted(names, key=lambda name: ((not name.isupper()) + name[0].islower(), name))
