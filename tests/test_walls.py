"""The architecture as a test: who may import what."""

import ast
import builtins
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import datamodules
import lightning_modules

ROOT = Path(__file__).parents[1]
ROOMS = ("datamodules", "lightning_modules")
FILES = [path.relative_to(ROOT) for room in (*ROOMS, "experiments") for path in sorted((ROOT / room).rglob("*.py"))]
IN_ROOMS = [path for path in FILES if path.parts[0] in ROOMS]

DOORS = {
    "decord": {"datamodules/video/decoders.py"},
    "torchcodec": {"datamodules/video/decoders.py"},
    "av": {
        f"datamodules/video/{name}.py"
        for name in ("decoders", "writer", "packets", "planes", "containers", "listing", "player", "scan")
    },
    "dlib": {"datamodules/faces/detection.py"},
    "albumentations": {"datamodules/crops/transforms.py"},
    "timm": {f"lightning_modules/networks/{name}.py" for name in ("encoders", "output_stride", "simple_pyramid")},
    "segmentation_models_pytorch": {f"lightning_modules/networks/{name}.py" for name in ("decoders", "network")},
    "submitit": {"experiments/launch/slurm.py"},
    "wandb": {f"experiments/tracking/{name}.py" for name in ("offline", "mode", "logger")},
}
LIGHTNING = {
    "datamodules/video_data.py",
    "datamodules/stages.py",
    "lightning_modules/base.py",
    "lightning_modules/segmentation.py",
    "lightning_modules/classification.py",
}
DIRECTIONS = {
    "datamodules": {
        "layouts": "video_data stages loading crops faces clips video",
        "video_data": "stages clip_source loading crops faces clips video parallel files batch",
        "stages": "",
        "clip_source": "crops faces",
        "doctor": "faces clips video parallel files",
        "synthetic": "faces clips video parallel files",
        "loading": "crops faces clips video parallel batch",
        "crops": "faces clips video batch",
        "faces": "clips video parallel files",
        "clips": "video parallel files",
        "video": "files",
        "parallel": "",
        "files": "",
        "batch": "",
        "errors": "",
    },
    "lightning_modules": {
        "segmentation": "base losses pixel_loss optimisation start metrics networks batch",
        "classification": "base losses optimisation start networks batch",
        "base": "optimisation precision start metrics networks batch",
        "baselines": "batch",
        "pixel_loss": "losses",
        "losses": "batch",
        "optimisation": "",
        "precision": "",
        "start": "networks",
        "metrics": "batch",
        "networks": "",
        "batch": "",
        "errors": "",
    },
    "experiments": {
        "__main__": "cli",
        "cli": "sentences signals",
        "sentences": "runs",
        "launch": "training tracking doctor runs config signals",
        "cost": "training runs config",
        "training": "callbacks tracking evaluation runs config signals",
        "callbacks": "tracking evaluation runs",
        "report": "evaluation runs config",
        "tracking": "evaluation runs config",
        "evaluation": "runs",
        "export": "runs",
        "doctor": "config",
        "runs": "config signals",
        "config": "signals",
        "tables": "",
        "signals": "",
        "errors": "",
    },
}
"""What each file or sub-room of a room may import of the others; a sub-room its own files, and all of them errors."""

ERRORS = {
    name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, ValueError | OSError)
}
"""What is raised of wrong input and of files; here by the classes of a room's errors.py, which tell it from a bug."""

PLAIN = {
    "datamodules/crops/cache.py": "the disk's, as a number; the cache then does without",
    "datamodules/crops/crop_file.py": "the disk's, as a number",
    "experiments/evaluation/sound.py": "what is wrong with a file, for the error that names it",
    "experiments/launch/steps.py": "a plan that contradicts itself",
    "experiments/runs/damage.py": "what is wrong with a file, for the error that names it",
}
"""Files that raise such an error as it is, and of what."""


def module_of(path: Path) -> str:
    """The dotted name of a file."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def imported(path: Path) -> Iterator[tuple[str, bool]]:
    """Modules of this project that a file imports, and whether for typing only."""
    tree = ast.parse((ROOT / path).read_text())
    typing = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    package = path.parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                for name in (f"{module}.{alias.name}", module):
                    if name in MODULES:
                        yield name, id(node) in typing
                        break


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_follow_the_directions(path):
    own = module_of(path).split(".")
    for name, _ in imported(path):
        room, *rest = name.split(".")
        if room == own[0] and len(own) > 1 and rest and rest[0] != own[1]:
            assert rest[0] in {*DIRECTIONS[room][own[1]].split(), "errors"}, f"{path} imports {name}"


@pytest.mark.parametrize("room", DIRECTIONS)
def test_directions_tell_of_every_file_and_sub_room_and_of_nothing_else(room):
    there = {path.stem for path in (ROOT / room).iterdir() if path.is_dir() or path.suffix == ".py"}
    assert set(DIRECTIONS[room]) == there - {"__init__", "__pycache__"}


def test_no_imports_run_in_a_ring():
    graph = {module_of(path): {name for name, typing in imported(path) if not typing} for path in FILES}
    for module, names in graph.items():
        names.discard(module)
    assert sum(map(len, graph.values())) > 200
    list(TopologicalSorter(graph).static_order())  # CycleError names a ring
    parts = {
        f"{room}.{part}": {f"{room}.{one}" for one in told.split()}
        for room in DIRECTIONS
        for part, told in DIRECTIONS[room].items()
    }
    list(TopologicalSorter(parts).static_order())


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_is_read_in_one_sitting(path):
    assert len((ROOT / path).read_text().splitlines()) <= 300


def test_a_room_is_seen_at_a_glance():
    folders = {path.parent for path in FILES}
    for folder in folders:
        there = [path for path in (ROOT / folder).iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()]
        assert len([path for path in there if path.name != "__init__.py"]) <= 16, folder


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


def plain_errors(path: Path) -> set[int]:
    """Lines of a file that make an error of Python's own classes for wrong input, or a class of them."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        named = [node.func] if isinstance(node, ast.Call) else node.bases if isinstance(node, ast.ClassDef) else []
        if isinstance(node, ast.Raise) and node.exc is not None:
            named = [node.exc]
        found |= {node.lineno for each in named if isinstance(each, ast.Name) and each.id in ERRORS}
    return found


@pytest.mark.parametrize("path", [path for path in FILES if path.name != "errors.py"], ids=str)
def test_what_a_user_can_mend_is_raised_as_an_error_of_the_room(path):
    assert bool(plain_errors(path)) == (str(path) in PLAIN)


@pytest.mark.parametrize("package", DOORS)
def test_each_outside_thing_has_one_door(package):
    assert {str(path) for path in FILES if package in absolute_imports(path)} <= DOORS[package]


def test_lightning_stays_in_the_modules():
    users = {str(path) for path in IN_ROOMS if {"pytorch_lightning", "lightning"} & absolute_imports(path)}
    assert users <= LIGHTNING


@pytest.mark.parametrize("room", ROOMS)
def test_a_public_interface_is_imports_and_a_sorted_all(room):
    docstring, *body = ast.parse((ROOT / room / "__init__.pyi").read_text()).body
    assert isinstance(docstring, ast.Expr)
    *imports, last = body
    assert all(isinstance(node, ast.ImportFrom) and node.level == 1 for node in imports)
    assert isinstance(last, ast.Assign)
    assert last.targets[0].id == "__all__"
    names = ast.literal_eval(last.value)
    assert set(names) == {alias.asname or alias.name for node in imports for alias in node.names}
    # as ruff sorts: constants, then classes, then functions
    assert names == sorted(names, key=lambda name: ((not name.isupper()) + name[0].islower(), name))
    package = {"datamodules": datamodules, "lightning_modules": lightning_modules}[room]
    assert sorted(package.__all__) == sorted(names)
    assert all(getattr(package, name) is not None for name in names)


@pytest.mark.parametrize("module", ["datamodules.loading.worker_process", "datamodules.parallel.pool"])
def test_what_a_worker_imports_is_without_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'pytorch_lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
