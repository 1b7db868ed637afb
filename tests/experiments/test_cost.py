"""What a row costs, beside numbers worked out by hand and published ones."""

import pandas as pd
import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from experiments.cli import main
from experiments.config.rows import find_rows
from experiments.cost import CONVENTION, flops, milliseconds

COLUMNS = "table row size parameters trained_parameters flops ms batch_size precision device threads".split()
QUICK = ["--repeats", "1"]


@pytest.fixture(autouse=True)
def seed_of_this_test_alone(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")


def test_a_multiplication_and_its_addition_count_as_two():
    convolution = nn.Conv2d(3, 5, kernel_size=3, padding=1)
    assert flops(convolution, torch.rand(1, 3, 8, 8)) == 2 * 8 * 8 * 5 * 3 * 3 * 3


def test_depthwise_convolution_is_counted_by_its_own_weights():
    assert flops(nn.Conv2d(6, 6, kernel_size=3, padding=1, groups=6), torch.rand(1, 6, 8, 8)) == 2 * 8 * 8 * 6 * 3 * 3


def test_attention_is_counted():
    class Attention(nn.Module):
        def forward(self, tokens):
            return F.scaled_dot_product_attention(tokens, tokens, tokens)

    assert flops(Attention(), torch.rand(1, 2, 10, 4)) == 2 * (2 * 2 * 10 * 10 * 4)  # heads, both products


def test_resnet50_costs_what_is_published():
    counted = flops(timm.create_model("resnet50").eval(), torch.rand(1, 3, 224, 224))
    assert counted / 2e9 == pytest.approx(4.09, abs=0.005)  # multiply-adds, documentation of torchvision


def test_more_frames_at_once_are_told_by_the_frame():
    class Wait(nn.Module):
        def forward(self, images):
            torch.rand(400, 400) @ torch.rand(400, 400)
            return images

    alone, together = (milliseconds(Wait(), torch.rand(count, 3, 8, 8), "32-true", 9) for count in (1, 32))
    assert together < alone / 4


def test_number_type_is_that_of_the_precision():
    layer, seen = nn.Linear(4, 4), []
    layer.register_forward_hook(lambda layer, images, output: seen.append(output.dtype))
    for precision in ("32-true", "bf16-mixed"):
        milliseconds(layer, torch.rand(1, 4), precision, 1)
    assert seen == [torch.float32] * 3 + [torch.bfloat16] * 3


def test_rows_of_a_table_are_printed_and_kept(tmp_path, capsys):
    out = tmp_path / "new" / "cost.csv"
    main(["cost", "demo", "--out", str(out), *QUICK])
    printed = " ".join(capsys.readouterr().out.split())
    assert "demo, batches of 1, 32-true, on " in printed
    assert CONVENTION in printed
    kept = pd.read_csv(out)
    assert list(kept.columns) == COLUMNS
    assert list(kept["row"]) == ["classification", "joint", "segmentation"]
    assert set(kept["size"]) == {112}
    joint, segmentation = kept.iloc[1], kept.iloc[2]
    features = joint["parameters"] - segmentation["parameters"] - 1  # the frame head: a weight a channel and a bias
    assert joint["flops"] - segmentation["flops"] == 2 * features
    assert (kept["trained_parameters"] <= kept["parameters"]).all()
    assert (kept["ms"] > 0).all()


def test_a_row_measured_again_replaces_its_line_and_another_setting_adds_one(tmp_path):
    out = ["--out", str(tmp_path / "cost.csv"), *QUICK]
    main(["cost", "demo/joint", *out])
    main(["cost", "demo/classification", "demo/joint", *out])
    main(["cost", "demo/joint", "--batch_size", "2", *out])
    kept = pd.read_csv(tmp_path / "cost.csv")
    assert list(zip(kept["row"], kept["batch_size"], strict=True)) == [
        ("classification", 1),
        ("joint", 1),
        ("joint", 2),
    ]


def test_rows_with_the_same_network_are_measured_once(tmp_path):
    main(["cost", "table-0", "--out", str(tmp_path / "cost.csv"), *QUICK])
    kept = pd.read_csv(tmp_path / "cost.csv")
    assert len(kept) == 4
    assert kept["ms"].nunique() == 1


def test_tables_and_rows_are_found_once_each():
    assert len(find_rows(["table-1"])) == 16
    found = [str(row) for row in find_rows(["demo/joint", "demo"])]
    assert found == ["demo/joint", "demo/classification", "demo/segmentation"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["table-1/resnet50-unett"], "did you mean 'table-1/resnet50-unet'?"),
        (["tabel-1"], "did you mean 'table-1'?"),
        (["demo/_base"], "is neither a row nor a table"),
        (["demo", "--batch_size", "0"], "batch_size is 0 and repeats 10: give each 1 or more"),
    ],
)
def test_wrong_input_is_one_sentence(words, sentence, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["cost", *words])
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err
