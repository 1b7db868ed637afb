"""One file of decoded crops: how it is written, found and read; `cache` says when.

It is `<kk>/<key>-<digest of frames and shapes>.crops`, little-endian and uncompressed:

    16 bytes                magic and version, number of frames, CRC-32 of the rows
    26 a frame              its row: frame, height, width, label, mask unknown or not, CRC-32 of its record, offset
    h * (w * 3 + w / 8)     its record: RGB, then the mask, 1 bit a pixel, each line filled up to a byte

so 256 x 256 pixels take 204,826 bytes. Until it is whole its name ends in `.part`; from then on it never changes.
Nothing is synced: what a power failure tears fails its check.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import struct
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..clips.masks import UNKNOWN, Mask
from ..errors import DataValueError
from ..video.decoders import Image

_HEAD = struct.Struct("<8sII")
_MAGIC = b"PFcrops\x01"  # ends in the version

Shape = tuple[int, int]
"""Height and width."""


class Cut(NamedTuple):
    """The pixels of a crop and what they show.

    Attributes:
        image: (h, w, 3), RGB, 0 to 255.
        mask: (h, w), either wholly 255, not known, or 0 real and 1 forged.
        label: 0 real, 1 fake.
    """

    image: Image
    mask: Mask
    label: int


class CropRecord(NamedTuple):
    """What a file says of one record; `crc` and `offset`, in bytes, are the record's."""

    frame: int
    height: int
    width: int
    label: int
    unknown: int
    crc: int
    offset: int

    @property
    def end(self) -> int:
        """Offset of the first byte behind the record."""
        return self.offset + self.height * (self.width * 3 + -(-self.width // 8))


_RECORD = np.dtype(list(zip(CropRecord._fields, ["<u4", "<u4", "<u4", "u1", "u1", "<u4", "<u8"], strict=True)))

Place = tuple[Path, CropRecord]
"""Where a crop is stored."""


class CropFileWriter:
    """A file being written; its lock tells that its writer lives.

    Args:
        folder: Where to.
        key: Hexadecimal digest that names the clip.
        shapes: Height and width of each frame's crop, in the order of writing; at least one.
    """

    def __init__(self, folder: Path, key: str, shapes: Mapping[int, Shape]) -> None:
        self._rows = _rows_of(shapes)
        name = f"{key}-{hashlib.sha256(self._rows.tobytes()).hexdigest()[:32]}"
        self.path, self.final = folder / f"{name}.part", folder / f"{name}.crops"
        self.size = CropRecord._make(self._rows[-1].item()).end
        self.owner = os.getpid()
        self.file = -1

    def open(self) -> None:
        """Makes the file, locks it and gives it its size."""
        self.file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(self.file, self.size)  # who counts the folder sees the whole size; the disk gives it on writing

    def write(self, number: int, cut: Cut) -> bool:
        """Writes one record, after the last one the head; tells whether the file is whole.

        Raises:
            OSError: The disk is full, or a quota or limit is reached.
            ValueError: The cut has another shape than announced, or a mask of neither kind.
        """
        row, image, mask = self._rows[number], np.ascontiguousarray(cut.image), cut.mask
        shape = (row["height"], row["width"])
        if image.shape != (*shape, 3) or mask.shape != shape:
            raise DataValueError(
                f"frame {row['frame']} gives an image {image.shape} and a mask {mask.shape}, announced were {shape}: "
                "take the shapes from the boxes that decode cuts out"
            )
        unknown = bool((mask == UNKNOWN).all())
        if not unknown and mask.max() > 1:
            raise DataValueError(
                f"the mask of frame {row['frame']} holds {mask.max()}: one bit a pixel keeps 0 and 1, or 255 everywhere"
            )
        bits = np.packbits(mask, axis=1)
        row["label"], row["unknown"], row["crc"] = cut.label, unknown, _crc(image, bits)
        self._put([image.data, bits.data], int(row["offset"]))
        if number + 1 == len(self._rows):
            rows = self._rows.tobytes()
            self._put([_HEAD.pack(_MAGIC, len(self._rows), zlib.crc32(rows)), rows], 0)
        return number + 1 == len(self._rows)

    def _put(self, data: list[Any], offset: int) -> None:
        if os.pwritev(self.file, data, offset) != sum(memoryview(piece).nbytes for piece in data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # a short write: a second one would say so

    def keep(self) -> None:
        """Gives the whole file its final name."""
        self.path.rename(self.final)
        self.close()

    def close(self) -> None:
        """Frees the handle, as often as you like."""
        if self.file >= 0:
            os.close(self.file)
        self.file = -1


def places_of(folder: Path, key: str, wanted: Mapping[int, Shape]) -> dict[int, Place]:
    """Finds those wanted frames of a clip that are stored in their wanted shape."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.startswith(f"{key}-") and name.endswith(".crops"))
    except OSError:
        return {}
    places = [(folder / name, row) for name in names for row in _read_rows(folder / name)]
    return {row.frame: (path, row) for path, row in places if wanted.get(row.frame) == (row.height, row.width)}


class CropFileReader:
    """Reads records; the file of the last one stays open."""

    def __init__(self) -> None:
        self.path, self.file = Path(), -1

    def read(self, place: Place) -> Cut | None:
        """Answers None where the file is gone or the record damaged."""
        path, row = place
        image: Image = np.empty((row.height, row.width, 3), np.uint8)
        bits = np.empty((row.height, -(-row.width // 8)), np.uint8)
        try:
            if path != self.path:
                self.close()
                self.path, self.file = path, os.open(path, os.O_RDONLY)
            size = os.preadv(self.file, [image.data, bits.data], row.offset)
        except OSError:
            return None
        if size != row.end - row.offset or _crc(image, bits) != row.crc:
            _remove(path)
            return None
        mask: Mask = np.unpackbits(bits, axis=1, count=row.width)
        if row.unknown:
            mask.fill(UNKNOWN)
        return Cut(image, mask, row.label)

    def close(self) -> None:
        """Frees the handle, as often as you like."""
        if self.file >= 0:
            os.close(self.file)
        self.path, self.file = Path(), -1


def _crc(image: Image, bits: NDArray[np.uint8]) -> int:
    return zlib.crc32(bits.data, zlib.crc32(image.data))


def _rows_of(shapes: Mapping[int, Shape]) -> NDArray[np.void]:
    """Rows of a file to be written, where what only the decoded cuts tell is 0."""
    rows: list[CropRecord] = []
    offset = _HEAD.size + _RECORD.itemsize * len(shapes)
    for frame, (height, width) in shapes.items():
        rows.append(CropRecord(frame, height, width, 0, 0, 0, offset))
        offset = rows[-1].end
    return np.array(rows, _RECORD)


def _read_rows(path: Path) -> list[CropRecord]:
    """What a file holds; a damaged one holds nothing and is removed."""
    try:
        with path.open("rb") as file:
            size, head = os.fstat(file.fileno()).st_size, file.read(_HEAD.size)
            magic, count, crc = _HEAD.unpack(head) if len(head) == _HEAD.size else (b"", 0, 0)
            table = file.read(count * _RECORD.itemsize) if magic == _MAGIC and count * _RECORD.itemsize < size else b""
    except OSError:
        return []
    if table and zlib.crc32(table) == crc:
        rows = [CropRecord._make(row) for row in np.frombuffer(table, _RECORD).tolist()]
        if rows[-1].end == size:
            return rows
    _remove(path)
    return []


def _remove(path: Path) -> None:
    """Removes a damaged file; its size stays counted until the next run counts anew."""
    with suppress(OSError):
        path.unlink()
