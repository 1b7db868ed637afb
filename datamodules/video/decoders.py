"""What reads the frames of one file: PyAV by itself, decord and torchcodec where they are proven to agree with it."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import av
import numpy as np
from numpy.typing import NDArray

from ..errors import DataFileError, DataValueError
from .containers import Box, Frame, TurnFinder
from .packets import decode
from .planes import Converter, Spot, SpotFinder, mark_bright, tighten
from .proof import refuse_unproven

Image = NDArray[np.uint8]
"""One frame: (H, W, 3), RGB, 0 to 255."""

Backend = Literal["pyav", "decord", "torchcodec"]
"""What decodes, see `VideoReader`."""

FRAMES_AT_ONCE = 16
"""Frames held at a time while a clip is read, at most; by decord at 1280 x 720 this is 44 MB."""

BURST_PX = 8 * 640 * 480
"""Pixels of the frames held at a time by PyAV, unless one has more; each open clip's decoder keeps them, 3.7 MB, and
twice that where colour is not subsampled."""

Made = TypeVar("Made")


class Decoder(Protocol):
    """Reads frames by index in one forward pass; all decoders give the same values, or refuse a file.

    What it opens it opens when the first frame is asked for, and closes when the iterator is.
    """

    def read(self, path: Path, frames: Sequence[int], boxes: Sequence[Box] | None) -> Generator[Image]:
        """Yields frames, or what boxes cut out of them.

        Args:
            path: A video file.
            frames: Indices from 0, rising.
            boxes: One a frame, inside it; None for whole frames.

        Raises:
            OSError: The file cannot be read there, or the decoder cannot be trusted with it; frames before are given
                first.
            ValueError: The decoder is not installed.
        """

    def read_bright(self, path: Path, frames: Sequence[int], threshold: int) -> Generator[Spot]:
        """Yields where any channel of frames exceeds a threshold.

        Args:
            path: A video file.
            frames: Indices from 0, rising.
            threshold: Grey level, 0 to 254.

        Raises:
            OSError: The file cannot be read there, or the decoder cannot be trusted with it; frames before are given
                first.
            ValueError: The decoder is not installed.
        """


class PyAVDecoder:
    """Decodes what the wanted frames need and nothing else, and converts what is cut out of them and nothing else."""

    def read(self, path: Path, frames: Sequence[int], boxes: Sequence[Box] | None) -> Generator[Image]:
        """Yields frames, or what boxes cut out of them, see `Decoder`."""
        converter, turns = Converter(), TurnFinder(path)
        wanted = iter(boxes) if boxes is not None else itertools.repeat(None)

        def convert(frame: Frame) -> Image:
            box, turn = next(wanted), turns.find(frame)
            try:
                if turn is None:
                    return converter.convert(frame, box)
                coded = turn.undo(box, frame.width, frame.height) if box else None
                return turn.apply(converter.convert(frame, coded))
            except av.FFmpegError as error:
                raise DataFileError(f"{path} has colours that cannot be converted ({error}): encode it anew") from error

        return _make_in_bursts(decode(path, frames), convert)

    def read_bright(self, path: Path, frames: Sequence[int], threshold: int) -> Generator[Spot]:
        """Yields where any channel of frames exceeds a threshold, see `Decoder`."""
        finder, turns = SpotFinder(threshold), TurnFinder(path)

        def find(frame: Frame) -> Spot:
            spot, turn = finder.find(frame), turns.find(frame)
            if turn is None or not spot.pixels.size:
                return spot
            x, y, _, _ = turn.move(spot.box, frame.width, frame.height)
            return Spot(turn.apply(spot.pixels), x, y)

        return _make_in_bursts(decode(path, frames), find)


def _make_in_bursts(frames: Generator[Frame], make: Callable[[Frame], Made]) -> Generator[Made]:
    """Makes something of every frame, of several in a row: that and a decoder push each other out of the cache.

    While the caller is busy only the last frame of them is held. A failure is told behind what came before it.
    """
    failure: OSError | None = None
    burst: deque[Frame] = deque()
    made: deque[Made] = deque()
    with closing(frames):
        while True:
            try:
                for frame in itertools.islice(frames, FRAMES_AT_ONCE):
                    burst.append(frame)
                    if (len(burst) + 1) * frame.width * frame.height > BURST_PX:
                        break
            except OSError as error:
                failure = error
            ended = not burst
            try:
                while burst:
                    made.append(make(burst.popleft()))
            except OSError as error:
                failure = error
            while made:
                yield made.popleft()
            if failure:
                raise failure
            if ended:
                return


BatchReader = Callable[[list[int]], Iterable[Image]]
"""Reads frames by index, many at a time."""


class BatchDecoder:
    """Decodes by a package that gives many frames at a time, files in which it is proven to see what PyAV sees.

    Args:
        name: Of the package.
        open_file: Opens a file: its number of frames, and what reads them.
    """

    def __init__(self, name: str, open_file: Callable[[Path], tuple[int, BatchReader]]) -> None:
        self._name = name
        self._open = open_file

    def read(self, path: Path, frames: Sequence[int], boxes: Sequence[Box] | None) -> Generator[Image]:
        """Yields frames, or what boxes cut out of them, see `Decoder`."""
        refuse_unproven(path, self._name)
        try:
            length, read = self._open(path)
        except ImportError as error:
            raise DataValueError(
                f"backend is {self._name}, which cannot be loaded ({str(error).splitlines()[0]}): install it, "
                "torchcodec with a system FFmpeg, or use pyav"
            ) from error
        except Exception as error:  # both raise their own types and plain RuntimeError
            raise DataFileError(f"{path} cannot be opened as a video: download or copy it again") from error
        if frames and frames[-1] >= length:
            raise DataFileError(f"{path} has {length} frames, but frame {frames[-1]} is wanted: copy it again")
        for start in range(0, len(frames), FRAMES_AT_ONCE):
            wanted = list(frames[start : start + FRAMES_AT_ONCE])
            try:
                images = read(wanted)
            except Exception as error:
                raise DataFileError(f"{path} is damaged at or behind frame {wanted[0]}: copy it again") from error
            if boxes is None:
                yield from images
            else:
                for image, (x0, y0, x1, y1) in zip(images, boxes[start : start + FRAMES_AT_ONCE], strict=True):
                    yield image[y0:y1, x0:x1].copy()  # a view would keep the whole batch

    def read_bright(self, path: Path, frames: Sequence[int], threshold: int) -> Generator[Spot]:
        """Yields where any channel of frames exceeds a threshold, see `Decoder`."""
        with closing(self.read(path, frames, None)) as images:
            yield from (tighten(mark_bright(image, threshold)) for image in images)


def _open_decord(path: Path) -> tuple[int, BatchReader]:
    import decord  # here, so that whoever only lists files starts without it

    decoder = decord.VideoReader(os.path.abspath(path), num_threads=1)  # a:b would be taken for a protocol

    def read(frames: list[int]) -> list[Image]:
        # One at a time, which is no slower than get_batch. Where a padded row is four pixels for three, as at width 144
        # with AVX-512, decord2 3.4 takes the padding for a fourth channel; get_batch then fails.
        padded = (decoder[frame].asnumpy() for frame in frames)
        return [image.reshape(len(image), -1)[:, : 3 * image.shape[1]].reshape(*image.shape[:2], 3) for image in padded]

    return len(decoder), read


def _open_torchcodec(path: Path) -> tuple[int, BatchReader]:
    try:
        from torchcodec.decoders import VideoDecoder
    except RuntimeError as error:  # there, but without the FFmpeg that it needs
        raise ImportError(str(error)) from error
    decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1)
    return len(decoder), lambda frames: decoder.get_frames_at(indices=frames).data.numpy()


DECODERS: Mapping[Backend, Decoder] = {
    "pyav": PyAVDecoder(),
    "decord": BatchDecoder("decord", _open_decord),
    "torchcodec": BatchDecoder("torchcodec", _open_torchcodec),
}
