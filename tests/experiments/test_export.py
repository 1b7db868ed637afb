"""What is exported says what the checkpoint says, in a file that needs none of this project."""

import sys

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from PIL import Image

from experiments import export
from experiments.cli import main
from experiments.training.lightning_cli import ForensicsCLI

BASE = "experiments/tables/base.yaml"
SIZE = 75  # no multiple of any stride
SMALL = [
    f"--data.init_args.size={SIZE}",
    "--data.init_args.frames_per_clip=2",
    "--data.init_args.eval_frames_per_clip=2",
    "--data.init_args.num_workers=0",
    "--trainer.max_epochs=1",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]
NETWORKS = {
    "unet": ["encoder=test_resnet", "decoder=unet"],
    "joint": ["encoder=test_resnet", "decoder=deeplabv3plus", "frame_head=true"],
    "classes_and_area": ["encoder=test_efficientnet", "decoder=fcn", "pixel_classes=methods", "decision=area"],
    "speed": ["encoder=test_resnet", "decoder=fpn", "channels_last=true", "gradient_checkpointing=true"],
    "patch_stem": ["encoder=test_convnext", "decoder=segformer", "decision=topk"],
    "flat_transformer": ["encoder=test_vit", "decoder=fpn"],
    "dilated_by_hooks": ["encoder=test_mambaout", "decoder=deeplabv3"],
    "classifier": ["encoder=test_efficientnet"],
}


@pytest.fixture(autouse=True)
def seed_of_this_test_alone(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")


@pytest.fixture(scope="module")
def finished(tree, tmp_path_factory):
    """Folder of a joint model that was trained a little, and the options of its row."""
    folder = tmp_path_factory.mktemp("runs") / "demo" / "joint" / "seed0"
    row = ["-c", BASE, "-c", "experiments/tables/demo/joint.yaml", f"--data.init_args.root={tree}"]
    row += [f"--trainer.default_root_dir={folder}", "--data.init_args.batch_size=4", *SMALL]
    main(["fit", *row])
    return folder, row


@pytest.fixture
def checkpoint(finished):
    return finished[0] / "checkpoints" / "best.ckpt"


@pytest.fixture
def video(tree):
    return tree / "manipulated_sequences" / "Deepfakes" / "c23" / "videos" / "000_001.mp4"


def run(checkpoint, *out, options=()):
    main(["export", "--checkpoint", str(checkpoint), "--out", *map(str, out), *options])


def untrained(network, folder):
    """Checkpoint of a row whose batch-norm statistics have moved, and its module."""
    row = "classification" if network == "classifier" else "segmentation"
    model = [f"--model.init_args.{option}" for option in NETWORKS[network]]
    words = [
        "-c",
        BASE,
        "-c",
        "experiments/tables/demo/_base.yaml",
        "-c",
        f"experiments/tables/demo/{row}.yaml",
        *SMALL,
        *model,
    ]
    cli = ForensicsCLI([*words, f"--trainer.default_root_dir={folder}"], run=False)
    with torch.no_grad():
        cli.model.network.train()(torch.randn(4, 3, SIZE, SIZE))
    cli.folder.keep_config(cli.resolved)
    cli.trainer.strategy.connect(cli.model)
    cli.trainer.save_checkpoint(cli.folder.best)
    return cli.folder.best, cli.model.eval()


@pytest.mark.parametrize("network", NETWORKS)
def test_files_say_what_the_module_says_for_any_number_of_images(network, tmp_path):
    checkpoint, module = untrained(network, tmp_path / "demo" / "row" / "seed0")
    run(checkpoint, tmp_path / "model.onnx", tmp_path / "model.pt2")
    images = torch.rand(3, 3, SIZE, SIZE)
    batch = {"image": (images - torch.tensor(module.mean)[:, None, None]) / torch.tensor(module.std)[:, None, None]}
    with torch.no_grad():
        expected = module.predict_step(batch, 0)
        for predict in (onnx_file(tmp_path / "model.onnx"), torch.export.load(tmp_path / "model.pt2").module()):
            found = predict(images)
            torch.testing.assert_close(found["score"], expected["frame_score"], atol=1e-4, rtol=0)
            assert ("mask" in found) == (network != "classifier")
            if "mask" in found:
                torch.testing.assert_close(found["mask"], expected["mask_probability"], atol=1e-5, rtol=0)
                assert found["mask"].shape == (3, SIZE, SIZE)
                assert found["mask"].std() > 1e-3  # something is said


def onnx_file(path):
    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return lambda images: dict(
        zip(names, map(torch.from_numpy, session.run(None, {"image": images.numpy()})), strict=True)
    )


def test_file_repeats_the_predictions_of_real_crops(finished, tmp_path):
    folder, row = finished
    run(folder / "checkpoints" / "best.ckpt", tmp_path / "model.onnx")
    main(["predict", *row])
    scores = pd.read_csv(folder / "predictions" / "predictions.csv", dtype={"clip": str})
    scores = scores.set_index(["method", "clip", "frame"])["score"]
    cli = ForensicsCLI(row, run=False)
    data = cli.datamodule
    data.trainer = None  # outside a training its loaders give normalised images
    data.setup("predict")
    predict, seen = onnx_file(tmp_path / "model.onnx"), 0
    for batch in data.predict_dataloader():
        mean, std = (torch.tensor(values)[:, None, None] for values in (cli.model.mean, cli.model.std))
        found = predict((batch["image"] * std + mean).clamp(0, 1))
        for i, (clip, frame) in enumerate(zip(batch["clip"].tolist(), batch["frame"].tolist(), strict=True)):
            method, name = data.clips.loc[clip, ["method", "clip"]]
            assert float(found["score"][i]) == pytest.approx(scores[method, name, frame], abs=1e-5)
            with Image.open(folder / "predictions" / "masks" / method / name / f"{frame:04d}.png") as picture:
                assert np.abs(np.asarray(picture) - found["mask"][i].numpy() * 255).max() <= 0.51
            seen += 1
    assert seen == len(scores) > 0


def test_both_files_and_frames_of_a_video_are_compared_and_said(checkpoint, video, tmp_path, capsys):
    run(checkpoint, tmp_path / "new" / "a.onnx", tmp_path / "new" / "a.pt2", options=["--video", str(video)])
    printed = capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.onnx", "a.pt2"]
    assert printed.count(f"8 frames of {video}") == 2
    assert f"input image (B, 3, {SIZE}, {SIZE}), float32 RGB in [0, 1]; outputs mask (B, H, W), score (B)" in printed


def test_frames_of_a_video_are_spread_over_it_and_squeezed(film, tmp_path):
    images = export.video_images(film(tmp_path / "film.mp4", frames=16), 32)
    assert images.shape == (8, 3, 32, 32)
    assert 0 <= images.min() < images.max() <= 1
    assert (images[:, 0, :, 2].mean(1).diff() > 0).all()  # it grows brighter
    assert len(export.video_images(film(tmp_path / "short.mp4", frames=1), 32)) == 1


def test_what_differs_is_refused_and_nothing_is_lost(checkpoint, tmp_path, capsys):
    (tmp_path / "a.onnx").write_text("mine")
    with pytest.raises(SystemExit):
        run(checkpoint, tmp_path / "a.onnx", options=["--overwrite", "--tolerance", "1e-12"])
    assert "a.onnx is not written, for it differs from the checkpoint by" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]
    assert (tmp_path / "a.onnx").read_text() == "mine"


def test_a_network_that_says_nothing_is_a_difference(checkpoint):
    module, size = export.load(checkpoint)
    nothing = {"mask": torch.full((8, size, size), torch.nan), "score": torch.zeros(8)}
    nothing |= {f"{name}_logit": values for name, values in nothing.items()}
    found = export.largest_difference(module, lambda batch: {k: v[: len(batch)] for k, v in nothing.items()}, images(8))
    assert not found <= export.TOLERANCE


def images(count):
    return torch.rand(count, 3, SIZE, SIZE)


def test_a_file_that_exists_is_replaced_only_if_asked(checkpoint, tmp_path, capsys):
    (tmp_path / "a.pt2").write_text("mine")
    with pytest.raises(SystemExit):
        run(checkpoint, tmp_path / "a.pt2")
    assert "a.pt2 exists: give another --out, or --overwrite" in capsys.readouterr().err
    assert (tmp_path / "a.pt2").read_text() == "mine"
    run(checkpoint, tmp_path / "a.pt2", options=["--overwrite"])
    assert torch.export.load(tmp_path / "a.pt2").module()(images(2))["score"].shape == (2,)


def test_a_missing_package_is_named_with_the_extra(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(SystemExit):
        run(checkpoint, tmp_path / "a.onnx")
    assert "needs onnxscript, not installed: pip install '.[export]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--checkpoint", "/nowhere/best.ckpt"], "/nowhere/best.ckpt does not exist: give a run's checkpoint, such as"),
        (["--checkpoint", "LICENSE"], "LICENSE does not lie in a run's folder, whose config.yaml"),
        (["--out", "model.pth"], "--out is model.pth, wanted a name that ends in .onnx or .pt2"),
        (["--video", "/nowhere.mp4"], "--video is /nowhere.mp4, which does not exist"),
        (["--video", "LICENSE"], "LICENSE cannot be read as a video"),
    ],
)
def test_wrong_input_is_one_sentence(options, sentence, checkpoint, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run(checkpoint, tmp_path / "a.pt2", options=options)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {sentence}")
    assert not list(tmp_path.iterdir())
