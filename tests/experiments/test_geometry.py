"""A detector that sees no picture: one track for an original and its fakes tells it nothing, their own masks would."""

import numpy as np
import pytest

from datamodules import FaceForensicsDataModule, FaceTracks, face_tracks
from datamodules.synthetic import write_tree
from experiments.training.geometry import CROP_FEATURES, FILE_FEATURES, GeometryTrees, auroc_without_ties


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Two dozen people, eight of them to test on."""
    out = tmp_path_factory.mktemp("people") / "mini"
    write_tree(out, pairs=12, seed=0, frames=24, size=(160, 128), qualities=("c23",), workers=0)
    return out


def loaded(root):
    data = FaceForensicsDataModule(
        str(root), size=32, frames_per_clip=24, eval_frames_per_clip=24, num_workers=0, augment=False
    )
    data.setup("fit")
    return data


def told(data, features):
    """AUROC, ties left out, of trees fitted to the training split, on the test split."""
    trees = GeometryTrees(data.clips, features)
    for batch in data.train_dataloader():
        trees.update(batch)
    trees.fit()
    data.setup("test")
    seen = [(trees(batch)[1], batch["label"]) for batch in data.test_dataloader()]
    score, label = (np.concatenate(values) for values in zip(*seen, strict=True))
    return auroc_without_ties(score, label), trees.importance()


def with_crops_of_their_own_masks(data):
    """What cropping each fake by its own mask would be, and each original by its target's, as usual."""
    data.clips["target"] = data.clips["target"].where(
        data.clips["label"] == 0, data.clips["method"] + data.clips["clip"]
    )
    fakes = face_tracks(data.clips[data.clips["label"] == 1], "masks", data.cache_dir)
    tracks = data.tracks
    data.tracks = data.canvas_tracks = FaceTracks(
        "own", "own", {**tracks.boxes, **fakes.boxes}, {**tracks.frame, **fakes.frame}
    )
    return data


def test_crops_by_one_track_a_target_tell_nothing_and_crops_by_own_masks_would(people):
    cured, _ = told(loaded(people), CROP_FEATURES)
    leaking, _ = told(with_crops_of_their_own_masks(loaded(people)), CROP_FEATURES)
    print(f"AUROC without ties: one track a target {cured:.3f}, own masks {leaking:.3f}")
    assert 0.45 <= cured <= 0.55
    assert leaking > 0.65


def test_what_only_the_files_know_is_named(people):
    found, importance = told(loaded(people), FILE_FEATURES)
    print(f"AUROC without ties of the files' geometry {found:.3f}: {importance}")
    assert found > 0.6
    assert importance.keys() == set(FILE_FEATURES)
    assert {"frame width", "clip frames"} & set(list(importance)[:2])


def test_ties_are_left_out():
    random = np.random.default_rng(0)
    label, score = random.integers(0, 2, 60), random.integers(0, 8, 60) / 8
    apart = [f > r for f in score[label == 1] for r in score[label == 0] if f != r]
    assert auroc_without_ties(score, label) == pytest.approx(np.mean(apart))


def test_where_all_are_tied_nothing_is_told():
    assert auroc_without_ties(np.full(4, 0.3), np.array([0, 1, 0, 1])) == 0.5
