"""Every table has its rows, each row says the one thing it varies, builds, and one a table takes a real step."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from experiments.cli import main
from experiments.config.keys import check_keys
from experiments.config.layers import add_table_base, apply_changes, read_layers
from experiments.config.rows import all_rows, find_rows
from experiments.training.lightning_cli import ForensicsCLI
from experiments.training.settings import Settings

BASE = "experiments/tables/base.yaml"
ROWS = all_rows()
SMALL = ["--data.init_args.size=64", "--data.init_args.batch_size=4", "--data.init_args.num_workers=0"]
METHODS = ["Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"]
TREATMENTS = ("classification", "segmentation", "joint")

TABLES = {
    "table-0": {method.lower() for method in METHODS},
    "table-1": {
        f"{encoder}-{decoder}"
        for encoder in ("legacy_xception", "resnet50", "efficientnet_b4", "hrnet_w18")
        for decoder in ("fcn", "unet", "fpn", "deeplabv3plus")
    },
    "table-2": {
        f"{encoder}-{how}" for encoder in ("legacy_xception", "resnet50", "efficientnet_b4") for how in TREATMENTS
    },
    "table-3": {
        "classification-then-segmentation",
        "segmentation-then-classification",
        "imagenet-then-segmentation",
        "imagenet-then-classification",
        "segmentation",
        "classification",
    },
    "table-4": {"raw", "c23", "c40", "mixed"},
    "table-5": {"all", *(f"{start}{method.lower()}" for start in ("", "without-") for method in METHODS)},
    "ablation-pretraining": {"imagenet", "scratch", "self-blended"},
    "ablation-output-stride": {"stride-8", "stride-16", "stride-32"},
    "ablation-resolution": {"size-128", "size-224", "size-299", "size-512"},
    "ablation-labels": {"binary", "methods"},
    "ablation-masks": {"official", "hull", "difference"},
    "ablation-loss": {"bce", "dice", "bce-dice", "focal", "lovasz"},
    "ablation-crop": {"margin-1.0", "margin-1.3", "margin-2.0", "whole-frame", "detector"},
    "ablation-frames": {"frames-10", "frames-50", "frames-100", "frames-270"},
    "ablation-decision": {"mean", "area", "topk", "max"},
    "ablation-efficiency": {
        *("mobilenetv3_small_100", "efficientnet_b0", "resnet18", "resnet50", "legacy_xception", "efficientnet_b4")
    },
    "demo": set(TREATMENTS),
}


@pytest.fixture(scope="module")
def resolved():
    settings = Settings()
    return {str(row): settings.of(row) for row in ROWS}


def test_tables_have_all_their_rows():
    listed = [row for row in ROWS if row.is_listed]
    assert {table: {row.name for row in listed if row.table == table} for table in TABLES} == TABLES
    assert len(listed) == sum(map(len, TABLES.values()))
    assert [str(row) for row in ROWS if not row.is_listed] == ["ablation-pretraining/_self-blended-warm-up"]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_row_builds(row, resolved):
    words = add_table_base(row.files)
    check_keys(read_layers(words))
    cli = ForensicsCLI(words, run=False)
    assert cli.folder.path == Path("runs", row.table, row.name, "seed0")
    assert cli.resolved == resolved[str(row)] | {"trainer": cli.resolved["trainer"]}
    model, parts = cli.model.hparams, row.name.split("-")
    if row.table == "table-0":
        assert [method.lower() for method in cli.datamodule.methods] == parts
        assert cli.datamodule.options.balance
        assert model["encoder"] == "legacy_xception"
        assert cli.model.network.decoder is None
    if row.table == "demo":
        assert (cli.model.network.decoder is None) == (row.name == "classification")
        assert not model["pretrained"]
    if row.table == "table-1":
        assert [model["encoder"], model["decoder"]] == parts
    if row.table == "table-2":
        assert model["encoder"] == parts[0]
    if row.table in ("table-2", "table-3"):
        assert (cli.model.network.decoder is None) == (parts[-1] == "classification")
        assert (cli.model.network.frame_head is not None) == (parts[-1] != "segmentation")
    if row.table == "table-3":
        assert (model["frozen_epochs"] == "all") == ("then" in parts)
        assert bool(model["encoder_checkpoint"]) == (
            parts[:2] in (["classification", "then"], ["segmentation", "then"])
        )
    if row.table == "ablation-output-stride":
        assert cli.model.network.encoder.output_stride == int(parts[1])
    if row.table == "ablation-decision":
        assert cli.model.decisions == (row.name,)


VARIED = {
    "table-4": "data.init_args.compression",
    "ablation-resolution": "data.init_args.size",
    "ablation-labels": "model.init_args.pixel_classes",
    "ablation-masks": "data.init_args.labels",
    "ablation-frames": "data.init_args.frames_per_clip",
    "ablation-efficiency": "model.init_args.encoder",
}


@pytest.mark.parametrize("table", VARIED)
def test_a_row_is_named_after_what_it_varies(table, resolved):
    for row in find_rows([table]):
        value = resolved[str(row)]
        for key in VARIED[table].split("."):
            value = value[key]
        assert re.sub(r"^(size|frames)-", "", row.name) == str(value)


def test_rows_on_manipulations_crops_and_losses_vary_just_that(resolved):
    for row in find_rows(["table-5"]):
        wanted = [
            method
            for method in METHODS
            if row.name == "all" or (method.lower() in row.name) != row.name.startswith("without")
        ]
        assert resolved[str(row)]["data"]["init_args"]["methods"] == wanted
    crops = {row.name: resolved[str(row)]["data"]["init_args"] for row in find_rows(["ablation-crop"])}
    assert {name: (data["margin"], data["faces"]) for name, data in crops.items()} == {
        "margin-1.0": (1.0, "masks"),
        "margin-1.3": (1.3, "masks"),
        "margin-2.0": (2.0, "masks"),
        "whole-frame": (1.3, "whole"),
        "detector": (1.3, "dlib"),
    }
    losses = {row.name: resolved[str(row)]["model"]["init_args"]["loss"] for row in find_rows(["ablation-loss"])}
    assert losses == {name: name.replace("-", "+") for name in TABLES["ablation-loss"]}


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_row_is_short_and_says_its_table(row):
    lines = row.path.read_text().splitlines()
    assert len(lines) <= 12
    assert lines[0].startswith(f"# {row.table}")


def leaves(settings, prefix=""):
    for key, value in settings.items():
        if isinstance(value, dict) and key != "tests":
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def defaults(path):
    module, _, name = path.rpartition(".")
    parameters = inspect.signature(getattr(import_module(module), name)).parameters.values()
    return {one.name: list(one.default) if isinstance(one.default, tuple) else one.default for one in parameters}


def repeated(files):
    """Keys of the last of some files that say what would hold without them."""
    *below, own = [yaml.safe_load(Path(file).read_text()) or {} for file in files]
    merged = {}
    for layer in below:
        merged = apply_changes(merged, layer)
    whole = apply_changes(merged, own)
    known = {"model": {}, "data": {}}
    for part in known:
        known[part] = {"class_path": None, "init_args": defaults(whole[part]["class_path"])}
    known = dict(leaves(apply_changes(known, merged)))
    return [key for key, value in leaves(own) if key in known and known[key] == value]


FILES = [add_table_base(row.files)[1::2] for row in ROWS] + [
    [BASE, str(path)] for path in sorted(Path("experiments/tables").glob("*/_base.yaml"))
]


@pytest.mark.parametrize("files", FILES, ids=lambda files: files[-1])
def test_no_key_repeats_a_default(files):
    assert repeated(files) == []


def test_a_key_that_repeats_a_default_is_found(tmp_path):
    row = tmp_path / "row.yaml"
    row.write_text(
        "model: {class_path: lightning_modules.SegmentationModule, init_args: {encoder: resnet50, loss: bce}}\n"
        "data: {init_args: {margin: 1.3, methods: [Deepfakes, Face2Face, FaceSwap, NeuralTextures]}}\n"
        "trainer: {max_epochs: 10}\n"
    )
    assert repeated([BASE, str(row)]) == [
        *("model.class_path", "model.init_args.encoder", "data.init_args.margin", "data.init_args.methods"),
        "trainer.max_epochs",
    ]


STEPS = ["demo/segmentation", "table-0/deepfakes", "table-1/resnet50-fcn", "table-2/efficientnet_b4-joint"]
STEPS += ["table-3/imagenet-then-segmentation", "table-5/without-faceswap", "ablation-pretraining/scratch"]
STEPS += ["ablation-pretraining/_self-blended-warm-up", "ablation-output-stride/stride-8", "ablation-masks/difference"]
STEPS += [
    "ablation-resolution/size-128",
    "ablation-labels/methods",
    "ablation-loss/lovasz",
    "ablation-frames/frames-10",
]
STEPS += ["ablation-crop/whole-frame", "ablation-efficiency/mobilenetv3_small_100"]

OWN_ENCODER = ["demo/segmentation", "table-0/deepfakes", "table-1/resnet50-fcn", "table-2/efficientnet_b4-joint"]
OWN_ENCODER += ["ablation-output-stride/stride-8", "ablation-efficiency/mobilenetv3_small_100"]


@pytest.mark.parametrize("row", STEPS)
def test_one_row_of_a_table_takes_a_real_step(row, tree, tmp_path):
    files = ["-c", BASE, "-c", f"experiments/tables/{row}.yaml", f"--data.init_args.root={tree}", *SMALL]
    files += [f"--trainer.default_root_dir={tmp_path}"]
    offline = ["--trainer.fast_dev_run=1", "--model.init_args.pretrained=false"]
    if row not in OWN_ENCODER:
        offline.append("--model.init_args.encoder=test_resnet")
    main(["fit", *files, *offline])
