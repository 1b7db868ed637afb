"""Plays a clip from its start, as a decoder without any knowledge of it does, and looks at every picture."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av

from ..errors import DataFileError, DataValueError
from .containers import Frame, open_video
from .h264 import Headers, PictureOrder
from .h264_sequence import DamagedError
from .listing import PROVABLE, Listing, headers_of

REORDERED = 20
"""Pictures that may be decoded between two that are shown one after the other, more than H.264's 16."""

SILENT = ("mjpeg", "mpeg1video", "mpeg2video")
"""Codecs of whose pictures FFmpeg leaves out what it cannot decode without a word: what was in memory before shows."""

NOWHERE = (-1, 0)
"""Place in the order shown of a picture whose own is not known."""


class ShownFrame(NamedTuple):
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
    FFmpeg has said which of them are damaged. Damage lasts until a key frame has been shown. Where it is seen to
    have cost a picture, the numbers of those behind are not known, so none of them is sound.

    Args:
        path: A video file.
        listing: What numbers frames instead of the order in which they come, where it is known.

    Attributes:
        begins_grey: Pictures came out before the first key frame, which they refer to.
    """

    def __init__(self, path: Path, listing: Listing | None = None) -> None:
        self._path = path
        self._headers: Headers | None = None
        self._order: PictureOrder | None = None
        self._places: list[tuple[int, int]] = []
        self._numbers = {position: number for number, position in enumerate(listing.order)} if listing else None
        self._damage = set(listing.spoiled) if listing else set()
        self._damage_rising = sorted(self._damage)
        self._is_uncertain = False
        self._is_withheld = self._timed = False
        self._witness: Any = None
        self.begins_grey = False
        self._keys: set[int] = set()
        self._keys_cut_off: set[int] = set()
        self._times: list[int | None] = []
        self._waiting: set[int] = set()
        self._held: deque[tuple[Frame, int, int]] = deque()
        self._size: tuple[int, int] | None = None
        self._key_shown = self._first = -1
        self._count = 0

    @property
    def lost(self) -> int:
        """Pictures before the first one shown that could not be decoded: the file begins without a whole key frame."""
        if self._first < 0:
            return 0
        place = self._places[self._first]
        return sum(each < self._first or NOWHERE < self._places[each] < place for each in self._waiting)

    def frames(self) -> Generator[ShownFrame]:
        """Yields all that a decoder puts out, in that order.

        Raises:
            OSError: The file cannot be opened or decoded at all, or its pictures change their size.
        """
        try:
            with open_video(self._path) as (container, stream):
                self._headers = headers_of(stream)
                sequence = self._headers.sequence if self._headers else None
                self._order = PictureOrder(sequence) if sequence and sequence.tells_order else None
                # These put out nothing before their first whole picture; others put out grey.
                self._is_withheld = stream.codec_context.name in ("h264", "hevc")
                # Each packet is a picture with its time.
                self._timed = stream.codec_context.name == "hevc" and container.format.name in PROVABLE
                if stream.codec_context.name in SILENT:
                    self._witness = strict_decoder(stream)
                packets = container.demux(stream)
                packet = self._next(packets)
                while packet is not None:
                    yield from self._feed(stream, packet)
                    packet = self._next(packets)
                yield from self._feed(stream, None)
                yield from self._take_settled(all_of_them=True)
        except DataValueError as error:
            raise DataFileError(str(error)) from error

    def _next(self, packets: Iterator[Any]) -> Any:
        try:
            packet = next(packets)
        except OSError:
            raise  # the disk fails, not the file
        except (av.FFmpegError, StopIteration):
            return None  # the file ends, as it should or not
        return packet if packet.size else None

    def _feed(self, stream: Any, packet: Any) -> Generator[ShownFrame]:
        position = len(self._times)
        if packet is not None:
            self._look(packet, position)
            if self._witness is not None:
                try:
                    self._witness.decode(packet)
                except av.FFmpegError:
                    self._note_damage(position)
            self._times.append(packet.pts)
            packet.pts = packet.dts = position  # a decoder hands it on to the frame
        try:
            for frame in stream.codec_context.decode(packet):
                self._take(frame)
        except av.FFmpegError:
            if packet is not None:
                self._note_damage(position)
                self._waiting |= set() if packet.is_discard else {position}
        yield from self._take_settled()

    def _look(self, packet: Any, position: int) -> None:
        """Notes what a packet says of itself and, where they can be read, what its headers say."""
        shows, sound, key, place = not packet.is_discard, not packet.is_corrupt, packet.is_keyframe, NOWHERE
        if self._headers is not None:
            data = bytes(packet)
            try:
                key = key and self._headers.is_whole(data)
                picture = self._headers.picture(data)
                if picture is None:
                    shows = shows and self._order is None
                elif self._order is not None:
                    place, missing = self._order.follow(picture)
                    sound = sound and not missing
            except DamagedError:
                sound = False
        elif self._timed and packet.pts is not None:
            place = 0, packet.pts
        self._places.append(place)
        if key:
            (self._keys if shows else self._keys_cut_off).add(position)
        if shows:
            self._waiting.add(position)
        if not sound:
            self._note_damage(position)

    def _note_damage(self, position: int) -> None:
        if position not in self._damage:
            self._damage.add(position)
            insort(self._damage_rising, position)

    def _is_damaged(self, first: int, last: int) -> bool:
        """Whether any of these pictures is."""
        at = bisect_left(self._damage_rising, first)
        return at < len(self._damage_rising) and self._damage_rising[at] <= last

    def _has_lost(self, position: int) -> bool:
        """Whether a picture shown before this one is missing, so that its number is not known."""
        place, first = self._places[position], self._places[self._first]
        placed = NOWHERE not in (place, first)
        if self._is_uncertain or not (placed or self._damage):
            return self._is_uncertain
        lost = [each for each in self._waiting if each > self._first]
        hurt = [each for each in lost if each in self._damage]
        if hurt:
            self._is_uncertain = min(hurt) + REORDERED < len(self._times)  # it does not come any more
            return True
        if placed:
            return any(first < self._places[each] < place for each in lost)
        return any(each < position for each in lost) and self._damage_rising[0] <= position

    def _take(self, frame: Frame) -> None:
        size = frame.width, frame.height
        number = self._count + len(self._held)
        if self._size not in (None, size):
            old, new = ("x".join(map(str, each)) for each in (self._size or size, size))
            change = f"changes its picture size at frame {number}, from {old} to {new}"
            raise DataValueError(f"{self._path} {change}: encode it anew to one size")
        self._size = size
        position = frame.pts if frame.pts is not None else len(self._times) - 1
        self._waiting.discard(position)
        first, self._first = self._first < 0, position if self._first < 0 else self._first
        if frame.is_corrupt:
            self._note_damage(position)
        if position in self._keys:
            self._key_shown = position
        self._key_shown = max([self._key_shown, *(key for key in self._keys_cut_off if key < position)])
        self.begins_grey = self.begins_grey or (first and not self._is_withheld and self._key_shown < 0)
        self._held.append((frame, position, self._key_shown))

    def _take_settled(self, all_of_them: bool = False) -> Iterator[ShownFrame]:
        while self._held:
            frame, position, key = self._held[0]
            coming = len(self._times) <= position + REORDERED  # what has not come by then is lost
            if not all_of_them and coming and any(position - REORDERED < each < position for each in self._waiting):
                return
            self._held.popleft()
            start = key if key <= position else -1
            sound = (self._is_withheld or start >= 0) and not self._is_damaged(start, position)
            if self._numbers is None:
                number = self._count
                sound = sound and not self._has_lost(position)
            else:
                number = self._numbers.get(position, -1)
                sound = sound and number == self._count  # else a picture was dropped, and which number is right?
            self._count += 1
            frame.pts = self._times[position]
            yield ShownFrame(number, frame, position, sound)


def strict_decoder(stream: Any) -> Any:
    """A decoder of a stream's packets that fails at whatever is wrong with one."""
    decoder = av.CodecContext.create(stream.codec_context.name, "r")
    decoder.extradata = stream.codec_context.extradata
    decoder.thread_type, decoder.thread_count = "NONE", 1
    decoder.options = {"err_detect": "explode"}
    return decoder
