"""The only door to video files: decord reads frames by index, PyAV reads headers and writes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""One frame: (H, W, 3), RGB, 0 to 255."""

FRAMES_AT_ONCE = 16
"""Frames held at a time while a clip is read; at 1280 x 720 this is 44 MB."""


class VideoFacts(NamedTuple):
    """What a file's header says.

    Attributes:
        frames: Number of frames.
        width: Pixels.
        height: Pixels.
        fps: Frames a second. Never used to pair frames: forged clips carry other rates than their targets.
    """

    frames: int
    width: int
    height: int
    fps: float


def probe(path: str | Path) -> VideoFacts:
    """Reads a header without decoding; where the header lacks the number of frames, counts the packets.

    Raises:
        ValueError: The file is no readable video.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            frames = stream.frames or sum(1 for packet in container.demux(stream) if packet.size)
            return VideoFacts(frames, stream.width, stream.height, float(stream.average_rate or 0))
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"{path} cannot be read as a video ({error}): download or copy it again") from error


class VideoReader:
    """Frames of one file by index, exact, in one forward pass.

    The file is opened at the first read, in the process that reads, with one decoding thread: a reader opened before a
    fork would hang the child. A reader pickles closed.

    Args:
        path: A video file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._decoder: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_decoder": None}

    def __len__(self) -> int:
        return len(self._open())

    def read(self, frames: Sequence[int]) -> Iterator[Image]:
        """Yields the frames asked for, each an `Image`.

        Args:
            frames: Indices from 0, in rising order: going back would decode the clip again.

        Raises:
            ValueError: The indices do not rise.
            IndexError: A frame lies behind the end.
            OSError: The file cannot be decoded.
        """
        if any(later <= earlier for earlier, later in itertools.pairwise(frames)):
            raise ValueError(f"frames of {self.path} are asked for in the order {list(frames)[:8]}...: sort them first")
        decoder = self._open()
        if len(frames) and not 0 <= frames[0] <= frames[-1] < len(decoder):
            raise IndexError(
                f"{self.path} has frames 0 to {len(decoder) - 1}, but {frames[0]} to {frames[-1]} were asked for"
            )
        for start in range(0, len(frames), FRAMES_AT_ONCE):
            wanted = list(frames[start : start + FRAMES_AT_ONCE])
            try:
                images: NDArray[np.uint8] = decoder.get_batch(wanted).asnumpy()
            except Exception as error:  # decord raises its own types and plain RuntimeError
                raise OSError(
                    f"{self.path} cannot be decoded at frames {wanted[0]} to {wanted[-1]}: copy it again"
                ) from error
            yield from images

    def close(self) -> None:
        """Frees the decoder; the next read opens the file again."""
        self._decoder = None

    def _open(self) -> Any:
        if self._decoder is None:
            import decord  # here, so that workers start without it

            if not self.path.is_file():
                raise FileNotFoundError(f"{self.path} does not exist: has the folder been moved since it was indexed?")
            try:
                self._decoder = decord.VideoReader(str(self.path), num_threads=1)
            except Exception as error:
                raise OSError(f"{self.path} cannot be opened as a video: download or copy it again") from error
        return self._decoder


QUALITIES: dict[str, tuple[str, str, str]] = {
    "raw": ("libx264rgb", "rgb24", "0"),
    "c23": ("libx264", "yuv420p", "23"),
    "c40": ("libx264", "yuv420p", "40"),
}
"""Codec, pixel format and constant rate factor of the three qualities of FaceForensics++."""


def write_video(
    path: str | Path, frames: Iterable[Image], quality: Literal["raw", "c23", "c40"], fps: Fraction | int = 25
) -> None:
    """Encodes frames as H.264, as the data set's own compression script does.

    Args:
        path: Where to; missing folders are made. The file appears only once it is whole.
        frames: Images of one size, even in both directions; at least one.
        quality: `raw` is lossless RGB, `c23` and `c40` are yuv420p with that constant rate factor.
        fps: Frames a second in the header.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    codec, pixel_format, rate_factor = QUALITIES[quality]
    with av.open(str(unfinished), "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=fps, options={"crf": rate_factor, "threads": "1"})
        stream.pix_fmt = pixel_format
        for number, image in enumerate(frames):
            if number == 0:
                stream.height, stream.width = image.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    unfinished.replace(path)
