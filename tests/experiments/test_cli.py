"""The main job on a tiny tree: fit, test, resume, predict, each in its folder."""

import json
import os
import signal
import subprocess
import sys
from typing import ClassVar

import pandas as pd
import pytest
import torch
from PIL import Image
from pytorch_lightning import Callback

from experiments.callbacks import RecentCheckpoint
from experiments.callbacks.overlays import extreme_frames
from experiments.cli import main
from tests.datamodules.test_video import packet_of
from tests.experiments.forks import program

FILES = ["-c", "experiments/tables/base.yaml", "-c", "experiments/tables/demo/segmentation.yaml"]
SMALL = [
    "--model.init_args.encoder=test_resnet",
    "--model.init_args.decoder=fcn",
    "--data.init_args.size=64",
    "--data.init_args.frames_per_clip=2",
    "--data.init_args.eval_frames_per_clip=2",
    "--data.init_args.batch_size=4",
    "--data.init_args.num_workers=0",
    "--trainer.max_epochs=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]

METHODS = {"original", "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"}


@pytest.fixture(autouse=True)
def seed_of_this_test_alone(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")


def run(command, tree, folder, *options):
    main([command, *FILES, f"--data.init_args.root={tree}", f"--trainer.default_root_dir={folder}", *SMALL, *options])


def size_of(picture):
    with Image.open(picture) as opened:
        return opened.size


@pytest.fixture(scope="module")
def finished(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "demo" / "segmentation" / "seed0"
    run("fit", tree, folder)
    run("test", tree, folder)
    return folder


def test_a_run_leaves_what_it_should(finished):
    left = {path.relative_to(finished).as_posix() for path in finished.rglob("*") if path.is_file()}
    assert {"config.yaml", "metrics.json", "provenance.json", "checkpoints/best.ckpt", "checkpoints/last.ckpt"} <= left
    assert "logs/version_0/metrics.csv" in left
    provenance = json.loads((finished / "provenance.json").read_text())
    assert provenance["fit"]["selected_by"] == "val/pixel_iou_balanced"
    assert provenance["fit"]["config"] == provenance["test"]["config"]
    assert provenance["test"]["faces"]["source"] == "masks"
    assert {"frames.parquet", "histograms.npz", "intervals.json"} <= left


def test_of_a_training_that_has_ended_the_weights_alone_are_kept(finished):
    for name in ("best", "last"):
        checkpoint = torch.load(finished / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert not {"optimizer_states", "lr_schedulers", "callbacks"} & checkpoint.keys()
        assert {"state_dict", "hyper_parameters", "operating_point", "epoch"} <= checkpoint.keys()


def test_provenance_says_what_was_tested_and_how_it_was_chosen(finished):
    provenance = json.loads((finished / "provenance.json").read_text())
    fit, test = provenance["fit"], provenance["test"]
    checkpoint = torch.load(finished / "checkpoints" / "best.ckpt", weights_only=True)
    assert test["epoch"] == checkpoint["epoch"]
    assert test["operating_point"] == checkpoint["operating_point"]
    assert test["operating_point"]["frame_threshold"] != 0.5
    assert fit["selected_by"] == "val/pixel_iou_balanced"
    assert 0 <= fit["selected_at"] <= 1
    assert provenance["test_evaluations"] == {"test": 1}
    assert test["frames"] == len(pd.read_parquet(finished / "frames.parquet"))
    for key in ("config", "splits", "index", "canvas", "faces", "git", "packages", "seconds", "device"):
        assert fit[key] is not None
        assert key in test
    assert fit["splits"] == test["splits"]
    assert fit["index"] == test["index"]


def test_what_every_frame_contributed_is_kept(finished):
    frames = pd.read_parquet(finished / "frames.parquet")
    assert set(frames["method"]) == METHODS
    assert frames["pair"].nunique() == 1
    assert (frames[["tp", "fp", "fn", "tn"]].sum(axis=1) <= 256 * 256).all()
    metrics = json.loads((finished / "metrics.json").read_text())
    hits, union = frames["tp"].sum(), frames[["tp", "fp", "fn"]].sum().sum()
    assert metrics["test/pixel_iou"] == pytest.approx(hits / union, abs=1e-6)
    stored = json.loads((finished / "intervals.json").read_text())
    assert stored["pairs"] == 1
    assert set(stored["intervals"]) == set(metrics)


def test_every_look_at_the_test_split_is_counted(finished, tree):
    def looks():
        return json.loads((finished / "provenance.json").read_text())["test_evaluations"]

    before = looks()
    run("test", tree, finished)  # has been tested
    assert looks() == before
    run("test", tree, finished, "--data.init_args.eval_frames_per_clip=1", "--name=counted")
    assert looks() == before | {"counted": 1}
    run("predict", tree, finished)
    assert looks() == before | {"counted": 1, "test": before["test"] + 1}


@pytest.mark.parametrize("option", ["--trainer.limit_test_batches=2", "--trainer.precision=bf16-mixed"])
def test_what_changes_what_is_measured_needs_a_name(finished, tree, capsys, option):
    with pytest.raises(SystemExit):
        run("test", tree, finished, option)
    assert f"differs in {option[2:].partition('=')[0]}" in capsys.readouterr().err


def test_processes_that_keep_what_they_measured_are_refused(tree, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run("fit", tree, tmp_path, "--trainer.strategy=ddp_spawn")
    assert "use ddp" in capsys.readouterr().err


def test_two_runs_are_compared_on_the_same_frames(finished, tmp_path, capsys):
    main(["compare", str(finished), str(finished), "--replicates", "20", "--out", str(tmp_path / "out.csv")])
    printed = capsys.readouterr().out
    assert "IoU balanced" in printed
    assert "1 pairs are few" in printed
    table = pd.read_csv(tmp_path / "out.csv")
    assert (table["difference"].dropna() == 0).all()
    assert "frame_auroc/FaceSwap" in set(table["key"])
    with pytest.raises(SystemExit):
        main(["compare", str(finished), str(tmp_path)])
    assert "give a run's folder" in capsys.readouterr().err


def test_metrics_file_holds_every_key_for_all_and_for_each_method(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    pixel = ["iou", "iou_balanced", "iou_per_frame", "f1", "accuracy", "auroc", "ap", "fpr_real"]
    frame = ["accuracy", "accuracy_balanced", "auroc", "ap", "eer"]
    names = [f"pixel_{key}" for key in pixel] + [f"frame_{key}" for key in frame] + ["video_accuracy", "video_auroc"]
    for method in ("", "/Deepfakes", "/Face2Face", "/FaceSwap", "/NeuralTextures"):
        for name in names:
            assert 0 <= metrics[f"test/{name}{method}"] <= 1
    assert all(key.startswith("test/") for key in metrics)


def test_overlays_show_every_method(finished):
    drawn = sorted((finished / "overlays").glob("*.png"))
    assert {path.name.split("-")[0] for path in drawn} == METHODS
    assert size_of(drawn[0]) == (3 * 64 + 8, 64 + 16)


def test_the_best_and_the_worst_frames_of_a_test_are_drawn(finished):
    frames = pd.read_parquet(finished / "frames.parquet")
    fakes = frames[frames["label"] == 1]
    iou = fakes["tp"] / (fakes["tp"] + fakes["fp"] + fakes["fn"])
    for position in (iou.idxmax(), iou.idxmin()):
        method, clip, frame = frames.loc[position, ["method", "clip", "frame"]]
        assert (finished / "overlays" / f"{method}-{clip}-{frame:04d}.png").is_file()
    assert len(extreme_frames(frames, 3)) == 6 + min(6, (frames["label"] == 0).sum())
    assert extreme_frames(frames[:0], 3) == []


def test_checkpoint_holds_plain_types_and_the_normalisation(finished):
    checkpoint = torch.load(finished / "checkpoints" / "best.ckpt", weights_only=True)
    assert checkpoint["hyper_parameters"]["encoder"] == "test_resnet"
    assert "data/FaceForensics++" not in str(checkpoint["hyper_parameters"])


def test_a_second_run_of_the_same_seed_gives_the_same_metrics(finished, tree, tmp_path):
    run("fit", tree, tmp_path / "again")
    run("test", tree, tmp_path / "again")
    assert (tmp_path / "again" / "metrics.json").read_bytes() == (finished / "metrics.json").read_bytes()


def test_what_is_trained_and_tested_is_not_touched_again(finished, tree, capsys):
    before = {path: path.read_bytes() for path in finished.rglob("*.*") if path.is_file()}
    run("fit", tree, finished)
    run("test", tree, finished)
    printed = capsys.readouterr().out
    assert "is trained already" in printed
    assert "has been tested" in printed
    assert {path: path.read_bytes() for path in before} == before


def test_other_options_in_the_same_folder_are_refused_by_name(finished, tree, capsys):
    with pytest.raises(SystemExit):
        run("fit", tree, finished, "--model.init_args.lr=0.5")
    assert "differs in model.init_args.lr" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run("test", tree, finished, "--data.init_args.eval_frames_per_clip=1")
    assert "--name NAME" in capsys.readouterr().err


def test_other_test_data_get_a_file_of_their_own(finished, tree):
    before = (finished / "metrics.json").read_bytes()
    run("test", tree, finished, "--data.init_args.eval_frames_per_clip=1", "--name=one")
    other = json.loads((finished / "metrics-one.json").read_text())
    assert other.keys() == json.loads(before).keys()
    assert (finished / "metrics.json").read_bytes() == before
    assert (finished / "overlays-one").is_dir()


class StopOnce(Callback):
    """Ends a training at the start of its second epoch, once."""

    stops = 1

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1 and StopOnce.stops:
            StopOnce.stops = 0
            raise KeyboardInterrupt


class StopInside(Callback):
    """Ends a training before the fourth of the five batches of its second epoch, once."""

    stops = 1

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (1, 3) and StopInside.stops:
            StopInside.stops = 0
            raise KeyboardInterrupt


class AfterEachBatch(RecentCheckpoint):
    """Writes last.ckpt after each batch."""

    def __init__(self):
        super().__init__(minutes=0)


class Seen(Callback):
    """Notes what each training batch holds."""

    batches: ClassVar[list[list[tuple[int, int]]]] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        Seen.batches.append(list(zip(batch["clip"].tolist(), batch["frame"].tolist(), strict=True)))


def test_predictions_on_other_data_get_a_folder_of_their_own(finished, tree):
    run("predict", tree, finished, "--data.init_args.predict_split=val", "--name=val")
    assert (finished / "predictions-val" / "predictions.csv").is_file()


def test_a_checkpoint_of_ones_own_is_tested_under_a_name(finished, tree, capsys):
    with pytest.raises(SystemExit):
        run("test", tree, finished, f"--ckpt_path={finished / 'checkpoints' / 'last.ckpt'}")
    assert "--name NAME" in capsys.readouterr().err


def test_a_damaged_clip_met_by_a_worker_is_a_sentence(own_tree, tmp_path, capsys):
    for clip in own_tree.glob("original_sequences/youtube/c23/videos/*.mp4"):
        data = bytearray(clip.read_bytes())
        start = data.index(b"mdat") + 4
        data[start : start + len(data) // 2] = bytes(len(data) // 2)
        clip.write_bytes(data)
    with pytest.raises(SystemExit):
        run("fit", own_tree, tmp_path, "--data.init_args.num_workers=1")
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    assert "copy it again" in errors.splitlines()[-1]


def test_a_device_that_is_not_there_is_a_sentence(tree, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run("fit", tree, tmp_path, "--trainer.accelerator=gpu", "--trainer.devices=64")
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (
            "fit",
            "20 frames of 10 clips make less than 6 batches of 4: take more frames a clip, a smaller batch_size or",
        ),
        ("test", "20 frames of 10 clips make less than a frame for each of 21 processes: take more frames a clip"),
    ],
)
def test_a_process_without_data_is_refused_before_any_starts(finished, tree, tmp_path, capsys, command, sentence):
    devices = {"fit": 6, "test": 21}[command]
    with pytest.raises(SystemExit):
        run(command, tree, tmp_path, "--trainer.accelerator=cpu", f"--trainer.devices={devices}")
    errors = capsys.readouterr().err
    assert errors.splitlines()[-1].startswith(f"error: {sentence}")
    assert "Initializing distributed" not in errors


def test_an_interrupted_run_goes_on_and_ends_as_an_undisturbed_one(tree, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "stopping", sys.modules[__name__])
    dropout = "--model.init_args.frame_head=true"
    options = ["--trainer.max_epochs=2", "--trainer.callbacks+=stopping.StopOnce", dropout]
    with pytest.raises(SystemExit):
        run("fit", tree, tmp_path / "stopped", *options)
    assert torch.load(tmp_path / "stopped/checkpoints/last.ckpt", weights_only=True)["epoch"] == 0
    run("fit", tree, tmp_path / "stopped", *options)
    assert "going on from last.ckpt" in capsys.readouterr().out
    run("fit", tree, tmp_path / "whole", *options)
    ends = [torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True) for name in ("stopped", "whole")]
    assert ends[0]["epoch"] == ends[1]["epoch"] == 1
    assert all(torch.equal(ends[0]["state_dict"][key], value) for key, value in ends[1]["state_dict"].items())


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_stopped_inside_an_epoch_goes_on_with_the_first_unseen_batch(tree, tmp_path, monkeypatch, workers):
    monkeypatch.setitem(sys.modules, "stopping", sys.modules[__name__])
    monkeypatch.setattr(StopInside, "stops", 1)
    watched = [f"--trainer.callbacks+=stopping.{name}" for name in ("AfterEachBatch", "Seen", "StopInside")]
    more = ["--trainer.max_epochs=2", "--model.init_args.frame_head=true", f"--data.init_args.num_workers={workers}"]
    options = [*more, *watched]
    monkeypatch.setattr(Seen, "batches", [])
    with pytest.raises(SystemExit):
        run("fit", tree, tmp_path / "stopped", *options)
    run("fit", tree, tmp_path / "stopped", *options)
    stopped = Seen.batches
    monkeypatch.setattr(Seen, "batches", [])
    run("fit", tree, tmp_path / "whole", *options)
    assert len(stopped) == 10
    assert stopped == Seen.batches
    ends = [torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True) for name in ("stopped", "whole")]
    assert ends[0]["epoch"] == ends[1]["epoch"] == 1
    assert ends[0]["global_step"] == ends[1]["global_step"] == 10
    assert all(torch.equal(ends[0]["state_dict"][key], value) for key, value in ends[1]["state_dict"].items())


def test_predictions_are_a_row_and_a_picture_a_frame(finished, tree):
    run("predict", tree, finished)
    rows = pd.read_csv(finished / "predictions" / "predictions.csv", dtype={"clip": str})
    assert set(rows["method"]) == METHODS
    first = rows.iloc[0]
    picture = finished / "predictions" / "masks" / first["method"] / first["clip"] / f"{first['frame']:04d}.png"
    assert size_of(picture) == (64, 64)
    assert len(list((finished / "predictions").rglob("*.png"))) == len(rows)


def hollow(path):
    """Takes all content from a file, whose size and time stay: what was known of it is still taken for true."""
    stamps = path.stat()
    path.write_bytes(bytes(stamps.st_size))
    os.utime(path, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))


def scratch(path):
    """Damages a clip of 12 frames from its tenth on."""
    content, place = bytearray(path.read_bytes()), packet_of(path, 9)
    content[place] = bytes(place.stop - place.start)
    path.write_bytes(content)


def predicted(folder):
    return pd.read_csv(folder / "predictions.csv", dtype={"clip": str}).set_index(["method", "clip", "frame"])


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_clips_cost_a_prediction_their_own_frames_and_are_all_named(finished, tree, own_tree, capsys, workers):
    decoding = f"--data.init_args.num_workers={workers}"
    run("predict", own_tree, finished, "--name=whole", decoding)
    whole = predicted(finished / "predictions-whole")
    assert not (finished / "predictions-whole" / "unreadable.csv").exists()
    originals = sorted({clip for method, clip, _ in whole.index if method == "original"})
    fake = next(clip for method, clip, _ in whole.index if method == "FaceSwap")
    scratched = own_tree / "original_sequences/youtube/c23/videos" / f"{originals[0]}.mp4"
    hollowed = own_tree / "manipulated_sequences/FaceSwap/c23/videos" / f"{fake}.mp4"
    scratch(scratched)
    hollow(hollowed)
    capsys.readouterr()
    with pytest.warns(UserWarning, match="are left out"), pytest.raises(SystemExit) as ended:
        run("predict", own_tree, finished, "--name=damaged", decoding)
    assert ended.value.code == 1
    rows = predicted(finished / "predictions-damaged")
    lost = [("FaceSwap", fake), ("original", originals[0])]
    others = whole[[key[:2] not in lost for key in whole.index]]
    assert rows.index.difference(others.index).tolist() == [("original", originals[0], 3)]  # before the damage
    assert rows.loc[others.index, "score"].tolist() == pytest.approx(others.score.tolist(), abs=1e-5)
    scores = ["score", "logit"]
    assert (rows.drop(columns=scores) == whole.loc[rows.index].drop(columns=scores)).all(axis=None)
    told = capsys.readouterr().err.splitlines()
    listed = pd.read_csv(finished / "predictions-damaged" / "unreadable.csv", dtype=str)
    assert listed[["method", "clip", "frames"]].values.tolist() == [[*lost[0], "2"], [*lost[1], "1"]]
    for line, reason, path in zip(told[-3:], listed.reason, (hollowed, scratched), strict=False):
        assert reason.startswith(f"{path} ")
        assert line.endswith(reason)
    assert told[-1].startswith("error: 2 clips could not be read whole, so 3 frames are missing from ")
    run("predict", tree, finished, "--name=damaged", decoding)
    assert not (finished / "predictions-damaged" / "unreadable.csv").exists()


@pytest.mark.parametrize("command", ["validate", "test"])
def test_damaged_clips_are_refused_where_metrics_rest_on_them(finished, own_tree, capsys, command):
    for path in own_tree.glob("original_sequences/youtube/c23/videos/*.mp4"):
        scratch(path)
    with pytest.raises(SystemExit) as ended:
        run(command, own_tree, finished, "--name=refused")
    assert ended.value.code == 2
    assert "copy it again" in capsys.readouterr().err.splitlines()[-1]


class StopPredicting(Callback):
    """Ends a prediction behind its second batch."""

    def on_predict_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        if batch_idx == 1:
            raise KeyboardInterrupt


class KillPredicting(Callback):
    """Kills the process there."""

    def on_predict_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        if batch_idx == 1:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("how", ["StopPredicting", "KillPredicting"])
def test_a_prediction_that_is_ended_leaves_what_was_done(finished, tree, tmp_path, capsys, how):
    name = f"--name={how}"
    stopping = [name, f"--trainer.callbacks+=tests.experiments.test_cli.{how}"]
    if how == "StopPredicting":
        with pytest.raises(SystemExit):
            run("predict", tree, finished, *stopping)
        assert "8 frames predicted until then are in " in capsys.readouterr().err
    else:
        words = [*FILES, f"--data.init_args.root={tree}", f"--trainer.default_root_dir={finished}", *SMALL, *stopping]
        done = subprocess.run([*program(), "predict", *words], capture_output=True)
        assert done.returncode == -signal.SIGKILL
    folder = finished / f"predictions-{how}"
    (left,) = folder.glob("*.csv")
    rows = pd.read_csv(left, dtype={"clip": str})
    pictures = [folder / "masks" / row.method / row.clip / f"{row.frame:04d}.png" for row in rows.itertuples()]
    assert len(pictures) == 8
    assert all(size_of(picture) == (64, 64) for picture in pictures)
    run("predict", tree, finished, name)
    assert [path.name for path in folder.glob("*.csv")] == ["predictions.csv"]
    whole = pd.read_csv(folder / "predictions.csv", dtype={"clip": str})
    assert len(whole.merge(rows)) == 8


def test_baselines_stand_beside_the_rows(finished, tree):
    run("baselines", tree, finished)
    table = finished.parents[1]
    found = {path.parents[1].name: json.loads(path.read_text()) for path in table.glob("baseline-*/seed0/metrics.json")}
    assert set(found) == {
        *(f"baseline-{name}" for name in ("all-fake", "all-real", "centre-box", "mean-mask", "colour-regression")),
        "baseline-geometry-crop",
        "baseline-geometry-file",
    }
    assert found["baseline-all-fake"]["test/pixel_fpr_real"] == 1
    assert found["baseline-all-real"]["test/pixel_iou"] == 0
    assert found["baseline-all-fake"]["test/frame_auroc"] == 0.5
    assert found["baseline-mean-mask"]["test/pixel_iou"] > found["baseline-all-fake"]["test/pixel_iou"]
    assert "test/pixel_iou" not in found["baseline-colour-regression"]
    assert 0 <= found["baseline-geometry-crop"]["test/frame_auroc_untied"] <= 1
    noted = json.loads((table / "baseline-geometry-file" / "seed0" / "provenance.json").read_text())
    assert {"frame width", "clip frames"} <= noted["test"]["importance"].keys()
    assert noted["test_evaluations"] == {"test": 1}
    assert {"canvas", "splits", "index", "clips"} <= noted["test"].keys()


def test_baselines_are_no_others_when_more_processes_read(finished, tree, capsys):
    run("baselines", tree, finished)
    run("baselines", tree, finished, "--data.init_args.num_workers=1")
    assert "the baselines have been tested already" in capsys.readouterr().out.splitlines()[-1]


def test_validating_leaves_the_curves_of_the_training_alone(finished, tree):
    before = sorted((finished / "logs").rglob("*"))
    run("validate", tree, finished)
    assert sorted((finished / "logs").rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--data.init_args.root=/nowhere"], "/nowhere holds no c23 video of FaceForensics++"),
        (["--data.init_args.methods=[Deepfake]"], "wanted one or more of Deepfakes"),
        (["--data.init_args.splits=/nowhere"], "/nowhere lacks train.json, val.json, test.json"),
        (["--model.init_args.encoder=resnet9000"], "did you mean"),
        (["--model.init_args.decoder=unett"], "model.init_args.decoder is 'unett', wanted fcn, unet, "),
        (["--model.init_args.lr=fast"], "model.init_args.lr is 'fast', wanted a number"),
    ],
)
def test_wrong_input_is_one_sentence_and_status_2(options, sentence, tree, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run("fit", tree, tmp_path, *options)
    printed = capsys.readouterr().err
    assert "Traceback" not in printed
    errors = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert ended.value.code == 2
    assert len(errors) == 1
    assert sentence in errors[0]


def test_unknown_command_and_help(capsys):
    main([])
    assert "baselines" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["fitt"])
    assert "unknown command 'fitt'" in capsys.readouterr().err
