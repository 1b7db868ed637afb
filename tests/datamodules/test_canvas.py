import os
import shutil

import numpy as np
import pytest
import torch

from datamodules import UNKNOWN, FaceForensicsDataModule, clips_of, index, index_all, read_masks
from datamodules.faces.tracks import canvas_tracks, face_tracks


def ready(root, stage="test", **how):
    small = {"size": 32, "frames_per_clip": 3, "eval_frames_per_clip": 3, "batch_size": 4, "num_workers": 0}
    module = FaceForensicsDataModule(str(root), **{**small, **how})
    module.setup(stage)
    return module


def canvases(loader):
    """By clip and frame: canvas, its box, label."""
    shown = {}
    for batch in loader:
        for number, key in enumerate(zip(batch["clip"].tolist(), batch["frame"].tolist(), strict=True)):
            shown[key] = (batch["canvas"][number], batch["canvas_box"][number], int(batch["label"][number]))
    return shown


def alike(one, other):
    assert one.keys() == other.keys()
    pairs = [(one[key], other[key]) for key in one]
    return all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) and a[2] == b[2] for a, b in pairs)


@pytest.fixture(scope="module")
def plain(tree):
    return canvases(ready(tree).test_dataloader())


@pytest.fixture
def boxes(tree, tmp_path):
    """A CSV of faces that are elsewhere than the masks."""
    rows = [f"{target},0,40,30,90,80" for target in index(tree).target.unique()]
    (tmp_path / "boxes.csv").write_text("\n".join(["target,frame,x0,y0,x1,y1", *rows]))
    return str(tmp_path / "boxes.csv")


@pytest.mark.parametrize("loader", ["val", "test", "predict"])
def test_an_evaluation_has_a_canvas_of_its_own_size(tree, loader):
    for batch in getattr(ready(tree, size=48, predict_split="train"), f"{loader}_dataloader")():
        count = len(batch["label"])
        assert (batch["canvas"].shape, batch["canvas"].dtype) == ((count, 256, 256), torch.int64)
        assert (batch["canvas_box"].shape, batch["canvas_box"].dtype) == ((count, 4), torch.float32)
        assert set(batch["canvas"].unique().tolist()) <= {0, 1, UNKNOWN}
        assert batch["mask"].shape[1:] == (48, 48)
        assert "canvas_own" not in batch


def test_a_training_has_none(tree):
    for batch in ready(tree, "fit").train_dataloader():
        assert not [name for name in batch if name.startswith("canvas")]


def test_a_canvas_is_the_official_mask_in_the_crop_at_margin_13(tree, plain):
    module = ready(tree)
    clips = {clip.number: clip for clip in clips_of(module.clips)}
    forged = 0
    for (number, frame), (canvas, box, label) in plain.items():
        (mask,) = read_masks(clips[number], [frame])
        assert label == int(mask.any())
        wanted = module.canvas_tracks.crops(clips[number], [frame], 1.3)[0]
        assert box.tolist() == wanted.tolist()
        x0, y0, x1, y1 = wanted
        rows, columns = (np.arange(256) * (end - start) // 256 for start, end in ((y0, y1), (x0, x1)))
        np.testing.assert_array_equal(canvas.numpy(), mask[y0:y1, x0:x1][rows[:, None], columns])
        forged += bool(canvas.any())
    assert forged > len(plain) / 2


@pytest.mark.parametrize(
    "how",
    [
        {"margin": 1.0},
        {"margin": 2.0},
        {"faces": "whole"},
        {"size": 299},
        {"faces": "boxes"},
        {"mask_thresholds": {"Face2Face": 200}},
    ],
    ids=str,
)
@pytest.mark.parametrize("cached", [False, True], ids=["decoded", "cached"])
def test_every_row_is_measured_on_the_same_canvas(tree, tmp_path, boxes, plain, how, cached):
    how = {**how, "faces": boxes} if how.get("faces") == "boxes" else how
    kept = {"cache_dir": str(tmp_path / "cache"), "cache_gb": 1.0} if cached else {}
    for _ in range(2 if cached else 1):
        module = ready(tree, **how, **kept)
        assert alike(canvases(module.test_dataloader()), plain)
        assert module.canvas_tracks.source == "masks"
    assert ready(tree).canvas_tracks.digest == module.canvas_tracks.digest


def test_workers_change_nothing(tree, plain):
    assert alike(canvases(ready(tree, margin=2.0, num_workers=2).test_dataloader()), plain)


def test_what_is_cached_needs_no_mask_for_the_canvas_of_the_same_crop(own_tree, tmp_path):
    module = ready(own_tree, cache_dir=str(tmp_path / "cache"), cache_gb=1.0)
    first = canvases(module.test_dataloader())
    for path in own_tree.rglob("*.mp4"):  # nothing can be decoded any more, but size and time are as before
        stamps = path.stat()
        path.write_bytes(bytes(stamps.st_size))
        os.utime(path, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
    assert alike(canvases(module.test_dataloader()), first)


@pytest.mark.parametrize("faces", ["whole", "boxes"])
def test_a_target_without_a_mask_is_measured_in_the_rows_own_boxes(own_tree, tmp_path, boxes, faces):
    source = boxes if faces == "boxes" else faces
    first = sorted(index(own_tree).target.unique())[0]
    for path in (own_tree / "manipulated_sequences").glob(f"*/masks/videos/{first}_*.mp4"):
        path.unlink()
    module = ready(own_tree, faces=source, margin=1.0)
    assert module.canvas_tracks.source == f"masks, else {source}"
    clips = {clip.number: clip for clip in clips_of(module.clips)}
    bare = [number for number, clip in clips.items() if clip.target == first]
    oracle = face_tracks(index_all(own_tree), "masks", needed=())
    for number, clip in clips.items():
        wanted = (module.tracks if number in bare else oracle).crops(clip, [3], 1.3)
        np.testing.assert_array_equal(module.canvas_tracks.crops(clip, [3], 1.3), wanted)
    for folder in (own_tree / "manipulated_sequences").glob("*/masks"):
        shutil.rmtree(folder)
    module = ready(own_tree, faces=source)
    assert module.canvas_tracks is module.tracks


def test_only_targets_that_are_measured_say_what_was_used(tree):
    table = index(tree)
    whole = face_tracks(table, "whole")
    assert canvas_tracks(table, whole, needed=set(table.target)).source == "masks"
    bare = table.assign(mask_frames=0)
    assert canvas_tracks(bare, whole).source == "whole"


@pytest.mark.parametrize("margin", [1.0, 1.3, 2.0])
def test_a_self_blended_fake_is_forged_on_its_canvas_where_its_mask_says(tree, margin):
    module = ready(tree, "validate", methods=(), self_blend=0.5, margin=margin, size=256)
    forged = 0
    for batch in module.val_dataloader():
        for number in range(len(batch["label"])):
            canvas, mask = batch["canvas"][number], batch["mask"][number]
            if not batch["label"][number]:
                assert not canvas.any()
                continue
            x0, y0, x1, y1 = batch["box"][number].tolist()
            u0, v0, u1, v1 = batch["canvas_box"][number].tolist()
            area, own = (u1 - u0) * (v1 - v0), (x1 - x0) * (y1 - y0)
            seen = canvas.float().mean() * area
            assert seen > 0
            if margin <= 1.3:  # all of what was blended lies inside
                assert seen == pytest.approx(float(mask.float().mean() * own), rel=0.02)
            if margin == 1.3:
                assert torch.equal(canvas, mask)
            forged += 1
    assert forged
