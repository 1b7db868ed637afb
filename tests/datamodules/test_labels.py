import json

import cv2
import numpy as np
import pytest
import torch

from datamodules import (
    UNKNOWN,
    CropTransform,
    EpochLoader,
    FaceForensicsDataModule,
    VideoReader,
    clips_of,
    face_tracks,
    index,
    read_masks,
    write_video,
)
from datamodules.clips.masks import NOT_KNOWN, NOTHING, Truth
from datamodules.crops.cache import CropCache
from datamodules.crops.labels import COMPARED_MARGIN, DIFFERENCE, Labels, fill_hull
from tests.datamodules.streams import make_stream

WIDTH, HEIGHT, FRAMES = 192, 160, 8
EDIT = (72, 56, 120, 104)
PLAIN = CropTransform(64, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def scene(number, edit=None):
    """Soft blobs that drift, on which an edit lays other ones."""
    random = np.random.default_rng(0)
    noise = cv2.GaussianBlur(random.normal(0, 1, (HEIGHT, WIDTH + 64, 3)).astype(np.float32), (0, 0), 4)
    picture = 120 + 160 * noise[:, number : number + WIDTH]
    if edit:
        x0, y0, x1, y1 = edit
        picture[y0:y1, x0:x1] += 30 * np.sin(np.arange(x1 - x0) / 3)[None, :, None]
    return np.clip(picture, 0, 255).astype(np.uint8)


def scenes(frames=FRAMES, edit=None, untouched=(), left=0, length=FRAMES):
    """Frames of a clip; `left` columns are cut off on both sides; after `length` the scene starts again."""
    pictures = (scene(number % length, None if number in untouched else edit) for number in range(frames))
    return [np.ascontiguousarray(picture[:, left : WIDTH - left]) for picture in pictures]


def masked(edit=EDIT, left=0):
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    x0, y0, x1, y1 = edit
    image[y0:y1, x0:x1] = 255
    return np.ascontiguousarray(image[:, left : WIDTH - left])


@pytest.fixture
def pair(tmp_path):
    """Writes one original and one fake, and gives the fake, the original and labels by difference."""

    def write(method="FaceSwap", quality="c23", original=None, mask=True, length=FRAMES, **how):
        root = tmp_path / "root"
        real = scenes(length) if original is None else original
        write_video(root / f"original_sequences/youtube/{quality}/videos/000.mp4", real, quality)
        folder = root / "manipulated_sequences" / method
        write_video(folder / quality / "videos/000_001.mp4", scenes(**{"edit": EDIT, "length": length, **how}), quality)
        if mask:
            shown = [masked(left=how.get("left", 0))] * how.get("frames", FRAMES)
            write_video(folder / "masks/videos/000_001.mp4", shown, quality)
        table = index(root, quality)
        (tmp_path / "boxes.csv").write_text("target,frame,x0,y0,x1,y1\n000,0,64,48,128,112\n")
        tracks = face_tracks(table, str(tmp_path / "boxes.csv"))
        real, fake = clips_of(table)
        return fake, real, Labels("difference", originals={("000", real.compression): real}, tracks=tracks)

    return write


def read(labels, clip, frames=range(FRAMES)):
    return [truth.cut_out((0, 0, clip.width, clip.height)) for truth in labels.read(clip, list(frames))]


def shows(mask, box, blur=16):
    """Whether a mask holds all of a box, and nothing farther off than a macroblock, over which the codec smears it."""
    x0, y0, x1, y1 = box
    around = mask.copy()
    around[max(0, y0 - blur) : y1 + blur, max(0, x0 - blur) : x1 + blur] = 0
    return mask[y0 + 3 : y1 - 3, x0 + 3 : x1 - 3].all() and not around.any()


@pytest.mark.parametrize("quality", ["raw", "c23", "c40"])
def test_a_fake_is_forged_where_it_differs_from_its_original(pair, quality):
    fake, real, labels = pair(quality=quality)
    masks = read(labels, fake)
    assert all(set(np.unique(mask)) == {0, 1} and shows(mask, EDIT, 6 if quality == "raw" else 16) for mask in masks)
    assert not np.stack(read(labels, real)).any()


@pytest.mark.parametrize("quality", ["raw", "c23", "c40"])
def test_an_original_encoded_anew_differs_nowhere(pair, tmp_path, quality):
    fake, real, labels = pair(quality=quality)
    assert np.stack(read(labels, fake)).any()
    write_video(fake.path, scenes(), quality)
    assert not np.stack(read(labels, fake)).any()
    write_video(tmp_path / "twice.mp4", VideoReader(real.path).read(range(FRAMES)), quality)
    assert not np.stack(read(labels, fake._replace(path=str(tmp_path / "twice.mp4")))).any()


def test_what_differs_far_from_the_face_is_not_forged(pair):
    fake, _, labels = pair(edit=(8, 8, 40, 40))
    assert not np.stack(read(labels, fake)).any()
    x0, y0, x1, y1 = labels.tracks.crops(fake, [0], COMPARED_MARGIN)[0]
    assert (x1 - x0, y1 - y0) == (102, 102)


@pytest.mark.parametrize("left", [0, 8])
def test_a_centred_crop_is_compared_with_the_columns_it_shows(pair, left):
    fake, _, labels = pair("NeuralTextures", left=left)
    assert fake.dx == left
    x0, y0, x1, y1 = EDIT
    assert all(shows(mask, (x0 - left, y0, x1 - left, y1)) for mask in read(labels, fake))


def test_a_face2face_clip_longer_than_its_target_is_compared_from_the_start_again(pair):
    fake, _, labels = pair("Face2Face", frames=2 * FRAMES + 3)
    for frames in (range(2 * FRAMES + 3), [0, 7, 8, 15, 16], [9, 12]):
        masks = read(labels, fake, frames)
        assert len(masks) == len(frames)
        assert all(shows(mask, EDIT) for mask in masks)


def test_behind_its_originals_end_nothing_is_known_of_another_fake(pair):
    fake, _, labels = pair("FaceSwap", frames=FRAMES + 3)
    masks = read(labels, fake, [2, FRAMES - 1, FRAMES, FRAMES + 2])
    assert [(mask == UNKNOWN).all() for mask in masks] == [False, False, True, True]
    assert shows(masks[1], EDIT)


def test_without_an_original_of_its_size_nothing_is_known(pair):
    fake, real, labels = pair()
    other = Labels("difference", tracks=labels.tracks)
    assert not other.can_compare(fake)
    assert (np.stack(read(other, fake)) == UNKNOWN).all()
    for size in ({"height": 96}, {"width": WIDTH - 16}):
        other = Labels("difference", originals={("000", real.compression): real._replace(**size)}, tracks=labels.tracks)
        assert (np.stack(read(other, fake)) == UNKNOWN).all()


def test_a_hull_is_filled_and_convex():
    part = np.zeros((9, 9), np.uint8)
    part[0, 0] = part[8, 0] = part[8, 8] = 1
    filled = fill_hull(Truth(part, 5, 7))
    np.testing.assert_array_equal(filled.part, np.tri(9, dtype=np.uint8))
    assert (filled.x, filled.y, filled.rest) == (5, 7, 0)
    assert fill_hull(NOTHING) is NOTHING
    assert fill_hull(NOT_KNOWN) is NOT_KNOWN


def test_hulls_hold_the_official_masks(tree):
    labels = Labels("hull")
    grown = 0
    for clip in clips_of(index(tree)):
        frames = list(range(0, clip.frames, 4))
        for mask, official in zip(read(labels, clip, frames), read_masks(clip, frames), strict=True):
            assert (mask >= official).all()
            outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            assert len(outlines) <= 1
            assert official.any() == mask.any()
            grown += int((mask > official).sum())
    assert grown


def test_on_a_tree_differences_lie_in_the_official_masks(tree):
    """Bounds are far below what is measured at the sizes of FaceForensics++: faces of 40 pixels are all edge."""
    table = index(tree)
    clips = {(clip.method, clip.clip): clip for clip in clips_of(table)}
    originals = {(clip.target, clip.compression): clip for clip in clips.values() if not clip.label}
    labels = Labels("difference", originals=originals, tracks=face_tracks(table))
    found = {"Deepfakes": [], "FaceSwap": []}
    for clip in clips.values():
        if clip.method in found:
            frames = [
                frame
                for frame in (1, 5, 9)
                if frame < min(clip.frames, originals[clip.target, clip.compression].frames)
            ]
            found[clip.method] += zip(read(labels, clip, frames), read_masks(clip, frames), strict=True)
    for pairs in found.values():
        hits = sum((mask & official).sum() for mask, official in pairs)
        assert hits / sum(mask.sum() for mask, _ in pairs) > 0.8
        assert hits / sum(official.sum() for _, official in pairs) > 0.3


def batches(stream):
    return list(EpochLoader(stream, lambda: 0))


def column(stream, name):
    """By clip and frame."""
    found = {}
    for batch in batches(stream):
        keys = zip(batch["clip"].tolist(), batch["frame"].tolist(), strict=True)
        found |= dict(zip(keys, batch[name], strict=True))
    return found


def streamed(pair, train, canvas=True, cache=None, **how):
    fake, _, labels = pair(**how)
    table = index(fake.path.split("/manipulated")[0], fake.compression)
    both = labels.tracks
    stream = make_stream(
        table,
        both,
        PLAIN,
        FRAMES,
        4,
        train=train,
        labels=labels,
        canvas=both if canvas else None,
        cache=cache,
        redraw=False,
    )
    return fake.number, stream


def test_in_training_a_fakes_frame_in_which_nothing_differs_is_real(pair):
    fake, stream = streamed(pair, train=True, canvas=False, quality="raw", untouched=(2, 5))
    labels, masks = column(stream, "label"), column(stream, "mask")
    assert [int(labels[fake, frame]) for frame in range(FRAMES)] == [1, 1, 0, 1, 1, 0, 1, 1]
    assert [bool(masks[fake, frame].any()) for frame in range(FRAMES)] == [1, 1, 0, 1, 1, 0, 1, 1]


def test_in_an_evaluation_the_official_mask_says_whether_a_frame_is_fake(pair):
    fake, stream = streamed(pair, train=False, quality="raw", untouched=(2, 5))
    labels, canvas, own = (column(stream, name) for name in ("label", "canvas", "canvas_own"))
    assert [int(labels[fake, frame]) for frame in range(FRAMES)] == [1] * FRAMES
    assert all(canvas[fake, frame].any() for frame in range(FRAMES))
    assert [bool(own[fake, frame].any()) for frame in range(FRAMES)] == [1, 1, 0, 1, 1, 0, 1, 1]


def test_without_official_masks_the_difference_says_it(pair):
    how = {"method": "FaceShifter", "quality": "raw", "untouched": (2, 5), "mask": False}
    fake, stream = streamed(pair, train=False, **how)
    labels, canvas, own = (column(stream, name) for name in ("label", "canvas", "canvas_own"))
    assert [int(labels[fake, frame]) for frame in range(FRAMES)] == [1, 1, 0, 1, 1, 0, 1, 1]
    assert all((canvas[fake, frame] == UNKNOWN).all() for frame in range(FRAMES))
    assert {int(value) for frame in range(FRAMES) for value in own[fake, frame].unique()} == {0, 1}
    assert not any(canvas[key].any() or own[key].any() for key in canvas if key[0] != fake)


def test_each_variant_has_crops_of_its_own_in_the_cache(pair, tmp_path):
    cache = CropCache(tmp_path, 1)
    _, stream = streamed(pair, train=False, quality="raw")
    plain = batches(stream)
    stream.cache = cache
    for variant in (stream.labels, Labels(), Labels("hull"), stream.labels):
        stream.labels = variant
        assert all("canvas_own" in batch for batch in batches(stream)) == (variant.variant != "official")
    assert len(list(tmp_path.rglob("*.crops"))) == 3 * 2
    for one, other in zip(plain, batches(stream), strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    original = stream.labels.originals["000", "raw"]
    write_video(original.path, scenes(edit=EDIT), "raw")  # another original, from which the fake does not differ
    assert not any(mask.any() for mask in column(stream, "mask").values())


def ready(root, stage="test", **how):
    small = {"size": 32, "frames_per_clip": 3, "eval_frames_per_clip": 2, "batch_size": 4, "num_workers": 0}
    module = FaceForensicsDataModule(str(root), **{**small, **how})
    module.setup(stage)
    return module


@pytest.mark.parametrize("labels", ["hull", "difference"])
@pytest.mark.parametrize("margin", [1.3, 1.0], ids=["same crop", "another"])
def test_rows_of_other_labels_are_measured_on_the_official_canvas(tree, tmp_path, labels, margin):
    official = list(ready(tree).test_dataloader())
    for _ in range(2):
        module = ready(tree, labels=labels, margin=margin, cache_dir=str(tmp_path), cache_gb=1.0)
        other = list(module.test_dataloader())
        differ = False
        for one, two in zip(official, other, strict=True):
            assert all(torch.equal(one[name], two[name]) for name in ("label", "canvas", "canvas_box", "clip", "frame"))
            assert (two["canvas_own"].shape, two["canvas_own"].dtype) == (two["canvas"].shape, torch.int64)
            differ |= not torch.equal(two["canvas"], two["canvas_own"])
        assert differ


@pytest.mark.parametrize("labels", ["hull", "difference"])
def test_a_training_learns_from_the_rows_own_labels(tree, labels):
    def masks(**how):
        loader = ready(tree, "fit", augment=False, frames_per_clip=100, batch_size=1, **how).train_dataloader()
        return {(int(one["clip"]), int(one["frame"])): one["mask"] for one in loader}

    official, own = masks(), masks(labels=labels)
    assert any(not torch.equal(official[key], own[key]) for key in official)
    if labels == "hull":
        assert all((own[key] >= official[key]).all() for key in official)


def test_fakes_without_an_original_are_counted(own_tree, capsys):
    first, _ = json.loads((own_tree / "splits/test.json").read_text())[0]
    (own_tree / f"original_sequences/youtube/c23/videos/{first}.mp4").unlink()
    module = ready(own_tree, labels="difference", missing="skip")
    assert "4 fakes have no original of their size and quality, first " in capsys.readouterr().out
    unknown = {
        int(clip)
        for batch in module.test_dataloader()
        for clip, own in zip(batch["clip"], batch["canvas_own"], strict=True)
        if (own == UNKNOWN).all()
    }
    assert unknown == set(module.clips.index[module.clips.target == first])
    ready(own_tree, labels="official", missing="skip")
    assert "no original" not in capsys.readouterr().out


def test_every_quality_has_its_threshold():
    assert list(DIFFERENCE) == ["raw", "c23", "c40"]
    assert sorted(DIFFERENCE.values()) == list(DIFFERENCE.values())
