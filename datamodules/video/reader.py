"""The only door to video files: frames by index, equal to the bit whichever decoder reads them."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Sequence
from pathlib import Path

from ..errors import DataMissingError, DataValueError
from .containers import Box
from .decoders import DECODERS, Backend, Image
from .planes import Spot


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
        >>> import numpy as np
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
        return DECODERS[self.backend].read(self.path, frames, boxes)

    def read_bright(self, frames: Sequence[int], threshold: int) -> Generator[Spot]:
        """Yields where any channel of the frames asked for exceeds a threshold, as masks are read.

        Args:
            frames: Indices from 0, in rising order.
            threshold: Grey level, 0 to 254.

        Raises:
            ValueError: The indices do not rise from 0 or more.
            FileNotFoundError: The file is gone.
            OSError: The file cannot be opened or decoded, or a frame asked for is damaged or not there. What comes
                before that frame is given first.
        """
        self._check(frames)
        return DECODERS[self.backend].read_bright(self.path, frames, threshold)

    def _check(self, frames: Sequence[int]) -> None:
        if any(later <= earlier for earlier, later in itertools.pairwise([-1, *frames])):
            raise DataValueError(
                f"frames of {self.path} are asked for in the order {list(frames)[:8]}, wanted 0 or more and rising: "
                "sort them first"
            )
        if not self.path.is_file():
            raise DataMissingError(f"{self.path} does not exist: has the folder been moved since it was indexed?")
