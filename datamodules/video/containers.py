"""Opens video files for PyAV: files of video containers only, the stream that is the film, the way up it is shown."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import av
import numpy as np
from numpy.typing import NDArray

from ..errors import DataFileError, DataValueError

Frame = Any
"""PyAV's `VideoFrame`, which reaches us without types."""

Box = tuple[int, int, int, int]
"""x0 y0 x1 y1 in pixels."""

Pixels = TypeVar("Pixels", bound=NDArray[Any])

DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,mpeg,mpegts,flv,h264,hevc,m4v,mpegvideo,mjpeg,ivf,obu,av1,ogg,nut,"
    "mxf,dv,rm,wtv,vc1,yuv4mpegpipe"
)
"""FFmpeg's names of what is opened. Lists of other files (concat, hls, dash), pictures and devices are not: a file that
is called a video must never make another one be read."""


AGAIN = "download or copy it again"


class NoVideoError(DataValueError):
    """A file that holds no film."""


@contextmanager
def open_video(path: Path | str, **options: str) -> Iterator[tuple[Any, Any]]:
    """Opens a file and chooses its stream, to be decoded with one thread.

    The stream is the first one that is a film: neither a cover picture nor the thumbnails of one.

    Args:
        path: A video file.
        options: Of FFmpeg's demuxer.

    Yields:
        PyAV's container and its stream.

    Raises:
        NoVideoError: The file is of no container of videos, or holds none.
        OSError: It cannot be opened just now, or what is done with it raises an error of FFmpeg's.
    """
    whole = os.path.abspath(path)
    try:
        # By its protocol, for a name such as a:b would be taken for one.
        container = av.open(
            f"file:{whole}",
            options={"format_whitelist": DEMUXERS, "protocol_whitelist": "file", **options},
            metadata_errors="replace",  # titles are in any encoding
        )
    except (av.error.InvalidDataError, av.error.ArgumentError, av.error.EOFError) as error:
        other = isinstance(error, av.error.ArgumentError)
        reason = "it is no file of any container of videos" if other else error.strerror
        raise NoVideoError(f"{path} cannot be read as a video ({reason}): {AGAIN}") from error
    except OSError as error:
        raise DataFileError(
            f"{path} cannot be opened just now ({error.strerror}): see that it may be read, and try again"
        ) from error
    with container:
        covers = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
        films = [stream for stream in container.streams.video if not stream.disposition & covers]
        if not films:
            held = "only a cover picture" if container.streams.video else "no pictures"
            raise NoVideoError(f"{path} cannot be read as a video (it holds {held}): give the film itself")
        stream = films[0]
        if stream.codec_context is None:
            raise NoVideoError(f"{path} cannot be read as a video (no decoder for it is known): encode it anew")
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        try:
            yield container, stream
        except av.FFmpegError as error:
            raise DataFileError(f"{path} cannot be decoded ({error.strerror}): {AGAIN}") from error


class Turn(NamedTuple):
    """How a coded picture must be turned to be shown, as phones write it: by quarters, or mirrored.

    Attributes:
        transposed: Rows become columns, first of all.
        left_right: Then left and right are exchanged.
        up_down: And above and below.
    """

    transposed: bool
    left_right: bool
    up_down: bool

    @property
    def degrees(self) -> int:
        """Of the turn, counterclockwise, before left and right are exchanged where it mirrors."""
        return {(False, True): 180, (True, True): 90, (True, False): 270}.get((self.transposed, self.up_down), 0)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height as shown of a coded picture's."""
        return (height, width) if self.transposed else (width, height)

    def apply(self, pixels: Pixels) -> Pixels:
        """A coded picture, (h, w) or (h, w, 3), as it is shown."""
        turned: Any = pixels.swapaxes(0, 1) if self.transposed else pixels
        turned = turned[:, ::-1] if self.left_right else turned
        return cast("Pixels", np.ascontiguousarray(turned[::-1] if self.up_down else turned))

    def undo(self, box: Box, width: int, height: int) -> Box:
        """Where a box of the picture shown lies in the coded one.

        Args:
            box: In the picture shown.
            width: Of the coded picture.
            height: Of the coded picture.
        """
        across, down = self.size(width, height)
        return self._map_box(box, across, down, back=True)

    def move(self, box: Box, width: int, height: int) -> Box:
        """Where a box of the coded picture lies in the one shown."""
        across, down = self.size(width, height)
        return self._map_box(box, across, down, back=False)

    def _map_box(self, box: Box, across: int, down: int, back: bool) -> Box:
        x0, y0, x1, y1 = (box[1], box[0], box[3], box[2]) if self.transposed and not back else box
        if self.left_right:
            x0, x1 = across - x1, across - x0
        if self.up_down:
            y0, y1 = down - y1, down - y0
        return (y0, x0, y1, x1) if self.transposed and back else (x0, y0, x1, y1)


class TurnFinder:
    """Finds how the frames of a clip must be turned, without keeping them in memory.

    A frame whose side data are looked at refers to itself by them: it and its pixels then wait for the garbage
    collector. So the first frame is looked at, one that is rotated otherwise than the last that was, and one in
    `LOOK_AGAIN`: what begins or ceases to be mirrored amid a clip, with no new rotation, may be seen that much later.

    Args:
        path: Of the clip, for sentences.
    """

    LOOK_AGAIN = 100

    def __init__(self, path: Path | str) -> None:
        self._path = path
        self._turn: Turn | None = None
        self._rotation: int | None = None
        self._since = 0

    def find(self, frame: Frame) -> Turn | None:
        """How the next frame must be turned, see `turn_of`."""
        self._since += 1
        if frame.rotation != self._rotation or self._since >= self.LOOK_AGAIN:
            self._turn, self._rotation, self._since = turn_of(frame, self._path), frame.rotation, 0
        return self._turn


def turn_of(frame: Frame, path: Path | str) -> Turn | None:
    """How a frame of a file must be turned; None where it is shown as it is coded; see `TurnFinder` for many frames.

    Raises:
        OSError: By no quarter of a turn.
    """
    sides = frame.side_data
    matrix = sides.get("DISPLAYMATRIX") if sides else None
    if matrix is None:
        return None
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    if (a or d) and not (b or c):
        turn = Turn(False, a < 0, d < 0)
    elif (b or c) and not (a or d):
        turn = Turn(True, c < 0, b < 0)
    else:
        raise DataFileError(
            f"{path} is to be shown turned by {frame.rotation} degrees, wanted quarters: encode it anew"
        )
    return turn if any(turn) else None
