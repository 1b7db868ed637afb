import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import nn

from datamodules import METHODS, UNKNOWN, VideoFolderDataModule, read_masks
from datamodules.clips.index import clips_of
from datamodules.layouts.video_table import read_video_table

SIZE, FACE = (96, 64), (32, 16, 64, 48)


@pytest.fixture
def folder(tmp_path, film):
    """Writes videos, masks, boxes and a CSV; gives the CSV."""

    def write(lines, header="path,label"):
        for name in ("real/a", "real/b", "fake/a", "fake/c", "fake/d"):
            film(tmp_path / f"{name}.mp4", size=SIZE)
        film(tmp_path / "masks/c.mp4", size=SIZE, faces=FACE)
        film(tmp_path / "masks/late.mp4", size=SIZE, faces=[FACE, FACE, None, None, FACE, FACE])
        film(tmp_path / "masks/short.mp4", size=SIZE, frames=3, faces=FACE)
        film(tmp_path / "masks/grey.mp4", size=SIZE, faces=FACE)
        (tmp_path / "videos.csv").write_text("\n".join([header, *lines]) + "\n")
        return str(tmp_path / "videos.csv")

    return write


def ready(csv, stage="test", **how):
    small = {"size": 32, "frames_per_clip": 3, "eval_frames_per_clip": 3, "batch_size": 4, "num_workers": 0}
    module = VideoFolderDataModule(csv, **{**small, "faces": "whole", **how})
    module.prepare_data()
    module.setup(stage)
    return module


def joined(loader, name):
    return torch.cat([batch[name] for batch in loader])


PLAIN = ["real/a.mp4,0", "real/b.mp4,0", "fake/c.mp4,1", "fake/d.mp4,1"]


def test_path_and_label_are_enough_to_test(folder, capsys):
    module = ready(folder(PLAIN))
    said = capsys.readouterr().out
    assert "fake are no methods of FaceForensics++: figures are over all fakes only" in said
    assert "2 of 2 fakes have a mask that is missing" in said
    batches = list(module.test_dataloader())
    assert "method" not in batches[0]
    assert torch.cat([batch["label"] for batch in batches]).tolist() == [0] * 6 + [1] * 6
    assert joined(batches, "clip").tolist() == [clip for clip in range(4) for _ in range(3)]
    for name in ("mask", "canvas"):
        truth = joined(batches, name)
        assert not truth[:6].any()
        assert (truth[6:] == UNKNOWN).all()
    assert joined(batches, "canvas_box").tolist() == [[0, 0, *SIZE]] * 12
    assert module.clips["clip"].tolist() == module.clips.pair.tolist() == module.clips.target.tolist() == list("abcd")
    assert (module.clips.split == "test").all()
    assert sum(len(batch["label"]) for batch in module.predict_dataloader()) == 12


def test_fakes_of_known_methods_say_theirs(folder, capsys):
    lines = ["real/a.mp4,0,Celeb-real", "fake/c.mp4,1,FaceSwap", "fake/d.mp4,1,Deepfakes"]
    module = ready(folder(lines, "path,label,method"))
    assert "no methods of" not in capsys.readouterr().out
    methods = [METHODS[method] for method in joined(module.test_dataloader(), "method").tolist()]
    assert methods == ["original"] * 3 + ["FaceSwap"] * 3 + ["Deepfakes"] * 3
    lines[1] = "fake/c.mp4,1,Celeb-synthesis"
    module = ready(folder(lines, "path,label,method"))
    assert "Celeb-synthesis are no methods of FaceForensics++" in capsys.readouterr().out
    assert all("method" not in batch for batch in module.test_dataloader())
    assert module.clips.method.tolist() == ["original", "Celeb-synthesis", "Deepfakes"]


@pytest.mark.parametrize("method", ["FaceSwap", "mine"])
def test_masks_are_the_truth_of_pixels_and_of_frames(folder, method):
    lines = ["real/a.mp4,0,,", f"fake/c.mp4,1,masks/late.mp4,{method}", f"fake/d.mp4,1,masks/short.mp4,{method}"]
    module = ready(folder(lines, "path,label,mask_path,method"), eval_frames_per_clip=6)
    labels = joined(module.test_dataloader(), "label").reshape(3, 6)
    assert labels.tolist() == [[0] * 6, [1, 1, 0, 0, 1, 1], [1] * 6]
    canvas = joined(module.test_dataloader(), "canvas").reshape(3, 6, 256, 256)
    assert [bool((frame == 1).any()) for frame in canvas[1]] == [True, True, False, False, True, True]
    assert [bool((frame == UNKNOWN).all()) for frame in canvas[2]] == [False] * 3 + [True] * 3
    x0, y0, x1, y1 = FACE
    share = (x1 - x0) * (y1 - y0) / (SIZE[0] * SIZE[1])
    assert (canvas[1, 0] == 1).float().mean() == pytest.approx(share, rel=0.1)


def test_the_threshold_of_masks_is_an_argument(folder, tmp_path):
    from datamodules import write_video

    csv = folder(["real/a.mp4,0,", "fake/c.mp4,1,masks/grey.mp4"], "path,label,mask_path")
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    image[16:48, 32:64] = 60
    write_video(tmp_path / "masks/grey.mp4", [image] * 6, "c23")
    with pytest.raises(ValueError, match=r"1 masks of fakes are empty .*grey\.mp4 \(brightest value 60\)"):
        ready(csv)
    assert joined(ready(csv, mask_threshold=30).test_dataloader(), "label").tolist() == [0] * 3 + [1] * 3
    with pytest.raises(ValueError, match="mask_threshold is 255, but wanted a grey level from 0 to 254"):
        ready(csv, mask_threshold=255)


def test_clips_of_a_target_share_its_track(folder, tmp_path):
    header = "path,label,mask_path,target,pair"
    lines = ["real/a.mp4,0,,one,x_y", "fake/c.mp4,1,masks/c.mp4,one,x_y", "fake/d.mp4,1,masks/c.mp4,,"]
    module = ready(folder(lines, header), faces="masks")
    clips = clips_of(module.clips)
    assert module.clips.pair.tolist() == ["x_y", "x_y", "d"]
    boxes = [module.tracks.crops(clip, [0, 5], 1.3).tolist() for clip in clips]
    assert boxes[0] == boxes[1] == boxes[2]  # the masks are one file
    assert module.canvas_tracks is module.tracks
    with pytest.raises(ValueError, match="1 targets have no face box in masks, first 'b'"):
        ready(folder([*lines, "real/b.mp4,0,,,"], header), faces="masks")
    (tmp_path / "boxes.csv").write_text("target,frame,x0,y0,x1,y1\none,0,32,16,64,48\nd,0,10,10,30,30\n")
    module = ready(folder(lines, header), faces=str(tmp_path / "boxes.csv"), margin=1.0)
    assert {tuple(box) for box in joined(module.test_dataloader(), "box").tolist()} == {
        (32, 16, 64, 48),
        (10, 10, 30, 30),
    }


@pytest.mark.skipif(importlib.util.find_spec("dlib") is None, reason="dlib is not installed")
def test_dlib_looks_at_every_target_also_where_it_has_no_real_clip(folder, tmp_path):
    from datamodules import write_video
    from datamodules.synthetic.takes import film as take

    for name, seed in (("one", 1), ("two", 2)):
        frames = take(np.random.default_rng(seed), 8, 320, 240).frames
        write_video(tmp_path / f"{name}.mp4", frames, "c23")
    csv = folder(["one.mp4,0,p", "two.mp4,1,"], "path,label,target")
    module = ready(csv, faces="dlib")
    assert set(module.tracks.boxes) == {"p", "two"}
    boxes = joined(module.test_dataloader(), "box")
    sides = boxes[:, 2:] - boxes[:, :2]
    assert ((sides > 40) & (sides < 240)).all()


def test_training_needs_both_classes_and_a_validation(folder):
    header = "path,label,split"
    lines = ["real/a.mp4,0,train", "fake/c.mp4,1,train", "real/b.mp4,0,val", "fake/d.mp4,1,val"]
    module = ready(folder(lines, header), "fit")
    assert sorted(set(joined(module.train_dataloader(), "label").tolist())) == [0, 1]
    assert joined(module.val_dataloader(), "label").tolist() == [0] * 3 + [1] * 3
    with pytest.raises(ValueError, match="has no clip in the split test, which test needs: add clips with split test"):
        ready(folder(lines, header), "test")
    with pytest.raises(ValueError, match="has real clips only in the split train, which fit needs"):
        ready(folder([lines[0], *lines[2:]], header), "fit")
    with pytest.raises(ValueError, match="has no clip in the split val, which fit needs"):
        ready(folder(lines[:2], header), "fit")
    assert ready(folder([line.replace("val", "") for line in lines[:1] + lines[2:]], header), "test").clips is not None


class Learner(LightningModule):
    """As little as a Trainer takes; remembers what it was shown."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 1)
        self.shown = []

    def training_step(self, batch):
        return self.layer(batch["image"]).mean()

    def validation_step(self, batch):
        self.shown.append(batch)

    test_step = validation_step

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


def test_a_trainer_fits_and_tests_on_it(folder, tmp_path):
    lines = ["real/a.mp4,0,train", "fake/a.mp4,1,train", "real/b.mp4,0,val", "fake/c.mp4,1,val", "fake/d.mp4,1,test"]
    csv = folder(lines, "path,label,split")
    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = Trainer(accelerator="cpu", devices=1, default_root_dir=tmp_path, max_epochs=1, **off)
    module = VideoFolderDataModule(csv, faces="whole", size=32, batch_size=2, num_workers=0, frames_per_clip=2)
    module.refuse_idle_processes("fit", 1)
    model = Learner()
    trainer.fit(model, module)
    assert sum(len(batch["label"]) for batch in model.shown) >= 12
    model.shown.clear()
    trainer.test(model, module, verbose=False)
    assert joined(model.shown, "label").tolist() == [1] * 6
    assert model.shown[0]["canvas"].dtype == torch.int64
    with pytest.raises(ValueError, match="fewer devices"):
        module.refuse_idle_processes("test", 7)


def test_what_is_cached_is_the_same(folder, tmp_path):
    csv = folder(["real/a.mp4,0,", "fake/c.mp4,1,masks/c.mp4"], "path,label,mask_path")
    plain = list(ready(csv).test_dataloader())
    for _ in range(2):
        kept = ready(csv, cache_dir=str(tmp_path / "cache"), cache_gb=1.0)
        for one, other in zip(plain, kept.test_dataloader(), strict=True):
            assert one.keys() == other.keys()
            assert all(torch.equal(one[name], other[name]) for name in one)


def test_files_of_one_name_are_told_apart_by_their_folders(folder, tmp_path):
    table = read_video_table(tmp_path / "videos.csv" if folder([*PLAIN, "fake/a.mp4,1"]) else None)
    assert table["clip"].tolist() == ["real__a.mp4", "b", "c", "d", "fake__a.mp4"]
    assert table.index.tolist() == [0, 1, 2, 3, 4]


def test_absolute_paths_and_masks_are_read(folder, tmp_path):
    csv = folder(
        [f"{tmp_path}/real/a.mp4,0,", f"{tmp_path}/fake/c.mp4,1,{tmp_path}/masks/c.mp4"], "path,label,mask_path"
    )
    _, fake = clips_of(ready(csv).clips)
    (mask,) = read_masks(fake, [0], {"fake": 127})
    assert mask[16:48, 32:64].all()


@pytest.mark.parametrize(
    ("header", "lines", "sentence"),
    [
        ("path,label", [], "names no video: wanted a line for each"),
        (
            "path",
            ["real/a.mp4"],
            r"lacks the columns \['label'\]: wanted path,label and, if known, mask_path,method",
        ),
        ("path,label,mask", ["real/a.mp4,0,x"], r"has the columns \['mask'\], which nothing reads: wanted path,label"),
        (
            "path,label",
            ["real/a.mp4,2"],
            r"label of 1 lines is '2' in line 2, but wanted 0 \(real\) or 1 \(fake\): corr",
        ),
        ("path,label", ["real/a.mp4,"], "label of 1 lines is '' in line 2, but wanted 0"),
        (
            "path,label,split",
            ["real/a.mp4,0,dev"],
            "split of 1 lines is 'dev' in line 2, but wanted train or val or test",
        ),
        (
            "path,label,split",
            ["real/a.mp4,3,", "real/b.mp4,0,dev", ",1,test", "fake/c.mp4,yes,"],
            r"path of 1 lines is '' in line 4, but wanted that of a video; label of 2 lines is '3' in line 2, 'yes' in "
            r"line 5, but wanted 0 \(real\) or 1 \(fake\); split of 1 lines is 'dev' in line 3, but wanted train",
        ),
        ("path,label", [f"{number}.mp4,x" for number in range(14)], "'x' in line 11 and 4 more, but wanted 0"),
        (
            "path,label",
            [*PLAIN, "real/../real/a.mp4,0", "fake/c.mp4,1"],
            "names 2 videos more than once, .*real/a.mp4 in lines 2, 6, .*fake/c.mp4 in lines 4, 7: keep one line of",
        ),
        (
            "path,label,method",
            ["real/a.mp4,0,FaceSwap", "fake/c.mp4,1,original"],
            "2 lines, label 0 with method FaceSwap in line 2, label 1 with method original in line 3: original are",
        ),
        (
            "path,label",
            ["videos.csv,0"],
            "1 clips of .*csv cannot be read, so download or copy them again, .*videos.csv cannot",
        ),
        (
            "path,label,split,pair",
            ["real/a.mp4,0,train,x", "fake/c.mp4,1,test,x"],
            "pair x is in 2 splits, but a face may be in one only: move its clips",
        ),
    ],
    ids=str,
)
def test_a_line_that_cannot_be_is_a_sentence(folder, header, lines, sentence):
    with pytest.raises(ValueError, match=sentence):
        ready(folder(lines, header))


def test_what_is_missing_is_named(folder, tmp_path):
    lines = ["real/z.mp4,0,", "real/a.mp4,0,", "fake/c.mp4,1,masks/z.mp4", "fake/d.mp4,1,masks/z.mp4"]
    with pytest.raises(
        FileNotFoundError,
        match=r"2 videos or masks that are no files, path .*/real/z\.mp4 in line 2 \(no such file or directory\), "
        r"mask_path .*/masks/z\.mp4 in line 4 \(no such file or directory\): give paths relative to the CSV, or absol",
    ):
        ready(folder(lines, "path,label,mask_path"))
    with pytest.raises(FileNotFoundError, match=r"names 12 videos .* path .*/9\.mp4 in line 11 .* and 2 more: give"):
        ready(folder([f"{number}.mp4,0" for number in range(12)]))
    with pytest.raises(FileNotFoundError, match=r"csv is '.*none\.csv', but wanted a file that exists"):
        ready(str(tmp_path / "none.csv"))
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(ValueError, match=r"empty\.csv lacks the columns \['path', 'label'\]"):
        ready(str(tmp_path / "empty.csv"))


def test_folders_and_links_to_nothing_are_named_with_what_to_do(folder, tmp_path):
    csv = folder(
        [
            "dangling.mp4,0,",
            "loop.mp4,0,",
            "real,0,",
            "fake/c.mp4,1,pngs of c",
            "pipe,1,",
            f"{'n' * 300},0,",
            "real/a.mp4/b,0,",
        ],
        "path,label,mask_path",
    )
    (tmp_path / "pngs of c").mkdir()
    (tmp_path / "dangling.mp4").symlink_to("gone.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError, match="names 7 videos or masks that are no files") as refused:
        ready(csv)
    sentence = str(refused.value)
    assert "dangling.mp4 in line 2 (a link to what is not there: no such file or directory)" in sentence
    assert "loop.mp4 in line 3 (a link to what is not there: too many levels of symbolic links)" in sentence
    assert "real in line 4 (a folder)" in sentence
    assert "pipe in line 6 (neither a file nor a folder)" in sentence
    assert "nnn in line 7 (file name too long)" in sentence
    assert "b in line 8 (not a directory)" in sentence
    assert "pngs of c in line 5 (a folder)" in sentence
    assert "; name each video of a folder in a line of its own; masks are videos, so make one" in sentence
    assert sentence.endswith(f"ffmpeg -framerate 25 -i '{tmp_path}/pngs of c/%04d.png' mask.mp4")
    assert "\n" not in sentence


def test_a_link_to_a_video_is_a_video(folder, tmp_path):
    csv = folder(["link.mp4,0", "real/b.mp4,0", "fake/c.mp4,1"])
    (tmp_path / "link.mp4").symlink_to("real/a.mp4")
    assert read_video_table(tmp_path / "videos.csv")["clip"].tolist() == ["link", "b", "c"]
    folder(["link.mp4,0", "real/a.mp4,0"])
    with pytest.raises(ValueError, match=r"names 1 videos more than once, .*link\.mp4 in lines 2, 3"):
        ready(csv)


def test_spaces_belong_to_a_name_where_a_file_has_them(folder, tmp_path, film):
    names = [" lead.mp4", "trail .mp4", "end.mp4 ", "a,b;c.mp4", 'quo"te.mp4', "né.mp4", "two\nlines.mp4", "a:b/c.mp4"]
    for name in [*names, "mask .mp4", "bare.mp4"]:
        film(tmp_path / name, size=SIZE, faces=FACE if "mask" in name else ())
    film(tmp_path / "both.mp4", size=SIZE)
    film(tmp_path / " both.mp4", size=SIZE, frames=3)
    cells = ['"{}"'.format(name.replace('"', '""')) for name in names]
    lines = [*[f"{cell},1 ,mask .mp4, mine " for cell in cells], "  bare.mp4\t, 0,  ,", " both.mp4,0,,", "both.mp4,0,,"]
    table = read_video_table(Path(folder(lines, "path,label,mask_path,method")))
    assert [Path(path).relative_to(tmp_path) for path in table.path] == [
        Path(name) for name in (*names, "bare.mp4", " both.mp4", "both.mp4")
    ]
    assert {Path(path).name for path in table.mask_path[: len(names)]} == {"mask .mp4"}
    assert table.mask_path[len(names) :].tolist() == [""] * 3
    assert table.method[: len(names)].unique().tolist() == ["mine"]
    assert table.frames[-2:].tolist() == [3, 6]


def test_a_folder_whose_name_is_not_utf8_is_a_sentence(folder, tmp_path):
    folder(PLAIN)
    bad = tmp_path / os.fsdecode(b"caf\xe9")
    bad.mkdir()
    (bad / "videos.csv").write_text(f"path,label\n{tmp_path}/real/a.mp4,0\n")
    for csv in (bad / "videos.csv", tmp_path / "link.csv"):
        if "link" in csv.name:
            csv.symlink_to(bad / "videos.csv")
        with pytest.raises(
            ValueError, match=r"the path b'.*/caf\\xe9/videos\.csv' is not UTF-8 \(byte 0xe9\)"
        ) as refused:
            ready(str(csv))
        assert str(refused.value).isprintable()


@pytest.mark.parametrize("place", ["a:b", "file:x", "50% off", "it's $HOME;&", "日本"])
def test_a_relative_folder_of_any_name_is_read(folder, tmp_path, monkeypatch, place):
    folder(PLAIN)
    (tmp_path / place).mkdir()
    (tmp_path / "real").rename(tmp_path / place / "real")
    (tmp_path / place / "videos.csv").write_text("path,label\nreal/a.mp4,0\nreal/b.mp4,0\n")
    monkeypatch.chdir(tmp_path)
    for backend in ("pyav", "decord"):
        assert len(joined(ready(f"{place}/videos.csv", backend=backend).test_dataloader(), "label")) == 6


def test_clips_of_a_target_must_have_one_size(folder, tmp_path, film):
    film(tmp_path / "small.mp4", size=(64, 64))
    with pytest.raises(ValueError, match="clips of target t differ in size, so they cannot share a face track"):
        ready(folder(["real/a.mp4,0,t", "small.mp4,1,t"], "path,label,target"))


def test_a_file_that_is_a_clip_and_the_mask_of_another_is_one_file(folder, tmp_path):
    lines = ["fake/c.mp4,1,masks/c.mp4", "masks/c.mp4,0,"]
    for _ in range(2):
        table = read_video_table(Path(folder(lines, "path,label,mask_path")), tmp_path / "cache")
        assert table["clip"].tolist() == read_video_table(Path(folder(lines, "path,label,mask_path")))["clip"].tolist()
        assert len(table) == 2


@pytest.mark.parametrize("lengths", [(24, 6), (6, 24)], ids=str)
def test_a_mask_is_judged_by_the_frames_of_each_of_its_clips(folder, film, tmp_path, lengths):
    film(tmp_path / "masks/late.mp4", size=SIZE, frames=24, faces=[None] * 12 + [FACE] * 12)
    for name, frames in zip("xy", lengths, strict=True):
        film(tmp_path / f"fake/{name}.mp4", size=SIZE, frames=frames)
    csv = folder(
        ["real/a.mp4,0,", "fake/x.mp4,1,masks/late.mp4", "fake/y.mp4,1,masks/late.mp4"], "path,label,mask_path"
    )
    film(tmp_path / "masks/late.mp4", size=SIZE, frames=24, faces=[None] * 12 + [FACE] * 12)
    with pytest.raises(ValueError, match=r"1 masks of fakes are empty .*late\.mp4 \(brightest value \d\)"):
        ready(csv)
