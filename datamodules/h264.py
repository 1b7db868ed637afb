"""What H.264 itself says of its pictures, read off their headers without decoding (ITU-T H.264, 7.3 and 8.2.1).

A container's times may be guessed, and a decoder fills in for pictures that are not there without a word. The headers
tell the order in which pictures are shown, and each reference picture is counted: so order and completeness are known
before anything is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

_DEEP_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)
_SLICE, _IDR, _SEQUENCE = 1, 5, 7
_BESIDE = range(6, 14)
"""Types of what stands beside pictures: messages, parameters, delimiters, ends, fillers."""

_INTRA = (2, 4)
"""Slice types that refer to no other picture, modulo 5."""

PADDING = 8
"""Zero bytes that some encoders leave behind a part, at most; more are a hole."""

_HEADER_BYTES = 24
"""Of a slice, from which its header's first fields are read; they take less."""


class Sequence(NamedTuple):
    """What a sequence parameter set says, as far as it is needed here.

    Attributes:
        frame_number_bits: Length of `frame_num`.
        order_type: 0: pictures carry their place in the order shown; 2: they are shown as they are decoded; 1: neither.
        order_bits: Length of a place.
        fields: Pictures may be fields.
        gaps: Reference pictures may be left out on purpose.
        planes_apart: Colours are coded as pictures of their own.
        reorders: How many pictures a decoder must hold back is said, or that it needs none.
    """

    frame_number_bits: int
    order_type: int
    order_bits: int
    fields: bool
    gaps: bool
    planes_apart: bool
    reorders: bool

    @property
    def tells_order(self) -> bool:
        """Whether order and completeness of a stream follow from its slices' headers alone."""
        return self.order_type != 1 and self.reorders and not (self.fields or self.gaps or self.planes_apart)


class Picture(NamedTuple):
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


class DamagedError(ValueError):
    """The bytes of a picture are none that an encoder writes."""


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data), 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise DamagedError("a header ends early")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def golomb(self) -> int:
        zeros = self._left - (self._value & ((1 << self._left) - 1)).bit_length()
        if zeros > 31:
            raise DamagedError("a header holds a number that is too large")
        self.take(zeros)
        return self.take(zeros + 1) - 1


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

    def picture(self, data: bytes) -> Picture | None:
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


def read_sequence(unit: bytes) -> Sequence:
    """Reads a sequence parameter set (7.3.2.1.1).

    Raises:
        DamagedError: It cannot be read.
    """
    bits = _Bits(unit[1:].replace(b"\0\0\3", b"\0\0"))
    profile = bits.take(24) >> 16
    bits.golomb()
    apart = False
    if profile in _DEEP_PROFILES:
        chroma = bits.golomb()
        apart = chroma == 3 and bool(bits.take(1))
        bits.golomb(), bits.golomb(), bits.take(1)
        if bits.take(1):
            for number in range(12 if chroma == 3 else 8):
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if number < 6 else 64)
    number_bits = bits.golomb() + 4
    order_type = bits.golomb()
    order_bits = 0
    if order_type == 0:
        order_bits = bits.golomb() + 4
    elif order_type == 1:
        bits.take(1), bits.golomb(), bits.golomb()
        for _ in range(bits.golomb()):
            bits.golomb()
    references = bits.golomb()
    gaps = bool(bits.take(1))
    bits.golomb(), bits.golomb()
    fields = not bits.take(1)
    if fields:
        bits.take(1)
    bits.take(1)
    if bits.take(1):
        for _ in range(4):
            bits.golomb()
    reorders = order_type == 2 or not references or bool(bits.take(1) and _says_reordering(bits))
    return Sequence(number_bits, order_type, order_bits, fields, gaps, apart, reorders)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            coded = bits.golomb()
            following = (last + (coded + 1) // 2 * (1 if coded % 2 else -1)) % 256
        last = following or last


def _says_reordering(bits: _Bits) -> bool:
    """Reads the usability information up to `bitstream_restriction_flag` (E.1.1)."""
    if bits.take(1) and bits.take(8) == 255:
        bits.take(32)
    if bits.take(1):
        bits.take(1)
    if bits.take(1):
        bits.take(4)
        if bits.take(1):
            bits.take(24)
    if bits.take(1):
        bits.golomb(), bits.golomb()
    if bits.take(1):
        bits.take(65)
    rates = [bool(bits.take(1)) and _skip_rate(bits) for _ in range(2)]
    if any(rates):
        bits.take(1)
    bits.take(1)
    return bool(bits.take(1))


def _skip_rate(bits: _Bits) -> bool:
    count = bits.golomb() + 1
    bits.take(8)
    for _ in range(count):
        bits.golomb(), bits.golomb(), bits.take(1)
    bits.take(20)
    return True


def _read_slice(unit: bytes, sequence: Sequence) -> Picture:
    kind, bits = unit[0], _Bits(unit[1:_HEADER_BYTES].replace(b"\0\0\3", b"\0\0"))
    bits.golomb(), bits.golomb(), bits.golomb()
    number = bits.take(sequence.frame_number_bits)
    idr = kind & 31 == _IDR
    if idr:
        bits.golomb()
    return Picture(idr, bool(kind & 96), number, bits.take(sequence.order_bits))


class Order:
    """Follows the pictures of a stream in the order of decoding.

    Args:
        sequence: Of all of them.
    """

    def __init__(self, sequence: Sequence) -> None:
        self._numbers, self._places = 1 << sequence.frame_number_bits, 1 << sequence.order_bits
        self._by_place = sequence.order_type == 0
        self._number: int | None = None
        self._group = self._count = self._low = self._high = 0

    def follow(self, picture: Picture) -> tuple[tuple[int, int], bool]:
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
