"""The recipes of CONTRIBUTING.md, followed to the letter in a copy of the project."""

import shutil
import subprocess
import sys

import pytest

from tests.markdown import ROOT, blocks, run_python

RECIPES = ("Add an encoder", "Add a decoder", "Add a loss or a metric", "Add a data set or a layout")
ALL = blocks(ROOT / "CONTRIBUTING.md")


def is_file(block):
    """Whether a block is a whole file, whose path its first line says."""
    return block.language == "python" and block.text.splitlines()[0].startswith("# ") and ".py" in block.text[:60]


def files_of(recipe):
    """Files that a recipe writes: path and text."""
    for block in ALL:
        if block.heading == recipe and is_file(block):
            first, text = block.text.split("\n", 1)
            yield first.removeprefix("# "), text


def script_of(recipe):
    """What a recipe says to try, its Python blocks as one script for `python script.py`."""
    tried = [block.text for block in ALL if block.heading == recipe and block.language == "python"]
    tried = [text for text in tried if text not in {f"# {path}\n{rest}" for path, rest in files_of(recipe)}]
    lines = [f"    {line}" if line else "" for line in "\n".join(tried).splitlines()]
    return "\n".join(["if __name__ == '__main__':", *lines, ""])  # processes that decode import it


def edit(root, text):
    """Makes the changes of a diff: each `-` line, of which there is one, becomes the `+` lines that follow it."""
    header, *lines = text.splitlines()
    path = root / header.removeprefix("--- ")
    old = path.read_text()
    for start, line in enumerate(lines):
        if line.startswith("-"):
            assert old.count(f"{line[1:]}\n") == 1, f"{path.name} has no single line {line[1:]!r}"
            rest = lines[start + 1 :]
            stop = next((at for at, one in enumerate(rest) if one.startswith("-")), len(rest))
            new = "".join(f"{one[1:]}\n" for one in rest[:stop])
            old = old.replace(f"{line[1:]}\n", new)
    path.write_text(old)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project in which every recipe's files and changes are made."""
    root = tmp_path_factory.mktemp("project")
    for name in ("datamodules", "lightning_modules", "experiments", "tests"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    for recipe in RECIPES:
        for path, text in files_of(recipe):
            (root / path).write_text(text)
        for block in ALL:
            if block.heading == recipe and block.language == "diff":
                edit(root, block.text)
    return root


@pytest.fixture
def clips(tmp_path, film):
    """A folder of tiny clips as the last recipe has them: two names a split, real and forged in a box."""
    for split in ("train", "val", "test"):
        for name in ("a", "b"):
            for kind, faces in (("real", ()), ("fake", ()), ("masks", (16, 16, 48, 48))):
                film(tmp_path / "clips" / split / kind / f"{name}.mp4", faces=faces)
    return tmp_path / "clips"


def test_there_are_four_recipes_and_each_can_be_tried():
    assert [recipe for recipe in RECIPES if script_of(recipe).count("\n") > 2] == list(RECIPES)
    assert {block.heading for block in ALL if block.language in ("python", "diff")} == set(RECIPES)


@pytest.mark.parametrize("recipe", RECIPES[:3])
def test_a_recipe_works(recipe, project, tmp_path):
    run_python(script_of(recipe), tmp_path, project)


def test_a_layout_of_ones_own_trains_and_is_tested(project, clips, tmp_path):
    printed = run_python(script_of(RECIPES[3]), tmp_path, project)
    assert "test/pixel_iou_balanced" in printed


@pytest.mark.parametrize("words", [["check"], ["format", "--check"]], ids=str)
def test_what_the_recipes_make_passes_lint(words, project):
    done = subprocess.run([sys.executable, "-m", "ruff", *words, "."], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_recipes_make_stands_within_the_walls(project):
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "directions or ring", "tests/test_walls.py"]
    done = subprocess.run([sys.executable, *words], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
