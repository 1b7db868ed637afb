"""Every row of every table builds through the real command line, and one row a table takes a real step."""

from collections import Counter
from pathlib import Path

import pytest

from experiments.cli import main, with_table_base
from experiments.keys import check_keys, read_layers
from experiments.row import ForensicsCLI

BASE = "experiments/base.yaml"
ROWS = sorted(path for path in Path("experiments").glob("*/*.yaml") if path.name != "_base.yaml")
SMALL = ["--data.init_args.size=64", "--data.init_args.batch_size=4", "--data.init_args.num_workers=0"]


def test_tables_have_all_their_rows():
    assert Counter(row.parent.name for row in ROWS) == {"demo": 3, "table-0": 4, "table-1": 16, "table-2": 9}


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_row_builds(row):
    words = with_table_base(["-c", BASE, "-c", str(row)])
    check_keys(read_layers(words))
    cli = ForensicsCLI(words, run=False)
    assert cli.folder.path == Path("runs", row.parent.name, row.stem, "seed0")
    parts = row.stem.split("-")
    if row.parent.name == "table-0":
        assert [method.lower() for method in cli.datamodule.methods] == parts
        assert cli.datamodule.balance
        assert cli.model.hparams["encoder"] == "legacy_xception"
        assert cli.model.network.decoder is None
    if row.parent.name == "demo":
        assert (cli.model.network.decoder is None) == (row.stem == "classification")
        assert not cli.model.hparams["pretrained"]
    if row.parent.name == "table-1":
        assert [cli.model.hparams["encoder"], cli.model.hparams["decoder"]] == parts
    if row.parent.name == "table-2":
        assert cli.model.hparams["encoder"] == parts[0]
        assert (cli.model.network.decoder is None) == (parts[1] == "classification")
        assert (cli.model.network.frame_head is not None) == (parts[1] != "segmentation")


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_row_is_short_and_says_its_table(row):
    lines = row.read_text().splitlines()
    assert len(lines) <= 12
    assert lines[0].startswith(f"# {row.parent.name}")


@pytest.mark.parametrize(
    "row", ["table-0/deepfakes", "table-1/resnet50-fcn", "table-2/efficientnet_b4-joint", "demo/segmentation"]
)
def test_one_row_of_a_table_takes_a_real_step(row, tree, tmp_path):
    files = ["-c", BASE, "-c", f"experiments/{row}.yaml", f"--data.init_args.root={tree}", *SMALL]
    files += [f"--trainer.default_root_dir={tmp_path}"]
    offline = ["--trainer.fast_dev_run=1", "--model.init_args.pretrained=false"]
    main(["fit", *files, *offline])
