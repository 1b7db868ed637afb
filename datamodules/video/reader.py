"""The only door to video files: decord and PyAV read frames by index, equal to the bit; PyAV writes."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal, TypeVar

import av
import numpy as np
from numpy.typing import NDArray

from .containers import Box, Frame, TurnFinder
from .packets import decode
from .planes import Converter, Spot, SpotFinder, bright, tight
from .proof import refuse_unproven

Image = NDArray[np.uint8]
"""One frame: (H, W, 3), RGB, 0 to 255."""


Backend = Literal["pyav", "decord", "torchcodec"]


BatchReader = Callable[[list[int]], Iterable[Image]]
"""Reads frames by index."""


FRAMES_AT_ONCE = 16
"""Frames held at a time while a clip is read, at most; by decord at 1280 x 720 this is 44 MB."""


BURST_PX = 8 * 640 * 480
"""Pixels of the frames held at a time by PyAV, unless one has more; each open clip's decoder keeps them, 3.7 MB, and
twice that where colour is not subsampled."""


Made = TypeVar("Made")


class VideoReader:
    """Frames of one file by index, exact, in one forward pass.

    The file is opened at the first read, in the process that reads, with one decoding thread: a reader opened before a
    fork would hang the child. A reader pickles closed. All backends give the same values, or refuse a file.

    A frame's position is the one in which a plain decode from the start puts it out, whatever the header, packets and
    times say. It is turned as a phone's rotation or mirroring says. No frame is given that is damaged, nor one behind
    damage before the next key frame.

    Args:
        path: A video file.
        backend: `pyav` decodes only what the wanted frames need, cuts boxes before it converts them and holds 8 MB a
            clip of 640x480. `decord` is there to compare with: it reads H.264 in MP4 that has closed groups of pictures
            and is neither edited, turned nor damaged. Everything else is refused, for there it gives other pictures;
            to know, the file is decoded once by PyAV. Half-read, it holds 200 to 350 MB.
            `torchcodec` is no dependency of this project and needs a system FFmpeg.

    Examples:
        >>> from datamodules import write_video
        >>> write_video("grey.mp4", [np.full((64, 96, 3), 20 * i, np.uint8) for i in range(6)], "raw")
        >>> [int(image.mean()) for image in VideoReader("grey.mp4").read([1, 4])]
        [20, 80]
    """

    def __init__(self, path: str | Path, backend: Backend = "pyav") -> None:
        self.path = Path(path)
        self.backend = backend

    def read(self, frames: Sequence[int], boxes: Sequence[Box] | None = None) -> Generator[Image]:
        """Yields the frames asked for; closing the iterator frees the decoder.

        Args:
            frames: Indices from 0, in rising order: going back would decode the clip again.
            boxes: What to cut out of each frame, inside it; by default all of it.

        Raises:
            ValueError: The indices do not rise from 0 or more.
            FileNotFoundError: The file is gone.
            OSError: The file cannot be opened or decoded, a frame asked for is damaged or follows damage, the clip ends
                before it or its pictures change their size, or the backend cannot be trusted with it. What comes
                before that frame is given first. An `UnreadableError` says which others cannot be read either.
        """
        self._check(frames)
        return self._pyav(frames, boxes) if self.backend == "pyav" else self._in_batches(frames, boxes)

    def read_bright(self, frames: Sequence[int], threshold: int) -> Generator[Spot]:
        """Yields where any channel of the frames asked for exceeds a threshold, as masks are read.

        Args:
            frames: See `read`.
            threshold: 0 to 254.
        """
        self._check(frames)
        if self.backend == "pyav":
            return self._pyav_bright(frames, threshold)
        return (tight(bright(image, threshold)) for image in self._in_batches(frames, None))

    def _check(self, frames: Sequence[int]) -> None:
        if any(later <= earlier for earlier, later in itertools.pairwise([-1, *frames])):
            raise ValueError(
                f"frames of {self.path} are asked for in the order {list(frames)[:8]}, wanted 0 or more and rising: "
                "sort them first"
            )
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.path} does not exist: has the folder been moved since it was indexed?")

    def _in_batches(self, frames: Sequence[int], boxes: Sequence[Box] | None) -> Generator[Image]:
        """Reads by decord or torchcodec, which give many frames at a time."""
        refuse_unproven(self.path, self.backend)
        try:
            length, read = _open_decord(self.path) if self.backend == "decord" else _open_torchcodec(self.path)
        except ImportError as error:
            raise ValueError(
                f"backend is {self.backend}, which cannot be loaded ({str(error).splitlines()[0]}): install it, "
                "torchcodec with a system FFmpeg, or use pyav"
            ) from error
        except Exception as error:  # both raise their own types and plain RuntimeError
            raise OSError(f"{self.path} cannot be opened as a video: download or copy it again") from error
        if frames and frames[-1] >= length:
            raise OSError(f"{self.path} has {length} frames, but frame {frames[-1]} is wanted: copy it again")
        for start in range(0, len(frames), FRAMES_AT_ONCE):
            wanted = list(frames[start : start + FRAMES_AT_ONCE])
            try:
                images = read(wanted)
            except Exception as error:
                raise OSError(f"{self.path} is damaged at or behind frame {wanted[0]}: copy it again") from error
            if boxes is None:
                yield from images
            else:
                for image, (x0, y0, x1, y1) in zip(images, boxes[start : start + FRAMES_AT_ONCE], strict=True):
                    yield image[y0:y1, x0:x1].copy()  # a view would keep the whole batch

    def _pyav(self, frames: Sequence[int], boxes: Sequence[Box] | None) -> Generator[Image]:
        converter, turns = Converter(), TurnFinder(self.path)
        wanted = iter(boxes) if boxes is not None else itertools.repeat(None)

        def convert(frame: Frame) -> Image:
            box, turn = next(wanted), turns.find(frame)
            try:
                if turn is None:
                    return converter.convert(frame, box)
                coded = turn.undo(box, frame.width, frame.height) if box else None
                return turn.apply(converter.convert(frame, coded))
            except av.FFmpegError as error:
                raise OSError(f"{self.path} has colours that cannot be converted ({error}): encode it anew") from error

        return _in_bursts(decode(self.path, frames), convert)

    def _pyav_bright(self, frames: Sequence[int], threshold: int) -> Generator[Spot]:
        finder, turns = SpotFinder(threshold), TurnFinder(self.path)

        def find(frame: Frame) -> Spot:
            spot, turn = finder.find(frame), turns.find(frame)
            if turn is None or not spot.pixels.size:
                return spot
            x, y, _, _ = turn.move(spot.box, frame.width, frame.height)
            return Spot(turn.apply(spot.pixels), x, y)

        return _in_bursts(decode(self.path, frames), find)


def _in_bursts(frames: Generator[Frame], make: Callable[[Frame], Made]) -> Generator[Made]:
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
