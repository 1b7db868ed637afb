"""Reads what H.264 says of a whole stream, bit by bit (ITU-T H.264, 7.3.2.1)."""

from __future__ import annotations

from typing import NamedTuple

_DEEP_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)


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


class DamagedError(Exception):
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
