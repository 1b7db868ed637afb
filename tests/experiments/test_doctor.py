import inspect
import json
import shutil

import pytest

from datamodules import FaceForensicsDataModule
from datamodules.doctor import Part
from experiments.cli import main
from experiments.config.rows import TABLES
from experiments.doctor import DEFAULTS, PIXEL_FREE, read_needs
from lightning_modules import ClassificationModule

METHODS = ["Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"]


def test_what_a_row_leaves_out_is_what_the_data_module_takes_by_default():
    parameters = inspect.signature(FaceForensicsDataModule).parameters
    assert {name: parameters[name].default for name in DEFAULTS} == DEFAULTS
    module, _, name = PIXEL_FREE.rpartition(".")
    assert (module, name) == ("lightning_modules", ClassificationModule.__name__)


def run(capsys, *words):
    with pytest.raises(SystemExit) as stopped:
        main(["doctor", *map(str, words)])
    return stopped.value.code, capsys.readouterr()


def test_needs_are_those_of_the_rows():
    wanted = read_needs(TABLES)
    tables = {path.parent.name for path in TABLES.glob("*/*.yaml")}
    assert set(wanted) == tables
    videos = [Part("videos", method, "c23") for method in ["original", *METHODS]]
    masks = [Part("masks", method) for method in METHODS]
    assert wanted["table-0"] == [Part("splits"), *videos]  # a classifier on a detector's crops needs no masks
    assert wanted["table-1"] == [Part("splits"), *videos, *masks]


def test_a_table_added_later_is_covered(tmp_path):
    (tmp_path / "base.yaml").write_text((TABLES / "base.yaml").read_text())
    table = tmp_path / "table-9"
    table.mkdir()
    (table / "_base.yaml").write_text("data: {init_args: {compression: raw, methods: [FaceShifter]}}")
    (table / "a.yaml").write_text("data: {init_args: {methods+: [DeepFakeDetection]}}")
    (table / "b.yaml").write_text("data: {init_args: {compression: c40}}")
    assert set(read_needs(tmp_path)["table-9"]) == {
        Part("splits"),
        *(Part("videos", name, "raw") for name in ("original", "actors", "FaceShifter", "DeepFakeDetection")),
        Part("videos", "original", "c40"),
        Part("videos", "FaceShifter", "c40"),
        Part("masks", "DeepFakeDetection"),  # FaceShifter has none
    }


def test_what_a_table_lacks_is_said_with_what_to_select(own_tree, tmp_path, capsys):
    shutil.rmtree(own_tree / "manipulated_sequences/FaceSwap/masks")
    shutil.rmtree(own_tree / "manipulated_sequences/NeuralTextures/c23")
    _, printed = run(capsys, own_tree, "--out", tmp_path / "out", "--frames", 0)
    table_0, table_1 = printed.out.split("  table-0: ")[1].split("  table-1: ")
    assert (
        "0 of 6 NeuralTextures c23 videos: take in the official download -d NeuralTextures -c c23 -t videos" in table_0
    )
    assert "masks" not in table_0
    assert "0 of 6 FaceSwap masks: take in the official download -d FaceSwap -t masks: 6 files" in table_1
    report = json.loads((tmp_path / "out" / "doctor.json").read_text())
    lacking = {each["part"] for each in report["needs"]["table-1"] if each["there"] < each["wanted"]}
    assert lacking == {"FaceSwap masks", "NeuralTextures c23 videos", "NeuralTextures masks"}


def test_a_whole_tree_lacks_nothing(tree, tmp_path, capsys):
    code, printed = run(capsys, tree, "--out", tmp_path, "--frames", 1)
    assert code == 0
    assert printed.out.count(": all there") == len(read_needs(TABLES)) - 1  # table-4 wants raw and c40, too
    assert " of 6 original raw videos: take" not in printed.out.split("  table-5: ")[1]
    assert "table-1: all 10 parts are there" in (tmp_path / "index.html").read_text()


def test_before_the_first_download_the_official_numbers_are_said(tmp_path, capsys):
    code, printed = run(capsys, tmp_path)
    assert code == 2
    assert "holds no raw or c23 or c40 video" in printed.err
    assert "0 of 1000 Deepfakes c23 videos: take" in printed.out
    assert "0 of 3 splits: take train.json, val.json and test.json (360, 70, 70 pairs)" in printed.out
