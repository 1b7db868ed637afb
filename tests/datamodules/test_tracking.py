"""Tracks are found once: what is known is not looked at again, whatever ended the run that found it."""

import os
import sys
from functools import partial

import numpy as np
import pytest

from datamodules import face_tracks, index, write_video
from datamodules.faces.detection import face_detector
from datamodules.faces.search import FRAMES_FOR_PROCESSES
from datamodules.parallel.pool import run_parallel
from datamodules.synthetic.takes import film as film_head

SOURCES = ["masks", "dlib"]


@pytest.fixture
def put(film, tmp_path):
    """Puts a target into a tree: a drawn head, and a fake with its mask; names the file that a source looks at."""

    def write(name):
        root = tmp_path / "data"
        originals, fakes = root / "original_sequences/youtube/c23/videos", root / "manipulated_sequences/Deepfakes"
        head = film_head(np.random.default_rng(int(name)), 6, 160, 128)
        write_video(originals / f"{name}.mp4", head.frames, "c23")
        film(fakes / f"c23/videos/{name}_999.mp4", size=(160, 128))
        film(fakes / f"masks/videos/{name}_999.mp4", size=(160, 128), faces=(48 + int(name), 48, 96, 96))
        return {"masks": fakes / f"masks/videos/{name}_999.mp4", "dlib": originals / f"{name}.mp4"}

    return write


class Unreadable:
    """A file that raises when it is opened, though its size and times say that nothing has changed."""

    def __init__(self, path):
        self.path, self.content, self.known = path, path.read_bytes(), path.stat()

    def __enter__(self):
        self._write(b"x" * len(self.content))

    def __exit__(self, *error):
        self._write(self.content)

    def _write(self, content):
        self.path.write_bytes(content)
        os.utime(self.path, ns=(self.known.st_atime_ns, self.known.st_mtime_ns))


def files(cache):
    return [str(path.relative_to(cache)) for path in cache.rglob("*.parquet") if "facts" not in path.name]


@pytest.mark.parametrize("source", SOURCES)
def test_an_interrupted_search_goes_on_with_the_targets_that_are_left(put, tmp_path, source):
    watched = [put(name)[source] for name in ("000", "001", "002")]
    table, cache = index(tmp_path / "data"), tmp_path / "cache"
    whole = face_tracks(table, source, tmp_path / "other")
    with Unreadable(watched[1]), pytest.raises(OSError, match=watched[1].name):
        face_tracks(table, source, cache)
    assert [name.split("/")[0] for name in files(cache)] == ["parts"]  # of the first target
    with Unreadable(watched[0]):
        tracks = face_tracks(table, source, cache)
    assert tracks.digest == whole.digest
    assert len(files(cache)) == 1
    assert files(cache)[0].startswith(f"tracks-{source}-")


@pytest.mark.parametrize("source", SOURCES)
def test_what_is_known_is_not_looked_at_again(put, tmp_path, source):
    watched = [put(name)[source] for name in ("000", "001")]
    table, cache = index(tmp_path / "data"), tmp_path / "cache"
    first = face_tracks(table, source, cache)
    with Unreadable(watched[0]), Unreadable(watched[1]):
        again = face_tracks(table, source, cache)
    assert again.digest == first.digest


@pytest.mark.parametrize("source", SOURCES)
def test_of_further_targets_only_the_new_ones_are_looked_at(put, tmp_path, source):
    watched, cache = put("000")[source], tmp_path / "cache"
    first = face_tracks(index(tmp_path / "data"), source, cache)
    put("001")
    with Unreadable(watched):
        more = face_tracks(index(tmp_path / "data"), source, cache)
    np.testing.assert_array_equal(more.boxes["000"], first.boxes["000"])
    assert set(more.boxes) == {"000", "001"}


@pytest.mark.parametrize("source", SOURCES)
def test_a_changed_file_is_looked_at_again_and_no_other(put, tmp_path, source):
    paths, cache = [put("000")[source], put("001")[source]], tmp_path / "cache"
    first = face_tracks(index(tmp_path / "data"), source, cache)
    paths[1].write_bytes(paths[0].read_bytes())
    with Unreadable(paths[0]):
        changed = face_tracks(index(tmp_path / "data"), source, cache)
    np.testing.assert_array_equal(changed.boxes["001"], first.boxes["000"])


def test_known_tracks_of_dlib_need_no_dlib(put, tmp_path, monkeypatch):
    put("000")
    table = index(tmp_path / "data")
    first = face_tracks(table, "dlib")
    face_detector.cache_clear()
    monkeypatch.setitem(sys.modules, "dlib", None)
    assert face_tracks(table, "dlib").digest == first.digest
    with pytest.raises(ValueError, match="found by dlib, which is not installed"):
        face_tracks(table, "dlib", tmp_path / "elsewhere")


@pytest.mark.parametrize("source", SOURCES)
def test_processes_find_the_same_to_the_bit(tree, tmp_path, monkeypatch, source):
    table = index(tree)
    alone = face_tracks(table, source, tmp_path / "alone")
    monkeypatch.setitem(FRAMES_FOR_PROCESSES, source, 0)
    shared = face_tracks(table, source, tmp_path / "shared")
    assert shared.digest == alone.digest
    assert files(tmp_path / "shared") == files(tmp_path / "alone")


@pytest.mark.parametrize("source", SOURCES)
def test_a_damaged_file_is_named_by_its_process(put, tmp_path, monkeypatch, source):
    watched = [put(name)[source] for name in ("000", "001")]
    table = index(tmp_path / "data")
    monkeypatch.setitem(FRAMES_FOR_PROCESSES, source, 0)
    with Unreadable(watched[1]), pytest.raises(OSError, match=watched[1].name):
        face_tracks(table, source, tmp_path / "cache")


def test_two_runs_at_once_do_not_disturb_each_other(put, tmp_path):
    for name in ("000", "001", "002"):
        put(name)
    run = partial(face_tracks, index(tmp_path / "data"), "dlib")
    first, second = run_parallel(run, [tmp_path / "cache"] * 2, workers=2)
    assert first.digest == second.digest == run(tmp_path / "alone").digest
    assert len(files(tmp_path / "cache")) == 1
