"""Whatever a file holds, each frame is the one that a plain decode of it puts out, or it is refused."""

import os
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as some

from datamodules import VideoReader, probe
from tests.datamodules import odd_clips
from tests.datamodules.odd_clips import edited, film, later, lost, pictures, x264
from tests.datamodules.test_odd_clips import plain, until_refused

CASES = int(os.environ.get("ANY_CLIP_CASES", "300"))

CODECS = {
    "h264": ("libx264", x264()),
    "h264-pyramid": ("libx264", x264("b-pyramid=normal:b-adapt=0:ref=4")),
    "h264-open": ("libx264", x264("open-gop=1")),
    "h264-refreshed": ("libx264", x264("intra-refresh=1")),
    "h264-slices": ("libx264", x264("slices=3:cabac=0")),
    "hevc": ("libx265", {"x265-params": "log-level=none:pools=none", "preset": "ultrafast"}),
    "mpeg4": ("mpeg4", {}),
    "mpeg2": ("mpeg2video", {}),
    "vp9": ("libvpx-vp9", odd_clips.VP9),
    "av1": ("libsvtav1", {"preset": "12", "svtav1-params": "lp=1"}),
    "mjpeg": ("mjpeg", {}),
    "wmv2": ("wmv2", {}),
}
WITHOUT_B = ("vp9", "av1", "mjpeg", "wmv2")
CONTAINERS = {
    "mp4": [codec for codec in CODECS if codec != "wmv2"],
    "fragmented": ["h264", "h264-pyramid", "h264-open", "hevc", "av1"],
    "matroska": [codec for codec in CODECS if codec != "wmv2"],
    "avi": ["h264", "h264-pyramid", "mpeg4", "mpeg2", "mjpeg", "wmv2"],
    "mpegts": ["h264", "h264-pyramid", "h264-open", "hevc", "mpeg2"],
    "mpeg": ["mpeg2", "h264"],
    "flv": ["h264", "h264-pyramid"],
    "asf": ["wmv2", "mpeg4"],
    "h264": ["h264", "h264-pyramid", "h264-slices", "h264-refreshed"],
}
EDITS = [None, "trimmed", "start", "gap"]


@lru_cache(maxsize=64)
def whole(container, codec, count, group, between, edit, gone):
    """A clip that lacks some packets, and is edited, but not damaged otherwise."""
    encoder, options = CODECS[codec]
    start = later(-min(group, count) // 2) if edit == "start" else lambda packets: packets
    content = film(
        encoder,
        {"fragmented": "mp4"}.get(container, container),
        images=pictures(count),
        form="yuvj420p" if codec == "mjpeg" else "yuv420p",
        group=group,
        between=None if codec in WITHOUT_B else between,
        options=options,
        mux={"movflags": "frag_keyframe"} if container == "fragmented" else {},
        rework=lambda packets: start(lost(*gone)(packets)),
    )
    if edit == "trimmed":
        return edited(content, [(count // 4, count // 2)])
    if edit == "gap":
        return edited(content, [(0, count // 3), (None, 5), (count // 2, count // 3)])
    return content


@lru_cache(maxsize=64)
def decoded(content):
    return plain(content)


class Case(NamedTuple):
    """A clip, what is done to it, and which frames are asked for.

    Attributes:
        made: Arguments of `whole`.
        holes: Where bytes are zeroed, in 4096th of the file, and how many.
        flips: Where a bit is flipped, likewise, and which.
        frames: Rising.
    """

    made: tuple
    holes: list
    flips: list
    frames: list

    def content(self):
        damaged = bytearray(whole(*self.made))
        for place, length in self.holes:
            at = place * len(damaged) // 4096
            damaged[at : at + length] = bytes(len(damaged[at : at + length]))
        for place, bit in self.flips:
            damaged[place * len(damaged) // 4096] ^= 1 << bit
        return bytes(damaged)


@some.composite
def cases(draw):
    container = draw(some.sampled_from(list(CONTAINERS)))
    codec = draw(some.sampled_from(CONTAINERS[container]))
    count = draw(some.sampled_from([12, 24, 40]))
    group = draw(some.sampled_from([5, 12, 250]))
    between = draw(some.sampled_from([0, 2, 5] if codec.startswith("h264") else [0, 2]))
    edit = draw(some.sampled_from(EDITS if container == "mp4" else [None]))
    damage = draw(some.sampled_from(["nothing", "holes", "flips", "loss"]))
    gone = draw(some.sets(some.integers(0, count - 1), min_size=1, max_size=3)) if damage == "loss" else ()
    places = some.integers(200, 3900)  # most of the index is spared: without it there is nothing to see
    holes = some.lists(some.tuples(places, some.integers(1, 200)), min_size=1, max_size=3)
    flips = some.lists(some.tuples(places, some.integers(0, 7)), min_size=1, max_size=3)
    return Case(
        (container, codec, count, group, between, edit, tuple(sorted(gone))),
        draw(holes) if damage == "holes" else [],
        draw(flips) if damage == "flips" else [],
        sorted(draw(some.sets(some.integers(0, count + 1), min_size=1, max_size=6))),
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("any") / "clip.mp4"


@settings(
    max_examples=CASES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(cases())
@example(Case(("matroska", "mjpeg", 24, 5, 0, None, ()), [(200, 1)], [], [0]))  # only a strict decoder refuses it
@example(Case(("mpeg", "mpeg2", 40, 12, 0, None, ()), [(1300, 2)], [], [0, 9]))  # what was in memory before shows
def test_a_frame_is_what_a_plain_decode_puts_out_or_it_is_refused(path, case):
    content, before, frames = case.content(), whole(*case.made), case.frames
    path.write_bytes(content)
    seen, undamaged = decoded(content), decoded(before)
    images, refusal = until_refused(VideoReader(path).read(frames))
    assert bool(refusal) == (len(images) < len(frames))
    if content == before and not case.made[-1]:
        assert len(images) == sum(frame < len(seen.images) for frame in frames)
        assert probe(path).frames == len(seen.images)
    numbered = numberings(seen, undamaged)
    for frame, image in zip(frames, images, strict=False):
        shown = [positions[frame] for positions in numbered if positions[frame] in seen.positions]
        same = [at for at in shown if np.array_equal(image, seen.images[seen.positions.index(at)])]
        assert same, f"frame {frame} of {frames} is another one"
        assert not behind_damage(seen, same[0], case.made[1]), f"frame {frame} is damaged"


def numberings(seen, undamaged):
    """Positions of the packets of all frames, by which they may be numbered.

    A plain decode drops what it cannot decode without a word, and the numbers of what is behind are less then. Where
    the packets are the same as before the damage, so are the numbers; but a clip whose start cannot be decoded may also
    begin with what can.
    """
    if seen.times != undamaged.times:
        return [seen.positions]
    if seen.positions[:1] == undamaged.positions[:1]:
        return [undamaged.positions]
    return [undamaged.positions, seen.positions + undamaged.positions[len(seen.positions) :]]


def behind_damage(seen, position, codec):
    """Whether a picture, or one before it in its group, is flagged by a plain decode or makes it fail."""
    if codec in ("h264-open", "h264-refreshed", "hevc"):
        return position in seen.bad
    start = max((key for key in seen.keys if key <= position), default=0)
    return any(start <= bad <= position for bad in seen.bad)
