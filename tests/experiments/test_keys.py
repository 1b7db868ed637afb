"""A misspelt key is found wherever it stands and said in one line."""

import pytest
import yaml

from experiments.cli import main
from experiments.config.keys import MisspeltKeyError, check_keys
from experiments.config.layers import add_table_base, read_layers

BASE = "experiments/tables/base.yaml"

MISSPELT = {
    "model.init_args.decodr": ({"model": {"init_args": {"decodr": "fpn"}}}, "model.init_args.decoder"),
    "data.init_args.sise": ({"data": {"init_args": {"sise": 64}}}, "data.init_args.size"),
    "trainer.max_epoch": ({"trainer": {"max_epoch": 3}}, "trainer.max_epochs"),
    "trainer.callbacks[0].init_args.per_methd": (
        {"trainer": {"callbacks": [{"class_path": "experiments.callbacks.Overlays", "init_args": {"per_methd": 3}}]}},
        "trainer.callbacks[0].init_args.per_method",
    ),
    "modle": ({"modle": {}}, "model"),
}


@pytest.mark.parametrize("key", MISSPELT)
def test_misspelt_key_in_a_file_is_said_with_file_and_nearest_key(key, tmp_path, capsys):
    settings, nearest = MISSPELT[key]
    row = tmp_path / "row.yaml"
    row.write_text(yaml.safe_dump(settings))
    with pytest.raises(SystemExit) as ended:
        main(["fit", "-c", BASE, "-c", str(row)])
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert lines == [f"error: {row}: unknown key {key}; nearest valid key: {nearest}"]


@pytest.mark.parametrize("option", ["--data.init_args.sise=64", "--trainer.max_epoch=3", "--model.init_args.decodr=x"])
def test_misspelt_key_on_the_command_line_is_said(option):
    with pytest.raises(MisspeltKeyError, match="command line: unknown key"):
        check_keys(read_layers(["-c", BASE, option]))


@pytest.mark.parametrize(
    "option", [["--data=datamodules.VideoFolderDataModule"], ["--data", "datamodules.VideoFolderDataModule"]]
)
def test_a_class_named_on_the_command_line_holds_for_what_follows(option):
    check_keys(read_layers(["-c", BASE, *option, "--data.init_args.csv", "celeb.csv"]))
    with pytest.raises(MisspeltKeyError, match=r"unknown key data\.init_args\.compression"):
        check_keys(read_layers(["-c", BASE, *option, "--data.init_args.compression", "c40"]))


def test_questions_to_the_parser_are_no_keys():
    assert read_layers(["--help", "--model.help", "--print_config", "--print_config=skip_null"]) == []


@pytest.mark.parametrize("path", ["lightning_modules.SegmentationModul", "lightning_module.SegmentationModule"])
def test_class_that_cannot_be_imported_is_a_sentence(path, tmp_path, capsys):
    row = tmp_path / "row.yaml"
    row.write_text(yaml.safe_dump({"model": {"class_path": path}}))
    with pytest.raises(SystemExit):
        main(["fit", "-c", BASE, "-c", str(row)])
    assert f"model.class_path is '{path}', which cannot be imported" in capsys.readouterr().err


def test_a_class_named_in_one_file_holds_for_the_next(tmp_path):
    row = tmp_path / "row.yaml"
    row.write_text("model: {class_path: lightning_modules.ClassificationModule}\n")
    check_keys(read_layers(["-c", BASE, "-c", str(row), "--model.init_args.encoder=resnet18"]))
    with pytest.raises(MisspeltKeyError, match=r"model\.init_args\.decoder"):
        check_keys(read_layers(["-c", BASE, "-c", str(row), "--model.init_args.decoder=unet"]))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("a: [", "is not YAML"), ("- 1", "wanted keys such as"), (None, "does not exist")],
)
def test_file_that_is_no_configuration_is_a_sentence(text, sentence, tmp_path, capsys):
    path = tmp_path / "row.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SystemExit):
        main(["fit", "-c", str(path)])
    assert sentence in capsys.readouterr().err


def test_wrong_name_of_a_row_is_answered_with_the_nearest(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "-c", BASE, "-c", "experiments/tables/table-1/resnet5-unet.yaml"])
    assert "did you mean experiments/tables/table-1/resnet50-unet.yaml?" in capsys.readouterr().err


def test_table_base_goes_before_its_row_once():
    row, base = "experiments/tables/demo/joint.yaml", "experiments/tables/demo/_base.yaml"
    wanted = ["fit", "-c", BASE, "-c", base, "-c", row]
    assert add_table_base(["fit", "-c", BASE, "-c", row]) == wanted
    assert add_table_base(wanted) == wanted


@pytest.mark.parametrize(
    ("test", "key", "nearest"),
    [
        ({"data": {"init_args": {"compresion": "c40"}}}, "data.init_args.compresion", "data.init_args.compression"),
        ({"optionel": True}, "optionel", "optional"),
    ],
)
def test_misspelt_key_of_a_further_test_is_said(test, key, nearest):
    with pytest.raises(MisspeltKeyError, match=rf"unknown key tests\.x\.{key}; nearest valid key: tests\.x\.{nearest}"):
        check_keys([*read_layers(["-c", BASE]), ("row.yaml", {"tests": {"x": test}})])


@pytest.mark.parametrize("name", ["EarlyStopping", "pytorch_lightning.callbacks.EarlyStopping"])
@pytest.mark.parametrize("named", [["--trainer.callbacks+={}"], ["--trainer.callbacks+", "{}"]])
def test_a_setting_is_of_the_callback_that_was_named_last(name, named, capsys):
    words = [*(word.format(name) for word in named), "--trainer.callbacks.monitor=val/loss"]
    check_keys(read_layers(["-c", BASE, *words, "--trainer.callbacks.patience=3"]))
    with pytest.raises(SystemExit):
        main(["fit", "-c", BASE, *words, "--trainer.callbacks.patince=3"])
    assert capsys.readouterr().err == (
        "error: command line: unknown key trainer.callbacks.init_args.patince; "
        "nearest valid key: trainer.callbacks.init_args.patience\n"
    )


def test_a_setting_of_the_last_callback_of_a_file_is_checked_too(tmp_path):
    row = tmp_path / "row.yaml"
    row.write_text("trainer: {callbacks+: [{class_path: experiments.callbacks.Overlays}]}\n")
    check_keys(read_layers(["-c", BASE, "-c", str(row), "--trainer.callbacks.per_method=3"]))
    with pytest.raises(MisspeltKeyError, match=r"nearest valid key: trainer\.callbacks\.init_args\.per_method"):
        check_keys(read_layers(["-c", BASE, "-c", str(row), "--trainer.callbacks.per_methd=3"]))


@pytest.mark.parametrize(
    ("option", "nearest"),
    [("--model.lrr=1", "model.init_args.lr"), ("--data.sise=3", "data.init_args.size")],
)
def test_a_misspelt_shorthand_of_an_argument_is_answered_with_the_argument(option, nearest):
    check_keys(read_layers(["-c", BASE, "--model.lr=1", "--data.size=3"]))
    with pytest.raises(MisspeltKeyError, match=rf"nearest valid key: {nearest}$"):
        check_keys(read_layers(["-c", BASE, option]))


@pytest.mark.parametrize(
    ("option", "near"),
    [
        ("--trainer.callbacks+=EarlyStoping", "EarlyStopping"),
        ("--trainer.logger=CSVLoger", "CSVLogger"),
        ("--model=SegmentationModul", "SegmentationModule"),
        ("--data=VideoFolderData", "VideoFolderDataModule"),
    ],
)
def test_a_misspelt_class_is_answered_with_the_nearest(option, near):
    with pytest.raises(ValueError, match=f"did you mean '{near}'"):
        check_keys(read_layers(["-c", BASE, option]))


@pytest.mark.parametrize("value", ["false", "null", "[]", '[{"class_path": "CSVLogger", "init_args": {"name": "x"}}]'])
def test_what_is_no_name_of_a_class_is_not_taken_for_one(value):
    check_keys(read_layers(["-c", BASE, f"--trainer.logger={value}"]))
