"""The same person in two splits: drawn people filmed again elsewhere are found, strangers are not."""

import shutil
from functools import cache

import cv2
import numpy as np
import pytest

from datamodules import read_splits
from datamodules.clips.splits import split_of_identities
from datamodules.doctor.audit import audit
from datamodules.doctor.people import FEWEST_FACES, bound_of, nearest, scores_of
from datamodules.synthetic.charts import Take
from datamodules.synthetic.heads import Head, random_look
from datamodules.synthetic.plan import plan
from datamodules.synthetic.takes import film
from datamodules.synthetic.tree import _write_splits, write_takes

WIDTH, HEIGHT, FRAMES = 320, 240, 16
SEEDS = (0, 1)
FURTHER = 2


def light_plan(seed):
    """Twelve pairs; of the fakes only those whose masks follow the face."""
    pairs = plan(12, seed, FRAMES, WIDTH)
    return [pair._replace(fakes=tuple(fake for fake in pair.fakes if fake.method == "Face2Face")) for pair in pairs]


def person(seed):
    rng = np.random.default_rng([seed, 7])
    return random_look(rng), 0.32 * HEIGHT, rng.integers(2**32)


def filmed(who, frames, seed, zoom=1.0):
    """One person before another wall, in another light and coat, by another camera, and framed more tightly."""
    look, density, grain = who
    rng = np.random.default_rng([seed, 8])
    other = random_look(rng)
    look = look._replace(light=other.light, ambient=other.ambient, cloth=other.cloth)
    take = film(rng, frames, WIDTH, HEIGHT, Head(look, density, np.random.default_rng(grain)))
    width, height = round(WIDTH / zoom), round(HEIGHT / zoom)
    x0, y0 = round(0.6 * (WIDTH - width)), round(0.4 * (HEIGHT - height))
    images = [
        cv2.resize(image[y0 : y0 + height, x0 : x0 + width], (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        for image in take.frames
    ]
    faces = [
        face._replace(
            x=(face.x - x0) * zoom, y=(face.y - y0) * zoom, width=face.width * zoom, height=face.height * zoom
        )
        for face in take.faces
    ]
    return Take(np.stack(images), faces)


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    """Trees of 24 people each, none like another."""

    @cache
    def tree_of(seed):
        root = tmp_path_factory.mktemp("people") / str(seed)
        root.mkdir()
        planned = light_plan(seed)
        _write_splits(root / "splits", planned)
        for pair in planned:
            takes = [
                film(np.random.default_rng([seed, 1, int(who.name)]), who.frames, WIDTH, HEIGHT)
                for who in pair.originals
            ]
            write_takes(root, pair, takes, seed, ("c23",))
        return root

    return tree_of


def plant(root, seed, who, zoom, quality):
    """Puts one person into a pair of train and, filmed again, into one of test."""
    pairs = light_plan(seed)
    names = []
    for number, split in enumerate(("train", "test")):
        pair = next(pair for pair in pairs if pair.split == split)
        first, second = pair.originals
        takes = [
            filmed(who, first.frames, 100 + number, zoom if number else 1.0),
            film(np.random.default_rng([seed, 1, int(second.name)]), second.frames, WIDTH, HEIGHT),
        ]
        write_takes(root, pair, takes, seed, ("c23",))
        if number and quality != "c23":
            place = root / "original_sequences/youtube"
            write_takes(root.with_name("other"), pair, takes, seed, (quality,))
            other = root.with_name("other") / "original_sequences/youtube" / quality / "videos"
            shutil.copy(other / f"{first.name}.mp4", place / "c23/videos" / f"{first.name}.mp4")
        names.append(first.name)
    return set(names)


@pytest.mark.parametrize("seed", [*SEEDS, pytest.param(FURTHER, marks=pytest.mark.soak)])
def test_strangers_raise_no_alarm(strangers, seed):
    found = audit(strangers(seed))
    assert found.faces == 24
    assert not [finding for _, finding in found.findings if finding.kind == "person-in-two-splits"]


@pytest.mark.parametrize(
    ("seed", "who", "zoom", "quality"),
    [(0, 0, 1.3, "c23"), (1, 4, 1.15, "raw"), pytest.param(FURTHER, 0, 1.0, "c23", marks=pytest.mark.soak)],
)
def test_a_person_filmed_again_for_another_split_is_named(strangers, tmp_path, seed, who, zoom, quality):
    root = shutil.copytree(strangers(seed), tmp_path / "tree")
    names = plant(root, seed, person(who), zoom, quality)
    found = audit(root)
    ((one, other),) = [
        [word for word in name.split() if word.isdigit()]
        for _, finding in found.findings
        if finding.kind == "person-in-two-splits"
        for name in finding.names
    ]
    assert {one, other} == names == {found.pairs[0].one, found.pairs[0].other}
    assert not found.grave  # a human decides
    assert {one, other} <= set(found.thumbnails)
    homes = split_of_identities(read_splits(root / "splits"))
    assert {homes[one], homes[other]} == {"train", "test"}


def test_too_few_faces_are_not_compared(tree):
    found = audit(tree)
    assert found.faces == 6 < FEWEST_FACES
    assert [finding.kind for _, finding in found.findings].count("people-not-compared") == 1
    assert not found.pairs


def test_the_bound_rises_with_the_number_of_pairs():
    """1.85 x the 1 - 0.05 / 276 quantile of a normal distribution, from a table: 3.566."""
    assert bound_of(24) == pytest.approx(1.85 * 3.566, abs=0.01)
    assert bound_of(24) < bound_of(1000)


def test_a_pair_within_one_split_is_no_leak(strangers, tmp_path):
    from datamodules.clips.index import index
    from datamodules.doctor.looks import errands, look

    faces = {each.target: each.face for each in map(look, errands(index(strangers(0)), 8))}
    names = sorted(faces)
    twins = faces | {names[1]: faces[names[0]]}
    home = dict.fromkeys(names, "test") | {names[0]: "train", names[1]: "train"}
    assert {names[0], names[1]} not in [{pair.one, pair.other} for pair in nearest(twins, home)]
    apart = nearest(twins, home | {names[1]: "val"})[0]
    assert ({apart.one, apart.other}, apart.suspect) == ({names[0], names[1]}, True)
    scores = scores_of([twins[name] for name in names])
    np.testing.assert_allclose(scores, scores.T, equal_nan=True)
