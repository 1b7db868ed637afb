"""Decoded face crops on disk: stored while a clip is decoded, read instead of decoded from then on.

A pass that decoded anything leaves one file, `crops/<kk>/<key>-<digest of frames and shapes>.crops`, which never
changes; a clip may have several, of different frames. All is little-endian and uncompressed:

    16 bytes                magic and version, number of frames, CRC-32 of the rows
    26 a frame              its row: frame, height, width, label, mask unknown or not, CRC-32 of its record, offset
    h * (w * 3 + w / 8)     its record: RGB, then the mask, 1 bit a pixel, each line filled up to a byte

so 256 x 256 pixels take 204,826 bytes. Nothing is synced: what a power failure tears fails its check. `crops/used`
holds the bytes of all files, finished or not (8 bytes); files come, go and are renamed under its lock only.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import struct
import time
import warnings
import zlib
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager, suppress
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .masks import UNKNOWN, Mask
from .video import Image

_HEAD = struct.Struct("<8sII")
_MAGIC = b"PFcrops\x01"  # ends in the version
_PATIENCE_S = 60  # a process that is stopped while it holds the lock must not stop all others


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


class _Row(NamedTuple):
    frame: int
    height: int
    width: int
    label: int
    unknown: int
    crc: int
    offset: int

    @property
    def end(self) -> int:
        return self.offset + self.height * (self.width * 3 + -(-self.width // 8))


_ROW = np.dtype(list(zip(_Row._fields, ["<u4", "<u4", "<u4", "u1", "u1", "<u4", "<u8"], strict=True)))

_Place = tuple[Path, _Row]
_Shape = tuple[int, int]
_Decode = Callable[[Sequence[int]], Generator[Cut]]


class CropCache:
    """Crops of clips in a folder that workers, ranks and runs share.

    Nothing is evicted: epochs visit all clips in turn, so the oldest is what is needed next. Where the limit leaves no
    room for a clip, or the folder cannot be written to, clips are decoded as without a cache, and what is stored is
    still read; either is said once, whichever worker meets it.

    Making one counts the folder's files and removes what killed processes left unfinished. It can be handed to
    processes as they start, forked or spawned.

    Args:
        folder: Its subfolder `crops` is used, and made where it is not there.
        limit_gb: In 10^9 bytes, what the files of all runs may take, unfinished ones included. A file counts in whole
            blocks of 4096 bytes and one more for its name.
    """

    def __init__(self, folder: Path, limit_gb: float) -> None:
        self.folder = Path(folder) / "crops"
        self.limit = int(limit_gb * 1e9)
        self._full = RawValue("b", 0)  # all workers share it; one with a lock could be forked or spawned, not both
        self._off = RawValue("b", 0)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._account(os.O_CREAT) as account:
                _set_used(account, sum(map(_charge, _sizes(self.folder))))
        except OSError as error:
            self._stop(error)

    def through(self, key: str, frames: Sequence[int], shapes: Sequence[_Shape], decode: _Decode) -> Generator[Cut]:
        """Yields cuts of one clip, stored ones from their files, the others decoded and stored on the way.

        Args:
            key: Hexadecimal digest of all that shapes the cuts of this clip.
            frames: Indices in rising order.
            shapes: Height and width of each frame's cut; a stored one of another shape is decoded.
            decode: Yields the cuts of frames. Called at most once, with what is missing; a second time only where a
                stored cut is found damaged, with all frames from there on.

        Raises:
            ValueError: A decoded cut has another shape than announced, or a mask of neither kind.
        """
        wanted = dict(zip(frames, shapes, strict=True))
        places = self._find(key, wanted)
        missing = {frame: shape for frame, shape in wanted.items() if frame not in places}
        done = 0
        with closing(_Reader()) as stored, closing(self._decoded(key, missing, decode)) as decoded:
            for frame in frames:
                cut = stored.read(places[frame]) if frame in places else next(decoded, None)
                if cut is None:
                    break
                yield cut
                done += 1
        if done < len(frames):
            with closing(decode(frames[done:])) as rest:
                yield from rest

    def _find(self, key: str, wanted: dict[int, _Shape]) -> dict[int, _Place]:
        folder = self.folder / key[:2]
        try:
            names = sorted(
                name for name in os.listdir(folder) if name.startswith(f"{key}-") and name.endswith(".crops")
            )
        except OSError:
            return {}
        places = [(folder / name, row) for name in names for row in _read_rows(folder / name)]
        return {place[1].frame: place for place in places if wanted.get(place[1].frame) == place[1][1:3]}

    def _decoded(self, key: str, shapes: dict[int, _Shape], decode: _Decode) -> Generator[Cut]:
        part = self._reserve(key, shapes)
        try:
            with closing(decode(list(shapes))) as cuts:
                for number, cut in enumerate(cuts):
                    try:
                        if part and part.write(number, cut):
                            with self._account():
                                part.keep()
                            part = None
                    except OSError as error:
                        self._drop(part)
                        part = None
                        self._stop(error)
                    yield cut
        finally:
            self._drop(part)

    def _reserve(self, key: str, shapes: dict[int, _Shape]) -> _Part | None:
        """Begins a file, unless there is one of these frames, or no room, or nothing can be stored any more."""
        if self._off.value:
            return None
        rows = _rows_of(shapes)
        digest = hashlib.sha256(rows.tobytes()).hexdigest()[:32]
        part = _Part(self.folder / key[:2] / f"{key}-{digest}.part", rows)
        try:
            part.path.parent.mkdir(exist_ok=True)
            with self._account() as account:
                if part.path.exists() or part.final.exists():
                    return None
                used = _used(account) + _charge(part.size)
                if used <= self.limit:
                    _set_used(account, used)  # first: killed in between, the sum is too large, never too small
                    part.open()
                    return part
        except OSError as error:
            self._drop(part)
            self._stop(error)
            return None
        self._say(
            self._full,
            f"{self.folder} has no room for a clip's crops within {self.limit / 1e9:g} GB: what is not in it is "
            "decoded in every epoch; raise the limit, or empty the folder if its crops are of no more use",
        )
        return None

    def _drop(self, part: _Part | None) -> None:
        if part is None or part.file < 0:
            return
        if part.owner == os.getpid():  # else a copy, in a process forked meanwhile
            with suppress(OSError), self._account() as account:
                part.path.unlink()
                part.close()
                _set_used(account, max(0, _used(account) - _charge(part.size)))
        part.close()

    @contextmanager
    def _account(self, flags: int = 0) -> Generator[int]:
        """Holds the folder's lock and yields the file that counts what is used."""
        file = os.open(self.folder / "used", os.O_RDWR | flags, 0o666)
        try:
            patient_until = time.monotonic() + _PATIENCE_S
            while not _lock(file):
                if time.monotonic() > patient_until:
                    raise TimeoutError(errno.ETIMEDOUT, f"another process has locked it for {_PATIENCE_S} s")
                time.sleep(0.005)
            yield file
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # close() alone would leave it to a process forked meanwhile
            os.close(file)

    def _stop(self, error: OSError) -> None:
        self._say(
            self._off,
            f"crops can no longer be stored in {self.folder} ({error}): what is not in it is decoded in every epoch; "
            "make room there, or give a folder that can be written to",
        )

    def _say(self, said: Any, sentence: str) -> None:
        if not said.value:
            said.value = 1
            warnings.warn(sentence, stacklevel=3)


class _Part:
    """A file being written; its lock tells that its writer lives."""

    def __init__(self, path: Path, rows: NDArray[np.void]) -> None:
        self.path, self.final = path, path.with_suffix(".crops")
        self.rows = rows
        self.size = _Row._make(rows[-1].item()).end
        self.owner = os.getpid()
        self.file = -1

    def open(self) -> None:
        self.file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(self.file, self.size)  # who counts the folder sees the whole size; the disk gives it on writing

    def write(self, number: int, cut: Cut) -> bool:
        """Writes one record, after the last one the head; tells whether the file is whole."""
        row, image, mask = self.rows[number], np.ascontiguousarray(cut.image), cut.mask
        shape = (row["height"], row["width"])
        if image.shape != (*shape, 3) or mask.shape != shape:
            raise ValueError(
                f"frame {row['frame']} gives an image {image.shape} and a mask {mask.shape}, announced were {shape}: "
                "take the shapes from the boxes that decode cuts out"
            )
        unknown = bool((mask == UNKNOWN).all())
        if not unknown and mask.max() > 1:
            raise ValueError(
                f"the mask of frame {row['frame']} holds {mask.max()}: one bit a pixel keeps 0 and 1, or 255 everywhere"
            )
        bits = np.packbits(mask, axis=1)
        row["label"], row["unknown"], row["crc"] = cut.label, unknown, _crc(image, bits)
        self._put([image.data, bits.data], int(row["offset"]))
        if number + 1 == len(self.rows):
            rows = self.rows.tobytes()
            self._put([_HEAD.pack(_MAGIC, len(self.rows), zlib.crc32(rows)), rows], 0)
        return number + 1 == len(self.rows)

    def _put(self, data: list[Any], offset: int) -> None:
        if os.pwritev(self.file, data, offset) != sum(memoryview(piece).nbytes for piece in data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # a short write: a second one would say so

    def keep(self) -> None:
        self.path.rename(self.final)
        self.close()

    def close(self) -> None:
        if self.file >= 0:
            os.close(self.file)
        self.file = -1


class _Reader:
    """Reads records; the file of the last one stays open."""

    def __init__(self) -> None:
        self.path, self.file = Path(), -1

    def read(self, place: _Place) -> Cut | None:
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
        if self.file >= 0:
            os.close(self.file)
        self.path, self.file = Path(), -1


def _crc(image: Image, bits: NDArray[np.uint8]) -> int:
    return zlib.crc32(bits.data, zlib.crc32(image.data))


def _rows_of(shapes: dict[int, _Shape]) -> NDArray[np.void]:
    """Rows of a file to be written, where what only the decoded cuts tell is 0."""
    rows: list[_Row] = []
    offset = _HEAD.size + _ROW.itemsize * len(shapes)
    for frame, (height, width) in shapes.items():
        rows.append(_Row(frame, height, width, 0, 0, 0, offset))
        offset = rows[-1].end
    return np.array(rows, _ROW)


def _read_rows(path: Path) -> list[_Row]:
    """What a file holds; a damaged one holds nothing and is removed."""
    try:
        with path.open("rb") as file:
            size, head = os.fstat(file.fileno()).st_size, file.read(_HEAD.size)
            magic, count, crc = _HEAD.unpack(head) if len(head) == _HEAD.size else (b"", 0, 0)
            table = file.read(count * _ROW.itemsize) if magic == _MAGIC and count * _ROW.itemsize < size else b""
    except OSError:
        return []
    if table and zlib.crc32(table) == crc:
        rows = [_Row._make(row) for row in np.frombuffer(table, _ROW).tolist()]
        if rows[-1].end == size:
            return rows
    _remove(path)
    return []


def _remove(path: Path) -> None:
    """Removes a damaged file; its size stays counted until the next run counts anew."""
    with suppress(OSError):
        path.unlink()


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _used(account: int) -> int:
    content = os.pread(account, 8, 0)
    if len(content) < 8:
        raise OSError(errno.EIO, "the count of what is used is damaged")
    return int.from_bytes(content, "little")


def _set_used(account: int, size: int) -> None:
    os.pwrite(account, size.to_bytes(8, "little"), 0)


def _charge(size: int) -> int:
    return (-(-size // 4096) + 1) * 4096


def _sizes(folder: Path) -> Generator[int]:
    """Sizes of all files; removes those whose writer was killed."""
    for entry in [file for shelf in os.scandir(folder) if shelf.is_dir() for file in os.scandir(shelf)]:
        if not (entry.name.endswith(".part") and _abandoned(entry.path)):
            with suppress(FileNotFoundError):  # a damaged one, removed meanwhile
                yield entry.stat().st_size


def _abandoned(path: str) -> bool:
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:  # another user's
        return False
    try:
        if alone := _lock(file):
            os.unlink(path)
        return alone
    finally:
        os.close(file)
