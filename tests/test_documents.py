"""What README.md, the rooms' and the documentation tell a reader to type can be typed, and their Python runs."""

import argparse
import re
import shlex
import shutil
import tomllib
from functools import cache

import pytest
import pytorch_lightning as pl

from datamodules.synthetic import __main__ as synthetic
from experiments.cli import COMMANDS
from experiments.config.keys import check_keys
from experiments.config.layers import add_table_base, read_layers
from experiments.config.rows import TABLES, find_rows
from experiments.training.settings import Settings
from lightning_modules import SegmentationModule
from tests.markdown import ROOT, blocks

ROOMS = [ROOT / room / "README.md" for room in ("datamodules", "lightning_modules", "experiments")]
DOCUMENTS = [ROOT / "README.md", *ROOMS, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
ELSEWHERE = {"CONTRIBUTING.md", "lightning_modules/README.md"}  # whose Python test_recipes and test_reuse run
PROGRAMS = ("make", "python", ".venv/bin/python", ".venv/bin/wandb", "pip")
STAGES = ("fit", "validate", "test", "predict", "row", "baselines")
MAKEFILE = (ROOT / "Makefile").read_text()
VARIABLES = set(re.findall(r"\$\$?\(?([A-Z]+)\b", MAKEFILE))
NAMES = {path.name for path in TABLES.iterdir() if path.is_dir() and path.name != "demo"}
TARGETS = set(re.search(r"^\.PHONY: (.*) \$\(TABLES\)$", MAKEFILE, re.MULTILINE).group(1).split()) | NAMES
SMALLER = {
    'encoder="resnet18"': 'encoder="test_resnet"',
    "size=112": "size=64",
    "frames_per_clip=14": "frames_per_clip=2",
    "max_epochs=8": "max_epochs=1",
}


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def words_of(line):
    """The words of a shell's line: variables that it sets first, and the command."""
    words = shlex.split(line, comments=True)
    first = next((i for i, word in enumerate(words) if not re.match(r"[A-Z_]+=", word)), len(words))
    return dict(word.split("=", 1) for word in words[:first]), words[first:]


def typed(path):
    """Command lines in the blocks of a document that name no language."""
    for block in blocks(path):
        if not block.language:
            for line in block.text.replace("\\\n", " ").splitlines():
                found = re.match(r"(?:[A-Z_]+=\S+ )*(\S+)", line.strip())
                if found and found.group(1) in PROGRAMS:
                    yield line.strip()


TYPED = [pytest.param(line, id=f"{name_of(path)}: {line[:60]}") for path in DOCUMENTS for line in typed(path)]
NAMED = {
    code
    for path in DOCUMENTS
    for code in re.findall(r"`(make [^`]+)`", re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S))
}


class ParsedError(Exception):
    """A command's options have been read without complaint."""


@pytest.fixture
def stop(monkeypatch):
    """Ends a command once argparse has read its options, which the error holds."""
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self, *arguments, **options):
        raise ParsedError(parse(self, *arguments, **options))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)


@cache
def settings(options):
    return Settings(options)


def check_program(words):
    """Reads the arguments of `python -m ...` as the program does; they are refused by SystemExit or ValueError."""
    module, *words = words
    if module == "datamodules.synthetic":
        with pytest.raises(ParsedError):
            synthetic.main(words)
        return
    assert module in ("experiments", "mkdocs", "pytest", "pip", "tests.benchmarks", "tests.matrix")
    if module != "experiments" or words == ["--help"]:
        return
    command, *words = words
    if command in STAGES:
        words = add_table_base(words)
        check_keys(read_layers(words))
        settings(()).parse(words)
        return
    with pytest.raises(ParsedError) as stopped:
        COMMANDS[command].function()(words)
    if command in ("run", "plan"):
        rows = find_rows(stopped.value.args[0].names, TABLES)
        settings(tuple(words[words.index("--") + 1 :])).of(rows[0])


def check_make(words):
    """Targets exist, and so do the variables that they are given."""
    targets = [word for word in words if "=" not in word]
    assert set(targets) <= TARGETS
    assert {word.split("=")[0] for word in words if "=" in word} <= VARIABLES


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("line", TYPED)
def test_what_is_to_be_typed_is_understood(line, make, stop, tmp_path):
    environment, (program, *words) = words_of(line)
    if program == "make":
        check_make(words)
        for table in NAMES:
            (tmp_path / "experiments/tables" / table).mkdir(parents=True, exist_ok=True)
        (tmp_path / "venv/bin").mkdir()
        for tool in ("ruff", "mypy"):
            shutil.copy(tmp_path / "python", tmp_path / "venv/bin" / tool)
        calls = make(*words, environment=environment) if "test-slurm" not in words else ()
        for arguments, _ in calls:
            if arguments[:1] == ["-m"]:
                check_program(arguments[1:])
    elif program.endswith("python"):
        assert words[0] == "-m"
        check_program(words[1:])
    elif program.endswith("wandb"):
        assert words[0] in ("login", "sweep", "agent")
    for extra in re.findall(r"\.\[(\w+)\]", line):
        assert extra in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("code", sorted(NAMED))
def test_what_is_named_exists(code):
    check_make([word for word in shlex.split(code)[1:] if word != "..."])


def test_there_is_something_to_type():
    assert len(TYPED) > 50
    assert len(NAMED) > 20


@pytest.fixture(scope="module")
def folder(tree, tmp_path_factory):
    """What the documents' Python finds: mini data, clips of one's own, checkpoints of finished runs."""
    root = tmp_path_factory.mktemp("reader")
    (root / "data").mkdir()
    (root / "data/mini").symlink_to(tree)
    videos = sorted((tree / "original_sequences/youtube/c23/videos").glob("*.mp4"))[:2]
    (root / "mine.csv").write_text("path,label,pair\n" + "".join(f"{video},0,anna\n" for video in videos))
    model = SegmentationModule(encoder="test_resnet", pretrained=False)
    trainer = pl.Trainer(logger=False, accelerator="cpu")
    trainer.strategy.connect(model)
    for row in ("table-2/resnet50-joint", "demo/segmentation"):
        trainer.save_checkpoint(root / f"runs/{row}/seed0/checkpoints/best.ckpt", weights_only=True)
    return root


WITH_PYTHON = [path for path in DOCUMENTS if any(block.language == "python" for block in blocks(path))]


@pytest.mark.filterwarnings("ignore::UserWarning")  # Lightning's advice, on loggers and steps
@pytest.mark.parametrize("path", [path for path in WITH_PYTHON if name_of(path) not in ELSEWHERE], ids=name_of)
def test_the_python_of_a_document_runs(path, folder, monkeypatch):
    monkeypatch.chdir(folder)
    script = "\n".join(block.text for block in blocks(path) if block.language == "python")
    for large, small in SMALLER.items():
        script = script.replace(large, small)
    exec(compile(script, str(path), "exec"), {"__name__": "__main__"})
