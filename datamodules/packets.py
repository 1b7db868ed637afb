"""PyAV's decoding side of `video.py`: only packets that a wanted frame needs are decoded."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import av

Frame = Any
"""PyAV's `VideoFrame`, which reaches us without types."""


class Packet(NamedTuple):
    """What a packet says of itself; packets are counted in the order of decoding.

    Attributes:
        pts: Time shown, in units of the stream.
        dts: Time decoded.
        key: Decoding may start here.
        shown: False for what an edit list cuts off.
    """

    pts: int
    dts: int
    key: bool
    shown: bool


def decode(path: Path, frames: Sequence[int]) -> Generator[Frame]:
    """Yields frames by index, in rising order, with one thread; nothing is decoded that no wanted frame needs.

    Groups of pictures without a wanted frame are sought past. Within the others, a picture to which no other refers is
    not decoded unless it is wanted; about half the pictures of a clip by x264 are such. What is yielded is the same, to
    the bit, as if every packet had been decoded.

    Args:
        path: A video file.
        frames: Indices from 0, rising.

    Raises:
        OSError: The file cannot be decoded, or ends before the last frame asked for.
    """
    given, total = 0, 0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type, stream.codec_context.thread_count = "NONE", 1
            packets = [
                Packet(packet.pts, packet.dts, packet.is_keyframe, not packet.is_discard)
                for packet in _demux(container, stream)
            ]
            times = _times(packets)
            total = len(times) or len(packets)
            for frame in _wanted(container, stream, packets, times, frames):
                if frame.is_corrupt or (times and frame.pts != times[frames[given]]):
                    break  # it was damaged, or the one before it is missing
                yield frame
                given += 1
    except (av.FFmpegError, IndexError) as error:
        where = f"is damaged behind frame {frames[given - 1]}" if given else "cannot be decoded"
        raise OSError(f"{path} {where}: download or copy it again") from error
    if given < len(frames):
        lacks = f"has {total} frames, but frame {frames[given]} is wanted"
        damaged = f"is damaged at frame {frames[given]}"
        raise OSError(f"{path} {lacks if frames[given] >= total else damaged}: download or copy it again")


def _wanted(
    container: Any, stream: Any, packets: Sequence[Packet], times: Sequence[int], frames: Sequence[int]
) -> Generator[Frame]:
    if not times:
        container.seek(0)
        numbers = set(frames)
        yield from (frame for number, frame in enumerate(container.decode(stream)) if number in numbers)
        return
    wanted = {times[number] for number in frames if number < len(times)}
    skipped = ""
    for start, stop in passes(packets, wanted):
        container.seek(packets[start].dts, stream=stream)
        left = stop - start
        for packet in _demux(container, stream):
            if left == stop - start and packet.dts != packets[start].dts:
                continue  # a container that seeks coarsely
            kind = "DEFAULT" if packet.pts in wanted else "NONREF"
            if kind != skipped:
                stream.codec_context.skip_frame = skipped = kind
            for frame in packet.decode():
                if frame.pts in wanted:
                    yield frame
            left -= 1
            if not left:
                break
        yield from (frame for frame in stream.codec_context.decode(None) if frame.pts in wanted)


def _times(packets: Sequence[Packet]) -> list[int]:
    """Times of the pictures in the order shown; none where a container has nothing to tell them apart by."""
    known = all(packet.pts is not None and packet.dts is not None for packet in packets)
    return sorted(packet.pts for packet in packets if packet.shown) if known else []


def _demux(container: Any, stream: Any) -> Generator[Any]:
    return (packet for packet in container.demux(stream) if packet.size)


def passes(packets: Sequence[Packet], wanted: set[int]) -> list[tuple[int, int]]:
    """Which packets must be read to decode the wanted frames.

    Args:
        packets: Of a whole file, in the order of decoding.
        wanted: Times shown of the frames.

    Returns:
        Ranges [start, stop) of packets, each starting at a key frame, rising and apart.
    """
    ranges: list[tuple[int, int]] = []
    keys: list[int] = []
    for position, packet in enumerate(packets):
        if packet.key:
            keys.append(position)
        if packet.pts not in wanted:
            continue
        # A picture shown before the key frame that it follows may refer to the group before.
        start = next((key for key in reversed(keys) if packets[key].pts <= packet.pts), 0)
        while ranges and start <= ranges[-1][1]:
            start = min(start, ranges.pop()[0])
        ranges.append((start, position + 1))
    return ranges
