"""PyAV's decoding side of `video.py`: exact frames by number, and no packet decoded that no wanted frame needs.

Frames are what a plain decode from the start puts out, in that order; headers, packets and times only guess it. Where
H.264's own headers prove a clip's order (see `listing`), frames are numbered by its packets and most of those are
passed over. Every other clip, and one in which that way fails, is played from its start.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import av

from ..errors import DataFileError
from .containers import AGAIN, Frame, NoVideoError, open_video
from .listing import Listing, Packet, list_pictures, packets_of
from .player import Player, ShownFrame


class UnreadableError(DataFileError):
    """Frames of a file that cannot be read, while others behind them perhaps can.

    Args:
        sentence: What is wrong, and what to do.
        frames: Of those asked for, the first that cannot be read and all up to the next one that can; by default all
            that have not been given.
    """

    def __init__(self, sentence: str, frames: Sequence[int] = ()) -> None:
        super().__init__(sentence)
        self.frames = tuple(frames)


class _AnotherWayError(Exception):
    """What was proven turned out otherwise: the clip must be played from its start."""


def decode(path: Path, frames: Sequence[int]) -> Generator[Frame]:
    """Yields frames by index, in rising order, with one thread, each equal to the bit to that of a plain decode.

    Groups of pictures without a wanted frame are sought past. Within the others, a picture to which no other refers is
    not decoded unless it is wanted; about half the pictures of a clip by x264 are such. Whatever is decoded is looked
    at, wanted or not: behind a damaged picture no frame is given up to the next key frame.

    Args:
        path: A video file.
        frames: Indices from 0, rising.

    Raises:
        UnreadableError: A frame asked for is damaged or follows damage, or the clip ends before it.
        OSError: The file cannot be opened or decoded, or its pictures change their size.
    """
    given = 0
    try:
        with open_video(path) as (container, stream):
            listing = list_pictures(container, stream)
            if listing and not listing.spoiled:
                there = [frame for frame in frames if frame < len(listing.order)]
                try:
                    for frame in _read_wanted(container, stream, listing, there):
                        yield frame
                        given += 1
                except _AnotherWayError:
                    pass
                else:
                    if len(there) < len(frames):
                        lost = frames[len(there) :]
                        raise UnreadableError(_refusal(path, lost[0], len(listing.order), listing), lost)
                    return
    except NoVideoError as error:
        raise DataFileError(str(error)) from error
    yield from _play(path, frames[given:], listing)


def _play(path: Path, frames: Sequence[int], listing: Listing | None) -> Generator[Frame]:
    wanted, total = deque(frames), 0
    if not wanted:
        return
    lost = frames[:0]
    with closing(Player(path, listing).frames()) as clip:
        for shown in clip:
            total = max(total, shown.number + 1)
            if shown.number > wanted[0] or (shown.number == wanted[0] and not shown.sound):
                lost = _find_unsound(wanted, chain([shown], clip))
                break
            if shown.number == wanted[0]:
                wanted.popleft()
                yield shown.frame
                if not wanted:
                    return
    total = max(total, len(listing.packets) if listing else 0)
    raise UnreadableError(_refusal(path, wanted[0], total, listing), lost or wanted)


def _find_unsound(wanted: Sequence[int], clip: Iterator[ShownFrame]) -> list[int]:
    """The first of the frames asked for, and those behind it up to the next one that comes and is sound."""
    rest = set(wanted) - {wanted[0]}
    with suppress(OSError):  # nothing more comes
        following = next((shown.number for shown in clip if shown.sound and shown.number in rest), None)
        return [frame for frame in wanted if following is None or frame < following]
    return list(wanted)


def _refusal(path: Path, frame: int, total: int, listing: Listing | None) -> str:
    if frame < total:
        return f"{path} is damaged: frame {frame} is, or it follows damage before the next key frame: {AGAIN}"
    short = "breaks off behind" if listing and listing.cut else "has"
    return f"{path} {short} {total} frames, but frame {frame} is wanted: {AGAIN}"


def _read_wanted(container: Any, stream: Any, listing: Listing, frames: Sequence[int]) -> Generator[Frame]:
    """Yields frames of a listing, and raises `_AnotherWayError` where anything is not as proven."""
    packets, size = listing.packets, (stream.width, stream.height)
    times = [packets[listing.order[number]].pts for number in frames]
    wanted, coming = set(times), iter(times)
    decoder = stream.codec_context
    decoder.options = {"err_detect": "explode"}  # an error is told where it is decoded, not where it is shown

    def looked_at(decoded: Sequence[Frame]) -> Iterator[Frame]:
        for frame in decoded:
            if frame.is_corrupt or (frame.width, frame.height) != size:
                raise _AnotherWayError
            if frame.pts in wanted:
                if frame.pts != next(coming):
                    raise _AnotherWayError
                yield frame

    skipped = ""
    try:
        for start, stop in plan_passes(packets, wanted):
            container.seek(packets[start].dts, stream=stream)
            left = stop - start
            for packet in packets_of(container, stream):
                if left == stop - start and packet.pts != packets[start].pts:
                    continue  # a container that seeks coarsely
                kind = "DEFAULT" if packet.pts in wanted else "NONREF"
                if kind != skipped:
                    decoder.skip_frame = skipped = kind
                yield from looked_at(packet.decode())
                left -= 1
                if not left:
                    break
            yield from looked_at(decoder.decode(None))
    except av.FFmpegError as error:
        raise _AnotherWayError from error
    if next(coming, None) is not None:
        raise _AnotherWayError


def plan_passes(packets: Sequence[Packet], wanted: set[int]) -> list[tuple[int, int]]:
    """Which packets must be read to decode the wanted frames.

    Args:
        packets: Of a whole file, in the order of decoding; the first is a key frame.
        wanted: Times shown of the frames.

    Returns:
        Ranges [start, stop) of packets, each starting at a key frame, rising and apart.
    """
    ranges: list[tuple[int, int]] = []
    start = 0
    for position, packet in enumerate(packets):
        if packet.key:
            start = position
        if packet.pts in wanted:
            if ranges and start <= ranges[-1][1]:
                ranges[-1] = ranges[-1][0], position + 1
            else:
                ranges.append((start, position + 1))
    return ranges
