"""Decoded face crops on disk: stored while a clip is decoded, read instead of decoded from then on.

A pass that decoded anything leaves one file, `crops/<kk>/<key>-*.crops`, see `crop_file`; a clip may have several, of
different frames. `crops/used` holds the bytes of all files, finished or not (8 bytes, little-endian); files come, go
and are renamed under its lock only, save that damaged ones go without it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from .crop_file import CropFileReader, CropFileWriter, Cut, Shape, places_of

_PATIENCE_S = 60  # a process that is stopped while it holds the lock must not stop all others

Decode = Callable[[Sequence[int]], Generator[Cut]]
"""Yields the cuts of frames."""


class CropCache:
    """Crops of clips in a folder that workers, ranks and runs share.

    Nothing is evicted: epochs visit all clips in turn, so the oldest is what is needed next. Where the limit leaves no
    room for a clip, or the folder cannot be written to, clips are decoded as without a cache, and what is stored is
    still read; either is said once.

    Making one counts the folder's files and removes what killed processes left unfinished. It can be sent to other
    processes, each of which then finds out by itself that there is no room; `Workers` says one sentence once.

    Args:
        folder: Its subfolder `crops` is used, and made where it is not there.
        limit_gb: In 10^9 bytes, what the files of all runs may take, unfinished ones included. A file counts in whole
            blocks of 4096 bytes and one more for its name.
    """

    def __init__(self, folder: Path, limit_gb: float) -> None:
        self.folder = Path(folder) / "crops"
        self.limit = int(limit_gb * 1e9)
        self._said: set[str] = set()
        self._off = False
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._account(os.O_CREAT) as account:
                _set_used(account, sum(map(_charge, _sizes(self.folder))))
        except OSError as error:
            self._stop(error)

    def read_or_decode(
        self, key: str, frames: Sequence[int], shapes: Sequence[Shape], decode: Decode
    ) -> Generator[Cut]:
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
        places = places_of(self.folder / key[:2], key, wanted)
        missing = {frame: shape for frame, shape in wanted.items() if frame not in places}
        done = 0
        with closing(CropFileReader()) as stored, closing(self._decode_and_store(key, missing, decode)) as decoded:
            for frame in frames:
                cut = stored.read(places[frame]) if frame in places else next(decoded, None)
                if cut is None:
                    break
                yield cut
                done += 1
        if done < len(frames):
            with closing(decode(frames[done:])) as rest:
                yield from rest

    def _decode_and_store(self, key: str, shapes: dict[int, Shape], decode: Decode) -> Generator[Cut]:
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

    def _reserve(self, key: str, shapes: dict[int, Shape]) -> CropFileWriter | None:
        """Begins a file, unless there is one of these frames, or no room, or nothing can be stored any more."""
        if self._off:
            return None
        part = CropFileWriter(self.folder / key[:2], key, shapes)
        try:
            part.path.parent.mkdir(exist_ok=True)
            with self._account() as account:
                if part.path.exists() or part.final.exists():
                    return None
                used = _read_used(account) + _charge(part.size)
                if used <= self.limit:
                    _set_used(account, used)  # first: killed in between, the sum is too large, never too small
                    part.open()
                    return part
        except OSError as error:
            self._drop(part)
            self._stop(error)
            return None
        self._say(
            f"{self.folder} has no room for a clip's crops within {self.limit / 1e9:g} GB: what is not in it is "
            "decoded in every epoch; raise the limit, or empty the folder if its crops are of no more use",
        )
        return None

    def _drop(self, part: CropFileWriter | None) -> None:
        if part is None or part.file < 0:
            return
        if part.owner == os.getpid():  # else a copy, in a process forked meanwhile
            with suppress(OSError), self._account() as account:
                part.path.unlink()
                part.close()
                _set_used(account, max(0, _read_used(account) - _charge(part.size)))
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
        self._off = True
        self._say(
            f"crops can no longer be stored in {self.folder} ({error.strerror}): what is not in it is decoded in every "
            "epoch; make room there, or give a folder that can be written to",
        )

    def _say(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            warnings.warn(sentence, stacklevel=3)


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_used(account: int) -> int:
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
        if not (entry.name.endswith(".part") and _is_abandoned(entry.path)):
            with suppress(FileNotFoundError):  # a damaged one, removed meanwhile
                yield entry.stat().st_size


def _is_abandoned(path: str) -> bool:
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
