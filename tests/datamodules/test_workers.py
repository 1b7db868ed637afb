"""Workers are real processes: what they know, how they end, and what is said when they do not."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
import torch

from datamodules import CropTransform, EpochLoader, face_tracks, index
from datamodules.crops.cache import CropCache
from tests.datamodules.odd_transforms import Lost, Torn, Warning_
from tests.datamodules.streams import make_stream

PLAIN = CropTransform(32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
ROOT = Path(__file__).parents[2]
needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs Linux")


class Doubting(CropTransform):
    """A transform of a user's own module, which needs names of the room's interface and torch."""

    def __call__(self, image, mask, key):
        return (torch.from_numpy(image[:32, :32]).permute(2, 0, 1) // 2).numpy(), mask[:32, :32]


@pytest.fixture(scope="module")
def stream(tree):
    """Makes training streams of the tree's clips, or of the first ones, 2 frames a clip in batches of 4."""
    table = index(tree)
    tracks = face_tracks(table)
    return lambda transform=PLAIN, clips=None, **how: make_stream(
        table[:clips], tracks, transform, 2, 4, **{"train": True, **how}
    )


def loader(stream, workers=1, epoch=lambda: 0, **how):
    return EpochLoader(stream, epoch, num_workers=workers, **how)


@pytest.fixture
def children():
    """Lists the processes that a test has started, without those that other tests have left."""
    this = psutil.Process()
    before = this.children()
    return lambda: [child for child in this.children() if child not in before]


@needs_proc
def test_a_worker_does_without_torch(stream, children):
    batches = iter(loader(stream(), workers=2))
    next(batches)
    assert len(children()) == 2
    for child in children():
        loaded = Path(f"/proc/{child.pid}/maps").read_text()
        assert "libavcodec" in loaded
        assert "libtorch" not in loaded


def test_workers_live_from_pass_to_pass_and_decode_another_epoch(stream, children):
    epochs = iter([0, 1, 1])
    batches = loader(stream(), epoch=lambda: next(epochs))
    first, known = list(batches), children()
    second = list(batches)
    again = list(batches)
    assert children() == known != []
    keys = [[(*batch["clip"].tolist(), *batch["frame"].tolist()) for batch in each] for each in (first, second, again)]
    assert keys[0] != keys[1] == keys[2]
    batches.close()
    assert children() == []
    assert len(batches) == len(first)


def test_a_pass_that_is_given_up_leaves_the_next_whole(stream):
    batches = loader(stream(), workers=2, prefetch=3)
    whole = [batch["frame"] for batch in batches]
    for taken in (1, 2, 4):
        given_up = iter(batches)
        for _ in range(taken):
            next(given_up)
        del given_up
    assert all(map(torch.equal, (batch["frame"] for batch in batches), whole))


def test_batches_that_were_given_out_stay_as_they_are(stream):
    batches = [{name: array.clone() for name, array in batch.items()} for batch in loader(stream(), prefetch=1)]
    kept = list(loader(stream(), prefetch=1))
    assert all(
        torch.equal(batch[name], same[name]) for batch, same in zip(batches, kept, strict=True) for name in batch
    )


def test_many_passes_of_fewer_batches_than_workers_do_not_fill_the_lines(stream):
    batches = loader(stream(clips=2), workers=2)
    assert len(batches) == 1
    for _ in range(500):  # a line holds 278 messages each way
        next(iter(batches))
    assert len(list(batches)) == len(batches)


def test_two_passes_at_once_are_refused_and_the_second_stays_whole(stream):
    batches = loader(stream(), finished=False, prefetch=2)
    whole = [batch["image"] for batch in batches]
    first, second = iter(batches), iter(batches)
    next(first)
    images = [next(second)["image"]]
    with pytest.raises(RuntimeError, match="another pass over this loader has begun"):
        list(first)
    images += [batch["image"] for batch in second]
    assert len(images) == len(whole)
    assert all(map(torch.equal, images, whole))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_short_last_batch_is_the_same_whoever_makes_it(stream, workers):
    batches = [batch["image"] for batch in loader(stream(train=False), workers, finished=False)]
    here = torch.cat([batch["image"] for batch in loader(stream(train=False), 0, finished=False)])
    assert torch.equal(torch.cat(batches).sum(0), here.sum(0))
    assert {len(batch) for batch in batches} == ({4} if len(here) % 4 == 0 else {4, len(here) % 4})


def test_a_pass_after_one_that_failed_is_whole(tree, tmp_path):
    copy = shutil.copytree(tree, tmp_path / "own")
    table = index(copy)
    source = make_stream(table, face_tracks(table), PLAIN, 2, 4, train=True)
    batches = loader(source)
    path = Path(table.path[0])
    content = path.read_bytes()
    path.write_bytes(content[:500])
    with pytest.raises(OSError, match=path.name):
        list(batches)
    path.write_bytes(content)
    assert len(list(batches)) == len(batches)


def test_an_error_of_any_kind_arrives_as_it_was(stream):
    with pytest.raises(EOFError, match="torn") as caught:
        list(loader(stream(Torn(32, PLAIN.mean, PLAIN.std))))
    assert "In a process of its own:" in caught.value.__notes__[0]
    assert caught.value.args == ("torn", [])  # what a worker does without


def test_what_cannot_be_read_by_workers_is_named(stream):
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        list(loader(stream(Lost(32, PLAIN.mean, PLAIN.std))))


def test_a_transform_of_ones_own_module_may_use_torch_and_this_room(stream):
    batch = next(iter(loader(stream(Doubting(32, PLAIN.mean, PLAIN.std)), finished=False)))
    assert batch["image"].shape == (4, 3, 32, 32)
    assert batch["image"].max() < 128


def test_a_transform_of_the_main_script_is_refused_with_a_sentence(tree):
    script = """
        from datamodules import CropTransform, EpochLoader, FrameStream, StreamOptions, face_tracks, index

        class Own(CropTransform):
            pass

        table = index("TREE")
        stream = FrameStream(table, face_tracks(table), Own(32, (0, 0, 0), (1, 1, 1)), StreamOptions())
        list(EpochLoader(stream, lambda: 0, num_workers=1))
    """
    words = [sys.executable, "-c", textwrap.dedent(script).replace("TREE", str(tree))]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert "the transform Own is of the main script, which workers do not know" in done.stderr


@pytest.mark.parametrize("workers", [0, 2])
def test_what_workers_warn_of_is_said_once(stream, workers):
    with pytest.warns(UserWarning, match="frames are dark") as said:
        list(loader(stream(Warning_(32, PLAIN.mean, PLAIN.std)), workers))
    assert len(said) == 1 or not workers


def test_a_cache_without_room_is_said_once_by_all_workers(stream, tmp_path):
    with pytest.warns(UserWarning, match="no room for a clip's crops") as said:
        list(loader(stream(cache=CropCache(tmp_path, 1e-6)), workers=2))
    assert len(said) == 1


def test_a_killed_worker_is_a_sentence(stream, children):
    batches = iter(loader(stream(), prefetch=1))
    next(batches)
    os.kill(children()[0].pid, signal.SIGKILL)
    with pytest.raises(ChildProcessError, match="ended from outside, perhaps for want of memory"):
        list(batches)


def test_after_a_killed_worker_another_pass_starts_new_ones(stream, children):
    again = loader(stream(), prefetch=1)
    batches = iter(again)
    next(batches)
    os.kill(children()[0].pid, signal.SIGKILL)
    with pytest.raises(ChildProcessError):
        list(batches)
    assert len(list(again)) == len(again)


@pytest.mark.parametrize(("how", "sentence"), [({"workers": -1}, "num_workers is -1"), ({"prefetch": 0}, "prefetch 0")])
def test_wrong_numbers_are_a_sentence(stream, how, sentence):
    with pytest.raises(ValueError, match=sentence):
        loader(stream(), **how)


@needs_proc
def test_workers_end_when_their_loader_is_killed(tree):
    script = """
        import os, signal, psutil
        from datamodules import CropTransform, EpochLoader, FrameStream, StreamOptions, face_tracks, index

        table = index("TREE")
        options = StreamOptions(frames_per_clip=2, batch_size=4)
        transform = CropTransform(32, (0, 0, 0), (1, 1, 1))
        stream = FrameStream(table, face_tracks(table), transform, options, train=True)
        batches = iter(EpochLoader(stream, lambda: 0, num_workers=2, prefetch=1))
        next(batches)
        print(*[child.pid for child in psutil.Process().children()], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    words = [sys.executable, "-c", textwrap.dedent(script).replace("TREE", str(tree))]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2, done.stderr
    until = time.monotonic() + 30
    while any(map(psutil.pid_exists, pids)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(psutil.pid_exists, pids))


@needs_proc
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("train", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("taken", [10, 1], ids=["exhausted", "left half-way"])
def test_nothing_is_left_behind(stream, workers, train, taken):
    def held():
        gc.collect()  # of what other tests have left for it
        process = psutil.Process()
        return len(os.listdir("/proc/self/fd")), process.num_threads(), process.children()

    source, before = stream(train=train), held()
    batches = iter(loader(source, workers))
    for _ in range(taken):
        next(batches)
    del batches
    assert held() == before
