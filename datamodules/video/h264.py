"""What H.264 itself says of its pictures, read off their headers without decoding (ITU-T H.264, 7.3 and 8.2.1).

A container's times may be guessed, and a decoder fills in for pictures that are not there without a word. The headers
tell the order in which pictures are shown, and each reference picture is counted: so order and completeness are known
before anything is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from .h264_sequence import DamagedError, Sequence, _Bits, read_sequence

_SLICE, _IDR, _SEQUENCE = 1, 5, 7


_BESIDE = range(6, 14)
"""Types of what stands beside pictures: messages, parameters, delimiters, ends, fillers."""


_INTRA = (2, 4)
"""Slice types that refer to no other picture, modulo 5."""


PADDING = 8
"""Zero bytes that some encoders leave behind a part, at most; more are a hole."""


_HEADER_BYTES = 24
"""Of a slice, from which its header's first fields are read; they take less."""


class PictureHeader(NamedTuple):
    """What the first slice of a picture says.

    Attributes:
        idr: Everything before is forgotten here: decoding may start.
        reference: Others may refer to it.
        number: `frame_num`.
        place: Lower bits of its place in the order shown; 0 where the sequence carries none.
    """

    idr: bool
    reference: bool
    number: int
    place: int


class Headers:
    """Reads the pictures' headers of one stream.

    MP4 and Matroska hold an `avcC` record beside the pictures, and a length before each part of one (ISO/IEC 14496-15,
    5.3); other containers hold a start code before each part instead (Annex B).

    Args:
        extradata: What the container says of the stream.

    Attributes:
        sequence: Of all pictures; None where there is not exactly one, or it cannot be read.
        has_record: Whether there is an `avcC` record.
    """

    def __init__(self, extradata: bytes | None) -> None:
        self.sequence: Sequence | None = None
        self._record = bytes(extradata or b"")
        self.has_record = self._record[:1] == b"\1"
        self._length_size = 0
        sequences = []
        if self.has_record and len(self._record) > 8:
            self._length_size = (self._record[4] & 3) + 1
            sequences = [self._record[8 : 8 + int.from_bytes(self._record[6:8])]] * (self._record[5] & 31)
        elif self._record:
            sequences = [part for part in self.parts(self._record) if part[0] & 31 == _SEQUENCE]
        if len(sequences) == 1:
            with suppress(DamagedError):
                self.sequence = read_sequence(sequences[0])

    def parts(self, data: bytes) -> Iterator[bytes]:
        """Yields the NAL units of a packet.

        Raises:
            DamagedError: Their lengths do not add up, or one holds three zero bytes in a row, which only a hole in the
                file does (7.4.1).
        """
        at, size, end = 0, self._length_size, len(data)
        if not size:
            yield from filter(None, data.split(b"\0\0\1"))
            return
        while at < end:
            start = at + size
            at = start + int.from_bytes(data[start - size : start])
            part = data[start:at]
            if not part or at > end:
                raise DamagedError("the lengths of its parts do not add up")
            if b"\0\0\0" in part and _has_hole(part):
                raise DamagedError("it has a hole")
            yield part

    def picture(self, data: bytes) -> PictureHeader | None:
        """What a packet's first slice says; None where it holds no picture, or the sequence is not known.

        Raises:
            DamagedError: It cannot be read, or holds neither a picture nor anything that stands alone.
        """
        found, alone = None, True
        for part in self.parts(data):
            kind = part[0] & 31
            if found is None and self.sequence and kind in (_SLICE, _IDR):
                found = _read_slice(part, self.sequence)
            alone = alone and kind in _BESIDE
        if found is None and self.sequence and self.has_record and not alone:
            raise DamagedError("it holds no picture, but something else")
        return found

    def starts_anew(self, data: bytes) -> bool:
        """Whether a packet is an IDR picture of this very sequence: decoding may start there."""
        parts = list(self.parts(data))
        others = any(part[0] & 31 == _SEQUENCE and part not in self._record for part in parts)
        return not others and any(part[0] & 31 == _IDR for part in parts)

    def is_whole(self, data: bytes) -> bool:
        """Whether a packet's picture refers to no other: else a clip that calls it a key frame is refreshed bit by bit.

        Raises:
            DamagedError: It cannot be read.
        """
        for part in self.parts(data):
            if part[0] & 31 in (_SLICE, _IDR):
                bits = _Bits(part[1:_HEADER_BYTES].replace(b"\0\0\3", b"\0\0"))
                bits.golomb()
                return bits.golomb() % 5 in _INTRA
        return False


def _has_hole(part: bytes) -> bool:
    written = part.rstrip(b"\0")
    return len(part) - len(written) > PADDING or b"\0\0\0" in written


def _read_slice(unit: bytes, sequence: Sequence) -> PictureHeader:
    kind, bits = unit[0], _Bits(unit[1:_HEADER_BYTES].replace(b"\0\0\3", b"\0\0"))
    bits.golomb(), bits.golomb(), bits.golomb()
    number = bits.take(sequence.frame_number_bits)
    idr = kind & 31 == _IDR
    if idr:
        bits.golomb()
    return PictureHeader(idr, bool(kind & 96), number, bits.take(sequence.order_bits))


class PictureOrder:
    """Follows the pictures of a stream in the order of decoding.

    Args:
        sequence: Of all of them.
    """

    def __init__(self, sequence: Sequence) -> None:
        self._numbers, self._places = 1 << sequence.frame_number_bits, 1 << sequence.order_bits
        self._by_place = sequence.order_type == 0
        self._number: int | None = None
        self._group = self._count = self._low = self._high = 0

    def follow(self, picture: PictureHeader) -> tuple[tuple[int, int], bool]:
        """Takes the next picture.

        Returns:
            Its place in the order shown (8.2.1.1), to be compared with others', and whether reference pictures are
            missing before it (8.2.5.2).
        """
        self._count += 1
        if picture.idr:
            self._number = self._low = self._high = 0
            self._group += 1
        missing = self._number is not None and picture.number != (
            0 if picture.idr else (self._number + 1) % self._numbers
        )
        if picture.reference or self._number is None:
            self._number = picture.number
        if not self._by_place:
            return (self._group, self._count), missing
        high, half = self._high, self._places // 2
        if self._low - picture.place >= half:
            high += self._places
        elif picture.place - self._low > half:
            high -= self._places
        if picture.reference:
            self._low, self._high = picture.place, high
        return (self._group, high + picture.place), missing
