import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import nn

from datamodules import METHODS, FaceForensicsDataModule, index
from datamodules.clips.index import clips_of

FOUR = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")


def data(root, **how):
    small = {"size": 32, "frames_per_clip": 3, "eval_frames_per_clip": 2, "batch_size": 4, "num_workers": 0}
    return FaceForensicsDataModule(str(root), **{**small, **how})


def ready(root, stage="fit", **how):
    module = data(root, **how)
    module.prepare_data()
    module.setup(stage)
    return module


def keys(loader):
    return [key for batch in loader for key in zip(batch["clip"].tolist(), batch["frame"].tolist(), strict=True)]


def splits_of(module, loader):
    return set(module.clips.split[[clip for clip, _ in keys(loader)]])


class Learner(LightningModule):
    """As little as a Trainer takes; remembers what it was shown."""

    def __init__(self, **normalisation):
        super().__init__()
        for name, values in normalisation.items():
            setattr(self, name, values)
        self.layer = nn.Conv2d(3, 1, 1)
        self.shown = {"train": [], "val": [], "test": [], "predict": []}

    def _look(self, batch, stage):
        self.shown[stage].append({"epoch": self.current_epoch, **batch})
        return self.layer(batch["image"]).mean()

    def training_step(self, batch):
        return self._look(batch, "train")

    def validation_step(self, batch):
        self._look(batch, "val")

    def test_step(self, batch):
        self._look(batch, "test")

    def predict_step(self, batch):
        return self._look(batch, "predict")

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Restored(Learner):
    """Learns how images are normalised from its checkpoint."""

    def __init__(self):
        super().__init__(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

    def on_save_checkpoint(self, checkpoint):
        checkpoint["normalisation"] = self.mean, self.std

    def on_load_checkpoint(self, checkpoint):
        self.mean, self.std = checkpoint["normalisation"]


class SecondOfTwo(SingleDeviceStrategy):
    """What the other process of a training on two devices sees."""

    is_global_zero, global_rank = False, 1


@pytest.fixture
def trainer(tmp_path):
    def make(**how):
        off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
        quiet = dict.fromkeys(off, False)
        return Trainer(accelerator="cpu", devices=1, default_root_dir=tmp_path, **quiet, **how)

    return make


def test_every_stage_reads_its_own_split(tree):
    module = ready(tree)
    assert splits_of(module, module.train_dataloader()) == {"train"}
    assert splits_of(module, module.val_dataloader()) == {"val"}
    module.setup("test")
    assert splits_of(module, module.test_dataloader()) == {"test"}
    assert splits_of(module, module.predict_dataloader()) == {"test"}
    assert len(keys(module.train_dataloader())) == 28  # 7 whole batches of 10 clips x 3 frames
    assert len(keys(module.val_dataloader())) == 20


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_predict_visits_the_split_it_is_told(tree, split):
    module = ready(tree, "predict", predict_split=split)
    assert splits_of(module, module.predict_dataloader()) == {split}


def test_the_test_split_stays_closed_until_it_is_set_up(tree):
    module = ready(tree)
    for stage in ("test", "predict"):
        module.setup("fit")
        for loader in (module.test_dataloader, module.predict_dataloader):
            with pytest.raises(RuntimeError, match=r"before setup\('test'\), but nothing may be chosen by it: use"):
                loader()
        module.setup("validate")
        with pytest.raises(RuntimeError, match="nothing may be chosen by it"):
            module.test_dataloader()
        module.setup(stage)
        module.setup("validate")
        assert splits_of(module, module.test_dataloader()) == {"test"}
        assert splits_of(module, module.val_dataloader()) == {"val"}
    assert splits_of(module, ready(tree, predict_split="val").predict_dataloader()) == {"val"}


class Peeping(Callback):
    """Looks at the test split when told."""

    def __init__(self, data, hook):
        self.data = data
        self.refused = 0
        setattr(self, hook, self.peep)

    def peep(self, *_):
        for loader in (self.data.test_dataloader, self.data.predict_dataloader):
            with pytest.raises(RuntimeError, match=r"while the Trainer runs (fit|validate), but nothing may be"):
                loader()
            self.refused += 1


@pytest.mark.parametrize("verb", ["fit", "validate"])
@pytest.mark.parametrize("hook", ["on_sanity_check_start", "on_train_batch_end", "on_validation_epoch_end"])
def test_nobody_sees_the_test_split_while_a_trainer_fits_or_validates(tree, trainer, verb, hook):
    module = ready(tree, "test")  # an earlier test opens nothing
    peeping = Peeping(module, hook)
    running = trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=1, callbacks=[peeping])
    getattr(running, verb)(Learner(), module)
    assert (peeping.refused > 0) == (verb == "fit" or hook == "on_validation_epoch_end")
    if verb == "fit":
        with pytest.raises(RuntimeError, match=r"before setup\('test'\)"):
            module.test_dataloader()
    running.test(Learner(), module, verbose=False)
    assert splits_of(module, module.test_dataloader()) == {"test"}


@pytest.mark.parametrize("stage", ["train", "val", "test", "predict"])
def test_a_loader_before_setup_is_refused(tree, stage):
    with pytest.raises(RuntimeError, match=r"before setup\(stage\): call it first, or let a Trainer do it"):
        getattr(data(tree), f"{stage}_dataloader")()


def test_the_seed_is_that_of_seed_everything_unless_told(tree, monkeypatch):
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    assert data(tree).options.seed == 0
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # so that it is taken back afterwards
    seed_everything(11, verbose=False)
    assert data(tree).options.seed == 11
    assert data(tree, seed=3).options.seed == 3


def test_one_seed_gives_one_order_and_one_look(tree):
    first, again, other = (list(ready(tree, seed=seed).train_dataloader()) for seed in (5, 5, 6))
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(first, again, strict=True))
    assert keys(first) == keys(again) != keys(other)


@pytest.mark.parametrize("methods", [("Deepfake",), ("original",), (), "FaceSwap"], ids=str)
def test_an_unknown_method_is_refused_with_the_known_ones(tree, methods):
    with pytest.raises(ValueError, match=r"methods is \[.*\], but wanted one or more of Deepfakes, Face2Face"):
        data(tree, methods=methods)


def test_a_method_that_is_not_on_disk_is_refused_with_those_that_are(tree):
    with pytest.raises(ValueError, match=r"no c23 videos of FaceShifter, but has original, .*: download them"):
        ready(tree, methods=("Deepfakes", "FaceShifter"))


def test_a_threshold_of_a_method_without_masks_is_refused(tree):
    with pytest.raises(ValueError, match=r"mask_thresholds is \{'Deepfake': 90\}, but the methods with masks are"):
        data(tree, mask_thresholds={"Deepfake": 90})


def test_thresholds_replace_those_of_their_methods_only(tree):
    assert data(tree, mask_thresholds={"FaceSwap": 90}).thresholds == {
        "Deepfakes": 127,
        "DeepFakeDetection": 127,
        "Face2Face": 16,
        "FaceSwap": 90,
        "NeuralTextures": 16,
    }


def test_what_is_selected_is_read_and_originals_with_it(tree):
    module = ready(tree, methods=("FaceSwap",))
    seen = {METHODS[method] for batch in module.train_dataloader() for method in batch["method"].tolist()}
    assert seen == {"original", "FaceSwap"}


def test_the_face_track_does_not_depend_on_the_selection(tree):
    digests = {ready(tree, methods=methods).tracks.digest for methods in (FOUR, ("FaceSwap",), ("NeuralTextures",))}
    assert len(digests) == 1


def test_neither_tracks_nor_their_cache_depend_on_the_quality(own_tree, tmp_path):
    """At c40 the tree holds only FaceSwap, whose masks show another region than Deepfakes' at c23."""
    for folder in ("original_sequences/youtube", "manipulated_sequences/FaceSwap"):
        shutil.copytree(own_tree / folder / "c23", own_tree / folder / "c40")
    how = {"methods": ("FaceSwap",), "cache_dir": str(tmp_path / "cache")}
    fine, coarse = (ready(own_tree, compression=quality, **how) for quality in ("c23", "c40"))
    assert fine.tracks.digest == coarse.tracks.digest
    assert fine.tracks.frame == coarse.tracks.frame
    assert len(list((tmp_path / "cache").glob("tracks-*"))) == 1
    labels = index(own_tree, "c40").query("method in ('original', 'FaceSwap')").index
    assert coarse.clips.index.tolist() == labels.tolist()
    assert set(coarse.clips.compression) == {"c40"}


def test_a_target_of_another_quality_needs_no_box(own_tree, film):
    film(own_tree / "original_sequences/youtube/c40/videos/999.mp4")
    assert len(ready(own_tree).clips) == 30


def test_a_quality_that_is_not_there_is_a_sentence(tree):
    with pytest.raises(FileNotFoundError, match="holds no c40 video"):
        ready(tree, compression="c40")


@pytest.mark.parametrize("missing", ["error", "skip"])
def test_training_on_one_class_is_refused(own_tree, film, missing):
    film(own_tree / "original_sequences/actors/c23/videos/01__kitchen.mp4", size=(160, 128))
    name = "01_02__kitchen__ABCD1234.mp4"
    for place, faces in (("c23", ()), ("masks", (32, 32, 64, 64))):
        path = own_tree / "manipulated_sequences/DeepFakeDetection" / place / "videos" / name
        film(path, size=(160, 128), faces=faces)
    alone = {"methods": ("DeepFakeDetection",), "missing": missing}
    with pytest.raises(
        ValueError, match=r"methods is \['DeepFakeDetection'\], of which .* holds 2 originals only, but"
    ):
        ready(own_tree, **alone)
    assert ready(own_tree, "test", **alone).clips is not None


def test_a_missing_clip_is_an_error_unless_skipped(own_tree, capsys):
    gone = sorted((own_tree / "manipulated_sequences/FaceSwap/c23/videos").glob("*.mp4"))[0]
    gone.unlink()
    with pytest.raises(FileNotFoundError, match=rf"lacks 1 c23 clips .* first FaceSwap/{gone.stem}: .*missing: skip"):
        ready(own_tree)
    module = ready(own_tree, missing="skip")
    module.setup("test")
    assert capsys.readouterr().out.count(f"first FaceSwap/{gone.stem}; skipped") == 1
    assert len(module.clips) == 29
    assert len(ready(own_tree, methods=("Deepfakes",)).clips) == 12  # what is not selected is not missed


def test_clips_whose_masks_do_not_cover_them_are_counted_once(own_tree, film, capsys):
    ready(own_tree)
    assert "not known" not in capsys.readouterr().out
    gone, short, other = sorted((own_tree / "manipulated_sequences/FaceSwap/masks/videos").glob("*.mp4"))[:3]
    gone.unlink()
    film(short, size=(160, 128), frames=3, faces=(32, 32, 96, 96))
    film(other, size=(96, 64), frames=13, faces=(32, 16, 64, 48))
    ready(own_tree).setup("test")
    assert capsys.readouterr().out.count("3 of 24 fakes have a mask that is missing, ends early or has another") == 1
    ready(own_tree, methods=("Deepfakes",))
    assert "not known" not in capsys.readouterr().out


def test_only_the_first_process_says_what_is_skipped(own_tree, capsys, trainer):
    sorted((own_tree / "manipulated_sequences/FaceSwap/c23/videos").glob("*.mp4"))[0].unlink()
    module = data(own_tree, missing="skip")
    module.trainer = trainer(strategy=SecondOfTwo(torch.device("cpu")))
    module.prepare_data()
    module.setup("fit")
    assert "skipped" not in capsys.readouterr().out


def test_a_clip_that_cannot_be_read_is_named_if_it_is_selected(own_tree):
    path = sorted((own_tree / "manipulated_sequences/FaceSwap/c23/videos").glob("*.mp4"))[0]
    path.write_bytes(b"cut short")
    with pytest.raises(ValueError, match=rf"1 clips of .* cannot be read, so download .*{path.name}"):
        ready(own_tree)
    assert len(ready(own_tree, methods=("Deepfakes",)).clips) == 12


def test_masks_that_mark_everything_are_said(own_tree, film, capsys):
    clip = next(clip for clip in clips_of(index(own_tree)) if clip.method == "Deepfakes" and not clip.dx)
    film(Path(clip.mask_path), size=(160, 128), frames=clip.frames, faces=(0, 0, 160, 128))
    ready(own_tree)
    assert f"1 targets cover nearly the whole frame throughout, first {clip.target}" in capsys.readouterr().out


def test_a_fake_in_which_nothing_is_forged_is_said(own_tree, film):
    clip = next(clip for clip in clips_of(index(own_tree)) if clip.method == "FaceSwap" and not clip.dx)
    film(Path(clip.mask_path), size=(160, 128), frames=clip.frames, faces=[None] * clip.frames)
    module = ready(own_tree, stage="predict", eval_frames_per_clip=8, num_workers=0)
    module.predict_split = module.clips.split[module.clips["clip"] == clip.clip].iloc[0]
    with pytest.warns(UserWarning, match=rf"nothing is forged in any of the 8 frames read of .*{clip.clip}"):
        list(module.predict_dataloader())


def test_to_predict_a_clip_that_cannot_be_read_is_left_out_and_kept_in_mind(own_tree):
    path = sorted((own_tree / "manipulated_sequences/FaceSwap/c23/videos").glob("*.mp4"))[0]
    path.write_bytes(b"cut short")
    module = ready(own_tree, stage="predict")
    assert module.unusable["clip"].tolist() == [path.stem]
    assert len(module.clips) == 29
    with pytest.raises(ValueError, match=r"1 clips of .* cannot be read"):
        module.setup("test")


def test_splits_may_lie_elsewhere(own_tree, tmp_path):
    shutil.move(own_tree / "splits", tmp_path / "lists")
    with pytest.raises(FileNotFoundError, match=r"splits lacks train\.json, val\.json, test\.json"):
        ready(own_tree)
    assert ready(own_tree, splits=str(tmp_path / "lists")).clips is not None


def test_actors_come_with_deepfakedetection_only(own_tree, film):
    film(own_tree / "original_sequences/actors/c23/videos/01__kitchen.mp4", size=(160, 128))
    assert ready(own_tree).clips.target.str.len().max() == 3  # nor does their lack of a mask matter
    name = "01_02__kitchen__ABCD1234.mp4"
    film(own_tree / f"manipulated_sequences/DeepFakeDetection/c23/videos/{name}", size=(160, 128))
    film(
        own_tree / f"manipulated_sequences/DeepFakeDetection/masks/videos/{name}",
        size=(160, 128),
        faces=(32, 32, 64, 64),
    )
    assert len(ready(own_tree).clips) == 30
    clips = ready(own_tree, methods=(*FOUR, "DeepFakeDetection")).clips
    assert clips[clips.target == "01__kitchen"].split.tolist() == ["test", "test"]


def test_deepfakedetection_can_be_tested_on(own_tree, film, trainer):
    """Its actors' clips join YouTube's test split; one mask ends before its clip, as on the real disk."""
    film(own_tree / "original_sequences/actors/c23/videos/01__kitchen.mp4", size=(160, 128))
    for name, frames in (("01_02__kitchen__ABCD1234.mp4", 6), ("01_03__kitchen__EFGH5678.mp4", 3)):
        folder = own_tree / "manipulated_sequences/DeepFakeDetection"
        film(folder / "c23/videos" / name, size=(160, 128))
        film(folder / "masks/videos" / name, size=(160, 128), frames=frames, faces=(48, 32, 96, 96))
    model, module = Learner(), data(own_tree, methods=("DeepFakeDetection",), eval_frames_per_clip=6)
    trainer().test(model, module, verbose=False)
    batches = model.shown["test"]
    assert methods_of(batches) == ["original"] * 18 + ["DeepFakeDetection"] * 12
    clips, labels, canvas = (torch.cat([batch[name] for batch in batches]) for name in ("clip", "label", "canvas"))
    first, second = module.clips.index[module.clips.method == "DeepFakeDetection"]
    assert labels[clips == first].tolist() == labels[clips == second].tolist() == [1] * 6
    assert all(set(frame.unique().tolist()) == {0, 1} for frame in canvas[clips == first])
    assert [bool((frame == 255).all()) for frame in canvas[clips == second]] == [False] * 3 + [True] * 3
    assert not labels[~np.isin(clips, [first, second])].any()
    assert set(module.clips.pair[module.clips.target == "01__kitchen"]) == {"01"}


def test_whole_frames_and_boxes_from_a_csv_need_no_mask(own_tree, tmp_path):
    for folder in (own_tree / "manipulated_sequences").glob("*/masks"):
        shutil.rmtree(folder)
    with pytest.raises(ValueError, match="6 targets have no face box in masks"):
        ready(own_tree)
    module = ready(own_tree, faces="whole")
    assert all((batch["box"][:, 1] == 0).all() for batch in module.val_dataloader())
    rows = [f"{target},0,40,30,100,90" for target in index(own_tree).target.unique()]
    (tmp_path / "boxes.csv").write_text("\n".join(["target,frame,x0,y0,x1,y1", *rows]))
    module = ready(own_tree, faces=str(tmp_path / "boxes.csv"), margin=1.0)
    assert all((batch["box"][:, 1] == 30).all() for batch in module.val_dataloader())


def test_balance_evens_out_training_only(tree):
    module = ready(tree, balance=True, frames_per_clip=2, batch_size=1)
    labels = [METHODS[int(batch["method"])] == "original" for batch in module.train_dataloader()]
    assert sum(labels) == len(labels) / 2
    assert len(keys(module.val_dataloader())) == 20


def test_training_is_augmented_unless_told_and_evaluation_never(tree):
    def looks(**how):
        module = ready(tree, frames_per_clip=100, batch_size=1, **how)
        return {key: batch["image"] for batch in module.train_dataloader() for key in keys([batch])}

    plain, augmented = looks(augment=False), looks()
    changed = [not torch.equal(plain[key], augmented[key]) for key in plain]
    assert 0.5 < sum(changed) / len(changed) < 1
    first, second = (list(ready(tree, augment=augment).val_dataloader()) for augment in (True, False))
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(first, second, strict=True))


def methods_of(loader):
    return [METHODS[method] for batch in loader for method in batch["method"].tolist()]


def test_originals_are_self_blended_in_training_only(tree):
    module = ready(tree, self_blend=0.5, frames_per_clip=12, predict_split="train")
    training = methods_of(module.train_dataloader())
    assert set(training) == {"original", "SelfBlended", *FOUR}
    assert 0.2 < training.count("SelfBlended") / (training.count("original") + training.count("SelfBlended")) < 0.8
    module.setup("test")
    for loader in (module.val_dataloader(), module.test_dataloader(), module.predict_dataloader()):
        assert set(methods_of(loader)) == {"original", *FOUR}


def test_without_a_word_nothing_is_self_blended(tree):
    assert "SelfBlended" not in methods_of(ready(tree, frames_per_clip=12).train_dataloader())


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_without_methods_originals_are_learnt_from_alone(tree, split):
    module = ready(tree, methods=(), self_blend=0.5, frames_per_clip=12, predict_split=split)
    assert set(module.clips.method) == {"original"}
    assert set(methods_of(module.train_dataloader())) == {"original", "SelfBlended"}
    module.setup("predict")
    assert set(methods_of(module.predict_dataloader())) == {"original"}


@pytest.mark.parametrize("stage", ["fit", "validate"])
def test_without_methods_every_second_validation_clip_is_self_blended(tree, stage):
    first, other = (
        list(ready(tree, stage, methods=(), self_blend=share, seed=seed).val_dataloader())
        for share, seed in ((0.2, 1), (0.7, 2))
    )
    assert methods_of(first) == ["original"] * 2 + ["SelfBlended"] * 2
    assert all(torch.equal(a[name], b[name]) for a, b in zip(first, other, strict=True) for name in a)
    assert [batch["label"].tolist() for batch in first] == [[0, 0, 1, 1]]
    assert [mask.any().item() for mask in first[0]["mask"]] == [False, False, True, True]


def test_without_methods_there_is_nothing_to_test_on(tree):
    with pytest.raises(ValueError, match=r"methods is \[\], so the test split holds originals only.* data\.init_args"):
        ready(tree, "test", methods=(), self_blend=0.5)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"self_blend": -0.1}, "self_blend is -0.1, but wanted a share of the originals' frames, 0 or more and less"),
        ({"self_blend": 1.0}, "self_blend is 1.0, but wanted .* some must stay real: 0.5 forges every second one"),
        ({"self_blend": float("nan")}, "self_blend is nan, but wanted a share"),
        ({"methods": ()}, r"methods is \[\], but wanted one or more of Deepfakes, .*, or none and self_blend above 0"),
        ({"methods": ("SelfBlended",), "self_blend": 0.5}, r"methods is \['SelfBlended'\], but wanted one or more of"),
        ({"self_blend": 0.2, "faces": "whole"}, "self_blend is 0.2 and faces is whole, but .*: use faces: masks, dlib"),
        (
            {"self_blend": 0.5, "balance": True},
            "self_blend is 0.5 with balance, but .* use less than 0.5, or no balance",
        ),
        (
            {"methods": (), "self_blend": 0.4, "balance": True},
            "self_blend is 0.4 with balance and no methods, but only",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_self_blended_is_refused(tree, how, sentence):
    with pytest.raises(ValueError, match=sentence):
        data(tree, **how)


@pytest.mark.parametrize(("methods", "share"), [(FOUR, 0.2), ((), 0.5)], ids=["all", "none"])
def test_balance_counts_self_blended_frames_as_fakes(tree, methods, share):
    module = ready(tree, methods=methods, self_blend=share, balance=True, frames_per_clip=12, batch_size=1)
    loader = module.train_dataloader()
    labels = []
    for epoch in range(8):
        loader.epoch = lambda epoch=epoch: epoch
        labels += [int(batch["label"]) for batch in loader]
    assert 0.4 < sum(labels) / len(labels) < 0.6


def test_a_trainer_takes_every_stage_and_draws_anew_each_epoch(tree, trainer):
    model, module = Learner(), data(tree, predict_split="val")
    trainer(max_epochs=2, num_sanity_val_steps=0).fit(model, module)
    epochs = [sorted(keys([batch for batch in model.shown["train"] if batch["epoch"] == epoch])) for epoch in (0, 1)]
    assert len(epochs[0]) == len(epochs[1]) == 28
    assert epochs[0] != epochs[1]
    val = [sorted(keys([batch for batch in model.shown["val"] if batch["epoch"] == epoch])) for epoch in (0, 1)]
    assert val[0] == val[1]
    trainer().test(model, module, verbose=False)
    assert sorted(keys(model.shown["test"])) == sorted(keys(module.test_dataloader()))
    trainer().predict(model, module, return_predictions=False)
    assert sorted(keys(model.shown["predict"])) == val[0]


@pytest.mark.parametrize("limit", [2, 0.4])
@pytest.mark.parametrize("workers", [0, 2])
def test_an_evaluation_that_is_cut_short_shows_originals_and_every_method(tree, trainer, limit, workers):
    model, module = Learner(), data(tree, eval_frames_per_clip=10, num_workers=workers)
    trainer(limit_test_batches=limit).test(model, module, verbose=False)
    whole = keys(ready(tree, "test", eval_frames_per_clip=10).test_dataloader())
    shown = keys(model.shown["test"])
    assert len(shown) == len(set(shown)) == (8 if limit == 2 else 40) < len(whole)
    assert set(shown) <= set(whole)
    assert {module.clips.method[clip] for clip, _ in shown} == {"original", *module.methods}
    model.shown["val"].clear()
    trainer(limit_val_batches=limit).validate(model, module, verbose=False)
    assert {module.clips.method[clip] for clip, _ in keys(model.shown["val"])} == {"original", *module.methods}


def test_a_trainer_that_overfits_sees_the_same_batches_in_every_epoch(tree, trainer):
    model, module = Learner(), data(tree)
    trainer(max_epochs=3, overfit_batches=2, num_sanity_val_steps=0).fit(model, module)
    epochs = [[batch for batch in model.shown["train"] if batch["epoch"] == epoch] for epoch in range(3)]
    assert [len(batches) for batches in epochs] == [2, 2, 2]
    for other in epochs[1:]:
        assert all(torch.equal(one["image"], two["image"]) for one, two in zip(epochs[0], other, strict=True))
    assert {module.clips.method[clip] for clip, _ in keys(model.shown["val"])} == {"original", *module.methods}


def test_a_trainer_is_shown_other_self_blended_frames_in_each_epoch_and_one_validation(tree, trainer):
    model = Learner()
    module = data(tree, methods=(), self_blend=0.5, redraw=False, augment=False, frames_per_clip=8)
    trainer(max_epochs=3, num_sanity_val_steps=0).fit(model, module)
    epochs = [[batch for batch in model.shown["train"] if batch["epoch"] == epoch] for epoch in range(3)]
    forged = [
        {key for batch in epoch for key, label in zip(keys([batch]), batch["label"].tolist(), strict=True) if label}
        for epoch in epochs
    ]
    assert len({frozenset(some) for some in forged}) == 3
    first, *others = ([batch for batch in model.shown["val"] if batch["epoch"] == epoch] for epoch in range(3))
    for other in others:
        assert all(torch.equal(a["image"], b["image"]) for a, b in zip(first, other, strict=True))


def test_mean_and_std_are_the_models(tree, trainer):
    plain, other = Learner(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)), Learner(mean=(0.5,) * 3, std=(0.25,) * 3)
    for model in (plain, other):
        trainer().test(model, data(tree), verbose=False)
    for a, b in zip(plain.shown["test"], other.shown["test"], strict=True):
        assert a["image"].min() >= 0
        assert a["image"].max() <= 1
        torch.testing.assert_close((a["image"] - 0.5) / 0.25, b["image"])


def test_without_a_word_from_the_model_imagenets_are_taken(tree, trainer):
    silent, imagenet = Learner(), Learner(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    for model in (silent, imagenet):
        trainer(limit_test_batches=1).test(model, data(tree), verbose=False)
    assert torch.equal(silent.shown["test"][0]["image"], imagenet.shown["test"][0]["image"])


def test_an_explicit_mean_that_is_not_the_models_is_refused(tree, trainer):
    model = Learner(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    with pytest.raises(ValueError, match=r"mean is \[0\.1, 0\.1, 0\.1\], but the encoder's weights want \[0\.5, 0\.5"):
        trainer().test(model, data(tree, mean=(0.1, 0.1, 0.1)), verbose=False)
    with pytest.raises(ValueError, match=r"std is \[0\.1, 0\.1, 0\.1\], but .*: leave it out"):
        trainer().test(model, data(tree, std=(0.1, 0.1, 0.1)), verbose=False)
    trainer(limit_test_batches=1).test(model, data(tree, mean=(0.5, 0.5, 0.5)), verbose=False)


@pytest.fixture
def checkpoint(tree, trainer, tmp_path):
    """Of a model whose images are normalised otherwise than its class does by default."""
    model, training = Restored(), trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=0)
    model.mean, model.std = (0.5,) * 3, (0.25,) * 3
    training.fit(model, data(tree))
    training.save_checkpoint(tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


@pytest.mark.parametrize(
    ("verb", "stage"), [("fit", "train"), ("validate", "val"), ("test", "test"), ("predict", "predict")]
)
def test_a_restored_checkpoint_says_how_images_are_normalised(tree, trainer, checkpoint, verb, stage):
    model, module = Restored(), data(tree)
    getattr(trainer(max_epochs=2, limit_train_batches=1, limit_val_batches=1), verb)(
        model, module, ckpt_path=checkpoint
    )
    batch = model.shown[stage][0]
    assert model.mean == (0.5,) * 3
    assert batch["image"].min() < -0.1  # a mean of 0 lets nothing fall below 0
    assert batch["image"].abs().max() <= 2


def test_an_explicit_mean_that_is_not_the_checkpoints_is_refused(tree, trainer, checkpoint):
    with pytest.raises(ValueError, match=r"mean is \[0\.0, 0\.0, 0\.0\], but the encoder's weights want \[0\.5, 0"):
        trainer().test(Restored(), data(tree, mean=(0.0, 0.0, 0.0)), ckpt_path=checkpoint, verbose=False)
    trainer().test(Restored(), data(tree, mean=(0.5, 0.5, 0.5)), ckpt_path=checkpoint, verbose=False)


def test_one_data_module_serves_models_of_different_means(tree, trainer):
    module = ready(tree)
    for mean in (0.0, 0.5):
        model = Learner(mean=(mean,) * 3, std=(1.0, 1.0, 1.0))
        trainer(limit_test_batches=1).test(model, module, verbose=False)
        assert (model.shown["test"][0]["image"].min() < 0) == (mean > 0)


def test_a_clip_names_the_people_it_was_made_of(own_tree, film):
    film(own_tree / "original_sequences/actors/c23/videos/01__kitchen.mp4", size=(160, 128))
    name = "01_02__kitchen__ABCD1234.mp4"
    for place, faces in (("c23", ()), ("masks", (32, 32, 64, 64))):
        film(own_tree / f"manipulated_sequences/DeepFakeDetection/{place}/videos/{name}", size=(160, 128), faces=faces)
    clips = ready(own_tree, "test", methods=(*FOUR, "DeepFakeDetection")).clips
    pairs = [
        pair
        for split in ("train", "val", "test")
        for pair in json.loads((own_tree / f"splits/{split}.json").read_text())
    ]
    for one, other in pairs:
        of_pair = clips[clips.pair == f"{one}_{other}"]
        assert sorted(of_pair["clip"]) == sorted([one, other] + 4 * [f"{one}_{other}", f"{other}_{one}"])
    assert sorted(clips["clip"][clips.pair == "01"]) == ["01_02__kitchen__ABCD1234", "01__kitchen"]
    assert clips.pair.nunique() == len(pairs) + 1


def test_the_splits_of_a_tree_are_those_of_its_files(tree):
    module = ready(tree)
    for split in ("train", "val", "test"):
        ids = {name for pair in json.loads((tree / "splits" / f"{split}.json").read_text()) for name in pair}
        assert set(module.clips.target[module.clips.split == split]) == ids


def test_crops_are_kept_where_facts_are_and_change_nothing(tree, tmp_path):
    plain = ready(tree, redraw=False)
    kept = ready(tree, redraw=False, cache_dir=str(tmp_path), cache_gb=1.0)
    for _ in range(2):
        for one, other in zip(plain.train_dataloader(), kept.train_dataloader(), strict=True):
            assert all(torch.equal(one[name], other[name]) for name in one)
    assert len(list((tmp_path / "crops").rglob("*.crops"))) == 10
    assert not (tmp_path / "crops" / "crops").exists()


def test_frames_that_fill_no_batch_are_said(tree, capsys):
    ready(tree, batch_size=4, frames_per_clip=3).train_dataloader()
    assert "2 of 30 training frames fill no batch; others in each epoch" in capsys.readouterr().out


@pytest.mark.parametrize(("stage", "processes"), [("fit", 8), ("validate", 21), ("test", 21), ("predict", 21)])
def test_a_process_without_data_is_refused(tree, stage, processes):
    data(tree).refuse_idle_processes(stage, processes - 1 if stage != "fit" else 2)
    with pytest.raises(ValueError, match=r"make less than .* fewer devices"):
        data(tree).refuse_idle_processes(stage, processes)


@pytest.fixture(scope="module")
def three_qualities(tmp_path_factory):
    """Three pairs, one a split, at every quality."""
    from datamodules.synthetic import write_tree

    out = tmp_path_factory.mktemp("qualities") / "mini"
    write_tree(out, pairs=3, seed=0, frames=12, size=(160, 128), workers=0)
    return out


def test_mixed_shows_every_clip_at_every_quality_a_third_of_the_frames_each(three_qualities):
    mixed = ready(three_qualities, compression="mixed", frames_per_clip=6, eval_frames_per_clip=4)
    alone = ready(three_qualities, compression="c23", frames_per_clip=6, eval_frames_per_clip=4)
    assert mixed.clips.index.is_unique
    assert mixed.clips["compression"].value_counts().to_dict() == dict.fromkeys(("raw", "c23", "c40"), len(alone.clips))
    assert set(mixed.clips["clip"]) == {
        f"{clip}@{quality}" for clip in alone.clips["clip"] for quality in ("raw", "c23", "c40")
    }
    training = mixed.train_dataloader()
    assert training.stream.samples == alone.train_dataloader().stream.samples
    shown = mixed.clips.loc[[clip for clip, _ in keys(training)]]
    assert set(shown["compression"]) == {"raw", "c23", "c40"}
    assert len(keys(mixed.val_dataloader())) == 2 * 3 * (mixed.clips["split"] == "val").sum() / 3  # 4 / 3, rounded up
    one = mixed.clips.groupby(["method", "target", "source"]).split.nunique()
    assert (one == 1).all()


def test_mixed_compares_a_fake_with_its_original_of_the_same_quality(three_qualities):
    labels = ready(three_qualities, compression="mixed", labels="difference").make_labels()
    mixed = ready(three_qualities, compression="mixed")
    for clip in clips_of(mixed.clips[mixed.clips["label"] == 1]):
        assert f"/{clip.compression}/" in labels.files(clip)[0]
        assert f"/{clip.target}.mp4" in labels.files(clip)[0]


def test_mixed_crops_by_the_one_track_of_each_target(three_qualities):
    mixed = ready(three_qualities, compression="mixed")
    alone = ready(three_qualities, compression="c40")
    assert mixed.tracks.digest == alone.tracks.digest
    for clip in clips_of(mixed.clips):
        same = next(other for other in clips_of(alone.clips) if other.method == clip.method and other.clip in clip.clip)
        assert np.array_equal(mixed.tracks.crops(clip, range(4), 1.3), alone.tracks.crops(same, range(4), 1.3))


def test_mixed_without_one_of_the_qualities_is_refused(tree):
    with pytest.raises(ValueError, match=r"has no raw videos of .*download them"):
        ready(tree, compression="mixed")
    with pytest.raises(ValueError, match="has no raw videos"):
        ready(tree, compression="mixed", missing="skip")
