"""Tells an MP4 file whose index can be believed from one that needs a closer look, by its boxes (ISO/IEC 14496-12)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

UPRIGHT = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
"""The matrix of a film that is shown as it is coded."""

_IN_PIECES = {b"moof", b"mfra", b"sidx", b"styp", b"mvex"}
_CONTAINERS = {b"trak", b"mdia", b"minf", b"stbl"}


def is_plain(file: BinaryIO) -> bool:
    """Whether a file is in one piece, with one description of each track's pictures, and shown as it is coded."""
    size = file.seek(0, 2)
    at, index = 0, b""
    while at + 8 <= size:
        file.seek(at)
        header = file.read(16)
        length, kind = struct.unpack(">I4s", header[:8])
        start = at + 8
        if length == 1:
            length, start = int.from_bytes(header[8:16]), at + 16
        if kind in _IN_PIECES or (length and length < start - at):
            return False
        stop = min(size, at + length) if length else size
        if kind == b"moov":
            file.seek(start)
            index += file.read(stop - start)
        at = stop
    return bool(index) and all(_is_plain(kind, content) for kind, content in _boxes(index))


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        length = length if length >= 8 else len(data) - at
        content = data[at + 8 : at + length]
        yield kind, content
        if kind in _CONTAINERS:
            yield from _boxes(content)
        at += length


def _is_plain(kind: bytes, content: bytes) -> bool:
    if kind in (b"mvhd", b"tkhd"):
        long = content[:1] == b"\1"
        start = (4 + (28 if long else 16) if kind == b"mvhd" else 4 + (32 if long else 20)) + 16
        return content[start : start + len(UPRIGHT)] == UPRIGHT
    if kind == b"stsd":
        return int.from_bytes(content[4:8]) == 1
    return kind not in _IN_PIECES
