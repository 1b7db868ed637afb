import fcntl
import multiprocessing
import os
import random
import resource
import shutil
import subprocess
import sys
import time
import warnings
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from datamodules.crops import cache, crop_file
from datamodules.crops.cache import CropCache, Cut

KEY = "ab" * 32
FORK, SPAWN = (multiprocessing.get_context(how) for how in ("fork", "spawn"))
SHAPES = [(64, 64), (33, 47), (1, 1), (90, 8), (64, 63), (256, 256)]
FRAMES = list(range(6))
GB = 1e9


def cut_of(key, frame, shape):
    """A cut told by its key, frame and shape alone; every third mask is not known."""
    random = np.random.default_rng([int(key[:8], 16), frame, *shape])
    mask = np.full(shape, 255, np.uint8) if frame % 3 == 2 else random.integers(0, 2, shape, np.uint8)
    return Cut(random.integers(0, 256, (*shape, 3), np.uint8), mask, int(random.integers(2)))


class Clip:
    """Decodes made-up cuts and remembers what it was asked for."""

    def __init__(self, key=KEY, shapes=SHAPES, frames=FRAMES, breaks_at=None):
        self.key, self.frames, self.breaks_at = key, frames, breaks_at
        self.shapes = dict(zip(frames, shapes, strict=True))
        self.asked = []
        self.closed = 0

    def decode(self, frames):
        self.asked.append(list(frames))
        try:
            for frame in frames:
                if frame == self.breaks_at:
                    raise OSError("the video is torn")
                yield cut_of(self.key, frame, self.shapes[frame])
        finally:
            self.closed += 1

    def read_or_decode(self, crops, frames=None):
        frames = self.frames if frames is None else frames
        return crops.read_or_decode(self.key, frames, [self.shapes[frame] for frame in frames], self.decode)

    def right(self, cuts, frames=None):
        wanted = [cut_of(self.key, frame, self.shapes[frame]) for frame in (self.frames if frames is None else frames)]
        return [*map(same, cuts, wanted)] == [True] * len(wanted) and len(cuts) == len(wanted)


def same(cut, other):
    return np.array_equal(cut.image, other.image) and np.array_equal(cut.mask, other.mask) and cut.label == other.label


def square(number, size=64, frames=8):
    """One of many clips of equal size, about 13 kB a frame."""
    return Clip(f"{number:08x}" * 8, [(size, size)] * frames, list(range(frames)))


def names(folder, ending=""):
    return sorted(path.name for path in Path(folder).rglob(f"*{ending}") if path.is_file() and path.name != "used")


def counted(folder):
    """What the folder says it holds."""
    return int.from_bytes((folder / "crops/used").read_bytes(), "little")


def charged(folder):
    """What it holds: of each file whole blocks, and one more."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != "used"]
    return sum(-(-size // 4096) * 4096 + 4096 for size in sizes)


def handles(folder):
    links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
    return [link for link in links if str(os.readlink(link) if link.is_symlink() else "").startswith(str(folder))]


def in_processes(target, *arguments, how=FORK):
    """What `target` answers in one process for each of the arguments, all at once."""
    pipes = [how.Pipe(duplex=False) for _ in arguments]
    workers = [
        how.Process(target=send, args=(outbox, target, argument), daemon=True)
        for (_, outbox), argument in zip(pipes, arguments, strict=True)
    ]
    for worker in workers:
        worker.start()
    try:
        assert all(inbox.poll(60) for inbox, _ in pipes), "a process hangs"
        return [inbox.recv() for inbox, _ in pipes]
    finally:
        for worker in workers:
            worker.join(20)
            worker.kill()


def send(outbox, target, argument):
    outbox.send(target(*argument))


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs Linux")


@pytest.fixture
def crops(tmp_path):
    return CropCache(tmp_path, 1)


def test_what_goes_in_comes_out_bit_by_bit(crops):
    first, second = Clip(), Clip()
    assert first.right(list(first.read_or_decode(crops)))
    again = list(second.read_or_decode(crops))
    assert second.right(again)
    assert second.asked == []
    for cut in again:
        assert cut.image.dtype == cut.mask.dtype == np.uint8
        assert type(cut.label) is int
        assert all(array.flags.owndata and array.flags.writeable for array in (cut.image, cut.mask))


def test_views_and_changed_cuts_are_stored_as_they_were_decoded(crops):
    whole = cut_of(KEY, 0, (80, 90))
    view = Cut(whole.image[8:72, 4:68], whole.mask[8:72, 4:68], 1)
    stored = Cut(view.image.copy(), view.mask.copy(), 1)
    for cut in crops.read_or_decode(KEY, [0], [(64, 64)], lambda _: (view for _ in [0])):
        cut.image[:] = 0
        cut.mask[:] = 0
    (again,) = crops.read_or_decode(KEY, [0], [(64, 64)], None)
    assert same(again, stored)


def test_a_later_run_finds_what_an_earlier_one_stored(crops, tmp_path):
    list(Clip().read_or_decode(crops))
    clip = Clip()
    assert clip.right(list(clip.read_or_decode(CropCache(tmp_path, 1))))
    assert clip.asked == []


def test_a_crop_of_256_pixels_takes_the_bytes_that_are_documented(crops, tmp_path):
    list(square(0, 256, frames=3).read_or_decode(crops))
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.crops")) == 16 + 3 * 204_826


def test_only_missing_frames_are_decoded_in_one_pass_and_all_come_in_order(crops, tmp_path):
    for frames, missing in [([0, 2, 4], [[0, 2, 4]]), ([1, 2, 3, 4], [[1, 3]]), (FRAMES, [[5]]), (FRAMES, [])]:
        clip = Clip()
        assert clip.right(list(clip.read_or_decode(crops, frames)), frames)
        assert clip.asked == missing
    assert len(names(tmp_path, ".crops")) == 3


def test_no_frame_is_no_pass(crops, tmp_path):
    clip = Clip()
    assert list(clip.read_or_decode(crops, [])) == clip.asked == names(tmp_path) == []


def test_another_key_and_another_shape_are_other_crops(crops):
    list(Clip().read_or_decode(crops))
    for other in (Clip("ab" * 31 + "ac"), Clip(shapes=SHAPES[::-1])):
        assert other.right(list(other.read_or_decode(crops)))
        assert other.asked == [FRAMES]
    assert Clip().right(list(Clip().read_or_decode(crops)))


def test_sixteen_clips_advance_in_turn(crops):
    for asked in ([[*range(8)]], []):
        clips = [square(number) for number in range(16)]
        turns = zip(*[clip.read_or_decode(crops) for clip in clips], strict=True)
        assert all(clip.right(list(cuts)) for clip, cuts in zip(clips, zip(*turns, strict=True), strict=True))
        assert all(clip.asked == asked for clip in clips)


@needs_proc
@pytest.mark.parametrize("taken", range(len(FRAMES)))
def test_closed_half_way_nothing_is_left(crops, tmp_path, taken):
    clip = Clip()
    with closing(clip.read_or_decode(crops)) as cuts:
        assert clip.right(list(islice(cuts, taken)), FRAMES[:taken])
        assert len(handles(tmp_path)) == (1 if taken else 0)
    assert names(tmp_path) == handles(tmp_path) == []
    assert counted(tmp_path) == 0
    assert clip.closed == len(clip.asked) == (1 if taken else 0)


@needs_proc
def test_half_read_a_clip_holds_two_handles_at_most(crops, tmp_path):
    for frames in ([0, 3], [1, 4]):
        list(Clip().read_or_decode(crops, frames))
    with closing(Clip().read_or_decode(crops)) as cuts:
        assert max(len(handles(tmp_path)) for _ in cuts) == 2
    assert handles(tmp_path) == []


def test_a_pass_whose_last_frame_was_taken_is_stored_even_if_nobody_asks_for_more(crops):
    with closing(Clip().read_or_decode(crops)) as cuts:
        list(islice(cuts, len(FRAMES)))
    clip = Clip()
    list(clip.read_or_decode(crops))
    assert clip.asked == []


def test_an_error_of_the_decoder_passes_through_and_nothing_is_left(crops, tmp_path):
    clip = Clip(breaks_at=3)
    with pytest.raises(OSError, match="the video is torn"):
        list(clip.read_or_decode(crops))
    assert names(tmp_path) == []
    assert counted(tmp_path) == 0
    assert Clip().right(list(Clip().read_or_decode(crops)))


@pytest.mark.parametrize(
    ("cut", "sentence"),
    [
        (Cut(np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), np.uint8), 0), r"frame 7 .*\(4, 5, 3\).* announced"),
        (Cut(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.uint8), 0), r"frame 7 .*\(4, 5\).* announced"),
        (Cut(np.zeros((4, 4, 3), np.uint8), np.eye(4, dtype=np.uint8) * 255, 0), "mask of frame 7 holds 255"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(crops, tmp_path, cut, sentence):
    with pytest.raises(ValueError, match=sentence):
        list(crops.read_or_decode(KEY, [7], [(4, 4)], lambda _: (cut for _ in [0])))
    assert names(tmp_path) == []


DAMAGES = {
    "empty": lambda data: b"",
    "cut inside the head": lambda data: data[:9],
    "cut inside the rows": lambda data: data[:40],
    "short": lambda data: data[:-1],
    "long": lambda data: data + b"\0",
    "other magic": lambda data: b"X" + data[1:],
    "another row": lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:],
    "countless rows": lambda data: data[:8] + b"\xff" * 4 + data[12:],
    "no rows": lambda data: data[:8] + b"\0" * 8,
    "another pixel": lambda data: data[:300] + bytes([data[300] ^ 1]) + data[301:],
    "another pixel of a mask": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "pages that never reached the disk": lambda data: data[:8192] + bytes(len(data) - 8192),
    "zeros": lambda data: bytes(len(data)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_decoded_anew(crops, tmp_path, damage):
    list(Clip().read_or_decode(crops))
    (path,) = tmp_path.rglob("*.crops")
    whole = path.read_bytes()
    path.write_bytes(DAMAGES[damage](whole))
    first, second, third = Clip(), Clip(), Clip()
    assert first.right(list(first.read_or_decode(crops)))
    assert len(first.asked) == 1
    assert second.right(list(second.read_or_decode(crops)))
    assert third.right(list(third.read_or_decode(crops)))
    assert third.asked == []
    assert path.read_bytes() == whole


def test_from_a_damaged_record_on_the_clip_is_decoded(crops, tmp_path):
    list(Clip().read_or_decode(crops, [0, 1, 3, 5]))
    (path,) = tmp_path.rglob("*.crops")
    path.write_bytes(DAMAGES["another pixel of a mask"](path.read_bytes()))  # of frame 5
    clip = Clip()
    assert clip.right(list(clip.read_or_decode(crops)))
    assert clip.asked == [[2, 4], [5]]
    assert clip.closed == 2


def test_a_file_that_goes_while_it_is_read_is_decoded(crops, tmp_path):
    for frames in ([0, 1, 3], [2, 4, 5]):
        list(Clip().read_or_decode(crops, frames))
    clip = Clip()
    cuts = clip.read_or_decode(crops)
    begun = [next(cuts)]
    shutil.rmtree(tmp_path / "crops/ab")
    assert clip.right(begun + list(cuts))
    assert clip.asked == [[2, 3, 4, 5]]


def as_left_at_every_line(folder, copies, work):
    """The folder as a process killed at any line of cache.py or crop_file.py would leave it; equal ones once."""
    left = {}

    def trace(frame, event, _):
        if frame.f_code.co_filename not in (cache.__file__, crop_file.__file__):
            return None
        if event == "line":
            files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
            state = tuple(sorted(files.items()))
            if state not in left:
                left[state] = shutil.copytree(folder, copies / f"{len(left)}")
        return trace

    traced = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(traced)
    return list(left.values())


def small_clip():
    return Clip(shapes=[(4, 4)] * 6)


def a_pass_and_a_half(folder):
    crops = CropCache(folder, 1)
    list(small_clip().read_or_decode(crops, [0, 1]))
    list(islice(small_clip().read_or_decode(crops, [1, 2, 3]), 2))


def test_killed_at_any_line_it_leaves_a_folder_that_the_next_run_cleans_and_uses(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    left = as_left_at_every_line(folder, tmp_path / "left", lambda: a_pass_and_a_half(folder))
    assert sum(bool(names(copy, ".part")) for copy in left) >= 5
    assert len(left) >= 12
    for copy in left:
        assert not names(copy) or counted(copy) >= charged(copy)
        crops = CropCache(copy, 1)
        assert names(copy, ".part") == []
        assert counted(copy) == charged(copy)
        clip = small_clip()
        assert clip.right(list(clip.read_or_decode(crops)))
        assert clip.asked in ([FRAMES], [[2, 3, 4, 5]])


def store_on_and_on(folder, outbox, number):
    crops = CropCache(folder, 1)
    for turn in range(1000):
        for cut in square(number * 1000 + turn).read_or_decode(crops):
            del cut
        if outbox:
            outbox.send(turn)


def test_killed_at_random_among_others_that_go_on(tmp_path):
    random.seed(0)
    for attempt in range(6):
        inbox, outbox = FORK.Pipe(duplex=False)
        workers = [
            FORK.Process(target=store_on_and_on, args=(tmp_path, outbox if number == 2 else None, 3 * attempt + number))
            for number in range(3)
        ]
        for worker in workers:
            worker.start()
        time.sleep(0.05 + random.random() / 10)
        for worker in workers[:2]:
            worker.kill()
            worker.join()
        while inbox.poll():
            inbox.recv()
        crops = CropCache(tmp_path, 1)
        assert inbox.poll(20)  # the third goes on
        assert len(names(tmp_path, ".part")) <= 1
        workers[2].kill()
        workers[2].join()
    CropCache(tmp_path, 1)
    assert names(tmp_path, ".part") == []
    assert counted(tmp_path) == charged(tmp_path)
    stored = [int(name[:8], 16) for name in names(tmp_path, ".crops")]
    for clip in map(square, random.sample(stored, 20)):
        assert clip.right(list(clip.read_or_decode(crops)))
        assert clip.asked == []


def test_a_part_whose_writer_lives_is_left_alone(crops, tmp_path):
    clip = Clip()
    with closing(clip.read_or_decode(crops)) as cuts:
        begun = [next(cuts)]
        CropCache(tmp_path, 1)
        assert len(names(tmp_path, ".part")) == 1
        assert counted(tmp_path) > 0
        assert clip.right(begun + list(cuts))
    assert len(names(tmp_path, ".crops")) == len(names(tmp_path)) == 1


def test_a_process_forked_half_way_takes_nothing_from_its_parent(crops):
    clip = Clip()
    cuts = clip.read_or_decode(crops)
    begun = [next(cuts)]
    assert in_processes(cuts.close, ()) == [None]
    assert clip.right(begun + list(cuts))
    clip.asked.clear()
    list(clip.read_or_decode(crops))
    assert clip.asked == []


def store_at_once(crops, barrier, times):
    right = []
    for number in range(times):
        clip = square(number)
        barrier.wait(30)
        right.append(clip.right(list(clip.read_or_decode(crops))))
    return all(right)


@pytest.mark.parametrize("folders", [1, 3], ids=["workers", "runs"])
def test_processes_may_store_the_same_clip_at_once(tmp_path, folders):
    barrier = FORK.Barrier(3)
    shared = [CropCache(tmp_path, 1) for _ in range(folders)] * (3 // folders)
    assert in_processes(store_at_once, *[(crops, barrier, 30) for crops in shared]) == [True] * 3
    assert len(names(tmp_path, ".crops")) == len(names(tmp_path)) == 30
    assert counted(tmp_path) == charged(tmp_path)


def store_many(folder, limit_gb, number, barrier):
    """Thirty clips, every third closed half-way."""
    barrier.wait(30)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        crops = CropCache(folder, limit_gb)
        for turn in range(30):
            clip = square(100 * number + turn)
            taken = 5 if turn % 3 == 0 else None
            with closing(clip.read_or_decode(crops)) as cuts:
                assert clip.right(list(islice(cuts, taken)), clip.frames[:taken])
    assert len(said) <= 1


def taken_on_disk(folder):
    """Bytes that the files take, counted while none may come or go."""
    with (folder / "crops/used").open("rb+") as used:
        fcntl.flock(used, fcntl.LOCK_EX)
        files = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return max(sum(status.st_size for status in files), sum(512 * status.st_blocks for status in files))


def test_many_processes_keep_the_limit_at_every_moment(tmp_path):
    limit = 5_000_000  # of 6 * 20 clips of 102 kB
    CropCache(tmp_path, limit / GB)
    barrier = FORK.Barrier(6)
    workers = [FORK.Process(target=store_many, args=(tmp_path, limit / GB, number, barrier)) for number in range(6)]
    for worker in workers:
        worker.start()
    taken = []
    while any(worker.is_alive() for worker in workers):
        taken.append(taken_on_disk(tmp_path))
        time.sleep(0.002)
    taken.append(taken_on_disk(tmp_path))
    assert [worker.exitcode for worker in workers] == [0] * 6
    assert len(taken) > 5
    assert 0.9 * limit < max(taken) <= limit + 4096  # the block of the file that counts
    assert names(tmp_path, ".part") == []
    assert counted(tmp_path) == charged(tmp_path)


def test_the_limit_is_said_once_and_what_is_stored_is_read(tmp_path):
    crops = CropCache(tmp_path, 0.000_25)
    clips = [square(number) for number in range(5)]
    with pytest.warns(UserWarning, match="no room for a clip's crops within 0.00025 GB.*raise the limit") as said:
        right = [clip.right(list(clip.read_or_decode(crops))) for clip in clips * 3]
    assert all(right)
    assert len(said) == 1
    assert [len(clip.asked) for clip in clips] == [1, 1, 3, 3, 3]


def test_a_pass_given_up_makes_room_for_another(tmp_path):
    crops = CropCache(tmp_path, 0.000_13)
    for number in range(3):
        with closing(square(number).read_or_decode(crops)) as cuts:
            next(cuts)
    list(square(9).read_or_decode(crops))
    assert [name[:8] for name in names(tmp_path)] == ["00000009"]


@contextmanager
def small_disk(folder, size="1m"):
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("may not mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def store_until_full(crops, number, times=20):
    """Whether all cuts were right, what was warned of, and how many were decoded."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        clips = [square(100 * number + turn) for turn in range(times)]
        right = [clip.right(list(clip.read_or_decode(crops))) for clip in clips]
    return all(right), [str(warning.message) for warning in said], sum(len(clip.asked) for clip in clips)


@pytest.mark.skipif(sys.platform != "linux", reason="needs tmpfs")
def test_a_full_disk_is_said_once_by_each_process_and_training_goes_on(tmp_path):
    with small_disk(tmp_path / "disk") as folder:
        crops = CropCache(folder, 1)
        answers = in_processes(store_until_full, (crops, 0), (crops, 1))
        assert [right for right, *_ in answers] == [True, True]
        (said,) = {sentence for _, sentences, _ in answers for sentence in sentences}
        assert max(len(sentences) for _, sentences, _ in answers) == 1
        assert "crops can no longer be stored" in said
        assert "No space left on device" in said
        assert names(folder, ".part") == []
        stored = [square(int(name[:8], 16)) for name in names(folder, ".crops")]
        assert len(stored) >= 5
        assert all(clip.right(list(clip.read_or_decode(crops))) for clip in stored)
        assert not any(clip.asked for clip in stored)


def store_with_small_files(crops, number):
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    return store_until_full(crops, number)


def test_files_that_cannot_grow_are_said_once_by_each_process(crops, tmp_path):
    answers = in_processes(store_with_small_files, (crops, 0), (crops, 1))
    assert [(right, asked) for right, _, asked in answers] == [(True, 20), (True, 20)]
    assert [len(sentences) for _, sentences, _ in answers] == [1, 1]
    (said,) = {sentence for _, sentences, _ in answers for sentence in sentences}
    assert "File too large" in said
    assert names(tmp_path) == []
    assert counted(tmp_path) == 0


def test_a_spawned_process_shares_what_is_stored(crops, tmp_path):
    assert in_processes(store_until_full, (crops, 0)) == [(True, [], 20)]
    assert in_processes(store_until_full, (crops, 0, 120), how=SPAWN) == [(True, [], 100)]
    assert len(names(tmp_path)) == 120


@pytest.mark.skipif(sys.platform != "linux", reason="needs tmpfs")
def test_a_folder_that_cannot_be_written_to_is_read(tmp_path):
    with small_disk(tmp_path / "disk") as folder:
        list(Clip().read_or_decode(CropCache(folder, 1)))
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        with pytest.warns(UserWarning, match="Read-only file system.*can be written to"):
            crops = CropCache(folder, 1)
        clips = [Clip(), square(1), square(2)]
        assert all(clip.right(list(clip.read_or_decode(crops))) for clip in clips)
        assert [len(clip.asked) for clip in clips] == [0, 1, 1]


def test_a_lost_folder_is_said_once_and_training_goes_on(crops, tmp_path):
    half_way, others = Clip(), [square(number) for number in range(3)]
    cuts = half_way.read_or_decode(crops)
    begun = [next(cuts)]
    shutil.rmtree(tmp_path / "crops")
    with pytest.warns(UserWarning, match="no longer be stored in .*No such file") as said:
        right = [half_way.right(begun + list(cuts)), *(clip.right(list(clip.read_or_decode(crops))) for clip in others)]
    assert right == [True] * 4
    assert len(said) == 1
    assert not (tmp_path / "crops").exists()
    CropCache(tmp_path, 1)  # of another run; this one stays as it is
    assert Clip().right(list(Clip().read_or_decode(crops)))
    assert names(tmp_path) == []


def test_a_process_that_stops_with_the_lock_does_not_stop_others(crops, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_PATIENCE_S", 0.05)
    clip = Clip()
    with (tmp_path / "crops/used").open("rb+") as used:
        fcntl.flock(used, fcntl.LOCK_EX)
        with pytest.warns(UserWarning, match="another process has locked it for 0.05 s"):
            assert clip.right(list(clip.read_or_decode(crops)))


def test_a_folder_that_is_a_file_is_said(tmp_path):
    (tmp_path / "crops").write_text("")
    with pytest.warns(UserWarning, match="File exists"):
        crops = CropCache(tmp_path, 1)
    assert Clip().right(list(Clip().read_or_decode(crops)))


def test_a_count_that_is_damaged_stops_storing_until_the_next_run_counts_anew(crops, tmp_path):
    (tmp_path / "crops/used").write_bytes(b"\0")
    with pytest.warns(UserWarning, match="count of what is used is damaged"):
        list(Clip().read_or_decode(crops))
    assert names(tmp_path) == []
    list(Clip().read_or_decode(CropCache(tmp_path, 1)))
    assert len(names(tmp_path)) == 1


@needs_proc
def test_no_handle_is_left_by_many_passes(crops, tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        for number in range(20):
            list(square(number).read_or_decode(crops))
    assert len(os.listdir("/proc/self/fd")) == before
    assert handles(tmp_path) == []
