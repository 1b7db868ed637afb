"""Plays a clip from its start, as a decoder without any knowledge of it does, and looks at every picture."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av

from .containers import Frame, open_video
from .h264 import DamagedError, Headers, Order
from .listing import Listing, headers_of

REORDERED = 20
"""Pictures that may be decoded between two that are shown one after the other, more than H.264's 16."""

UNPLACED = (-1, 0)
"""Place of a picture whose own cannot be read: before all others, for it may be."""

AGAIN = "download or copy it again"


class Shown(NamedTuple):
    """A frame as a plain decode puts it out.

    Attributes:
        number: Position in the clip, from 0.
        frame: What was decoded.
        position: Of its packet, in the order of decoding.
        sound: Neither it nor anything that it may refer to is damaged.
    """

    number: int
    frame: Frame
    position: int
    sound: bool


class Player:
    """One pass over a file.

    A frame is given once all those that were decoded before it, and are shown after it, have come out too: only then
    FFmpeg has said which of them are damaged. Damage lasts until a key frame has been shown. Where it has cost a
    picture, the numbers of those behind are not known, so none of them is sound; with a listing they are known.

    Args:
        path: A video file.
        listing: What numbers frames instead of the order in which they come, where it is known.
    """

    def __init__(self, path: Path, listing: Listing | None = None) -> None:
        self._path = path
        self._headers: Headers | None = None
        self._order: Order | None = None
        self._places: list[tuple[int, int]] = []
        self._numbers = {position: number for number, position in enumerate(listing.order)} if listing else None
        self._damage = set(listing.spoiled) if listing else set()
        self._keys: set[int] = set()
        self._times: list[int | None] = []
        self._waiting: set[int] = set()
        self._held: deque[tuple[Frame, int, int]] = deque()
        self._size: tuple[int, int] | None = None
        self._key_shown = self._first = -1
        self._count = 0

    @property
    def lost(self) -> int:
        """Pictures before the first one shown that could not be decoded, for the file begins between key frames."""
        return sum(position < self._first for position in self._waiting)

    def frames(self) -> Generator[Shown]:
        """Yields all that a decoder puts out, in that order.

        Raises:
            OSError: The file cannot be opened or decoded at all, or its pictures change their size.
        """
        try:
            with open_video(self._path) as (container, stream):
                self._headers = headers_of(stream)
                sequence = self._headers.sequence if self._headers else None
                self._order = Order(sequence) if sequence and sequence.tells_order else None
                packets = container.demux(stream)
                packet = self._next(packets)
                while packet is not None:
                    yield from self._feed(stream, packet)
                    packet = self._next(packets)
                yield from self._feed(stream, None)
                yield from self._settled(all_of_them=True)
        except ValueError as error:
            raise OSError(str(error)) from error
        except av.FFmpegError as error:
            raise OSError(f"{self._path} cannot be decoded ({error.strerror}): {AGAIN}") from error

    def _next(self, packets: Iterator[Any]) -> Any:
        try:
            packet = next(packets)
        except (av.FFmpegError, StopIteration):
            return None  # the file ends, as it should or not
        return packet if packet.size else None

    def _feed(self, stream: Any, packet: Any) -> Generator[Shown]:
        position = len(self._times)
        if packet is not None:
            self._times.append(packet.pts)
            if packet.is_corrupt or not self._look(packet, position):
                self._damage.add(position)
            if not packet.is_discard:
                self._waiting.add(position)
            packet.pts = packet.dts = position  # a decoder hands it on to the frame
        try:
            for frame in stream.codec_context.decode(packet):
                self._take(frame)
        except av.FFmpegError:
            if packet is not None:
                self._damage.add(position)
        yield from self._settled()

    def _look(self, packet: Any, position: int) -> bool:
        """Reads a packet's headers, if they can be read, and says whether they are sound."""
        if self._headers is None:
            if packet.is_keyframe:
                self._keys.add(position)
            return True
        data, missing, place = bytes(packet), False, UNPLACED
        try:
            if packet.is_keyframe and self._headers.is_whole(data):
                self._keys.add(position)
            picture = self._headers.picture(data) if self._order else None
            if picture and self._order:
                place, missing = self._order.follow(picture)
        except DamagedError:
            missing = True
        self._places.append(place)
        return not missing

    def _has_lost(self, position: int) -> bool:
        """Whether a picture shown before this one is missing, so that its number is not known."""
        lost = [each for each in self._waiting if each > self._first]
        if self._order is None:
            return any(each < position for each in lost) and any(each <= position for each in self._damage)
        return any(each in self._damage or self._places[each] < self._places[position] for each in lost)

    def _take(self, frame: Frame) -> None:
        size = frame.width, frame.height
        number = self._count + len(self._held)
        if self._size not in (None, size):
            old, new = ("x".join(map(str, each)) for each in (self._size or size, size))
            change = f"changes its picture size at frame {number}, from {old} to {new}"
            raise ValueError(f"{self._path} {change}: encode it anew to one size")
        self._size = size
        position = frame.pts if frame.pts is not None else len(self._times) - 1
        self._waiting.discard(position)
        self._first = position if self._first < 0 else self._first
        if frame.is_corrupt:
            self._damage.add(position)
        if position in self._keys:
            self._key_shown = position
        self._held.append((frame, position, self._key_shown))

    def _settled(self, all_of_them: bool = False) -> Iterator[Shown]:
        while self._held:
            frame, position, key = self._held[0]
            if not all_of_them and any(position - REORDERED < each < position for each in self._waiting):
                return
            self._held.popleft()
            start = key if key <= position else -1
            sound = not any(start <= each <= position for each in self._damage)
            if self._numbers is None:
                number = self._count
                sound = sound and not self._has_lost(position)
            else:
                number = self._numbers.get(position, -1)
            self._count += 1
            frame.pts = self._times[position]
            yield Shown(number, frame, position, sound)
