"""PyAV's side of `video.py`: decodes only packets that matter, cuts planes before they are converted to RGB."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

Frame = Any
"""PyAV's `VideoFrame`, which reaches us without types."""

Box = tuple[int, int, int, int]
"""x0 y0 x1 y1 in pixels."""

CHROMA = {
    "gbrp": (0, 0),
    "yuv420p": (1, 1),
    "yuvj420p": (1, 1),
    "yuv422p": (1, 0),
    "yuvj422p": (1, 0),
    "yuv444p": (0, 0),
    "yuvj444p": (0, 0),
}
"""Pixel formats whose planes are cut, and how often the width and height of their second and third plane is halved."""


class Packet(NamedTuple):
    """What a packet says of itself; packets are counted in the order of decoding.

    Attributes:
        pts: Time shown, in units of the stream.
        dts: Time decoded.
        key: Decoding may start here.
        shown: False for what an edit list cuts off.
    """

    pts: int
    dts: int
    key: bool
    shown: bool


def decode(path: Path, frames: Sequence[int]) -> Generator[Frame]:
    """Yields frames by index, in rising order, with one thread; nothing is decoded that no wanted frame needs.

    Groups of pictures without a wanted frame are sought past. Within the others, a picture to which no other refers is
    not decoded unless it is wanted; about half the pictures of a clip by x264 are such. What is yielded is the same, to
    the bit, as if every packet had been decoded.

    Args:
        path: A video file.
        frames: Indices from 0, rising.

    Raises:
        OSError: The file cannot be decoded, or ends before the last frame asked for.
    """
    given, total = 0, 0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type, stream.codec_context.thread_count = "NONE", 1
            packets = [
                Packet(packet.pts, packet.dts, packet.is_keyframe, not packet.is_discard)
                for packet in _demux(container, stream)
            ]
            total = sum(packet.shown for packet in packets)
            for frame in _wanted(container, stream, packets, frames):
                yield frame
                given += 1
    except (av.FFmpegError, IndexError) as error:
        where = f"is damaged behind frame {frames[given - 1]}" if given else "cannot be decoded"
        raise OSError(f"{path} {where}: download or copy it again") from error
    if given < len(frames):
        lacks = f"has {total} frames, but frame {frames[given]} is wanted"
        damaged = f"is damaged at frame {frames[given]}"
        raise OSError(f"{path} {lacks if frames[given] >= total else damaged}: download or copy it again")


def _wanted(container: Any, stream: Any, packets: Sequence[Packet], frames: Sequence[int]) -> Generator[Frame]:
    if any(packet.pts is None or packet.dts is None for packet in packets):  # nothing to tell pictures apart by
        container.seek(0)
        numbers = set(frames)
        yield from (frame for number, frame in enumerate(container.decode(stream)) if number in numbers)
        return
    shown = sorted(packet.pts for packet in packets if packet.shown)
    wanted = {shown[number] for number in frames if number < len(shown)}
    for start, stop in passes(packets, wanted):
        container.seek(packets[start].dts, stream=stream)
        left = stop - start
        for packet in _demux(container, stream):
            if left == stop - start and packet.dts != packets[start].dts:
                continue  # a container that seeks coarsely
            stream.codec_context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
            yield from (frame for frame in packet.decode() if frame.pts in wanted)
            left -= 1
            if not left:
                break
        yield from (frame for frame in stream.codec_context.decode(None) if frame.pts in wanted)


def _demux(container: Any, stream: Any) -> Generator[Any]:
    return (packet for packet in container.demux(stream) if packet.size)


def passes(packets: Sequence[Packet], wanted: set[int]) -> list[tuple[int, int]]:
    """Which packets must be read to decode the wanted frames.

    Args:
        packets: Of a whole file, in the order of decoding.
        wanted: Times shown of the frames.

    Returns:
        Ranges [start, stop) of packets, each starting at a key frame, rising and apart.
    """
    ranges: list[tuple[int, int]] = []
    keys: list[int] = []
    for position, packet in enumerate(packets):
        if packet.key:
            keys.append(position)
        if packet.pts not in wanted:
            continue
        # A picture shown before the key frame that it follows may refer to the group before.
        start = next((key for key in reversed(keys) if packets[key].pts <= packet.pts), 0)
        if ranges and start <= ranges[-1][1]:
            ranges[-1] = ranges[-1][0], position + 1
        else:
            ranges.append((start, position + 1))
    return ranges


class Converter:
    """Makes RGB of a part of a frame, equal to the bit to that part of the whole frame's RGB.

    One converter serves one clip: libswscale prepares for a size once (2 to 4 ms), and a window of that size is moved
    over the planes; it grows when a larger part is asked for.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._window: Any = None

    def convert(self, frame: Frame, box: Box | None = None) -> NDArray[np.uint8]:
        """Returns (h, w, 3), 0 to 255, of the whole frame or a box in it; colour matrix and range as the file says."""
        x0, y0, x1, y1 = box or (0, 0, frame.width, frame.height)
        odd = frame.width % 2 or frame.height % 2  # libswscale interpolates their chroma
        whole = (x1 - x0, y1 - y0) == (frame.width, frame.height)
        if odd or frame.format.name not in CHROMA or (whole and not frame.interlaced_frame):
            return self._rgb(frame)[y0:y1, x0:x1]  # a window is progressive, as decord takes all frames to be
        window = self._fitting(frame, x1 - x0 + x0 % 2, y1 - y0 + y0 % 2)
        x, y = min(x0 - x0 % 2, frame.width - window.width), min(y0 - y0 % 2, frame.height - window.height)
        for source, target, (across, down) in zip(planes(frame), planes(window), _halvings(frame), strict=True):
            height, width = window.height >> down, window.width >> across
            target[:height, :width] = source[y >> down :, x >> across :][:height, :width]
        return self._rgb(window)[y0 - y : y1 - y, x0 - x : x1 - x]

    def _rgb(self, frame: Frame) -> NDArray[np.uint8]:
        image: Any = self._reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        return cast("NDArray[np.uint8]", image)

    def _fitting(self, frame: Frame, width: int, height: int) -> Frame:
        window, name = self._window, frame.format.name
        if window is None or window.format.name != name or window.width < width or window.height < height:
            if window is not None:
                width, height = max(width, window.width), max(height, window.height)
            width, height = min(-(-width // 32) * 32, frame.width), min(-(-height // 32) * 32, frame.height)
            self._window = window = av.VideoFrame(width, height, name)
        window.colorspace, window.color_range = frame.colorspace, frame.color_range
        return window


def planes(frame: Frame) -> list[NDArray[np.uint8]]:
    """The planes of an 8-bit planar frame, (rows, bytes a row): rows may be longer than the frame is wide."""
    return [np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size) for plane in frame.planes]


def _halvings(frame: Frame) -> list[tuple[int, int]]:
    return [(0, 0), CHROMA[frame.format.name], CHROMA[frame.format.name]]


def lit(frame: Frame, threshold: int) -> Box | None:
    """A box that holds every pixel of which a channel may exceed a threshold, found without converting the frame.

    With Y' = Y - 16 (full range: Y) and C the larger distance of U and V from 128, no channel of any of H.264's
    matrices exceeds 1.17 Y' + 2.2 C (BT.2020's blue: 1.164 Y' + 2.142 C), give or take 2 by rounding.

    Args:
        frame: Any frame; where its planes are not YUV the box is the whole frame.
        threshold: 0 to 254.

    Returns:
        None where no pixel may.
    """
    name = frame.format.name
    if name not in CHROMA or name == "gbrp":
        return 0, 0, frame.width, frame.height
    black = 0 if name.startswith("yuvj") or frame.color_range == 2 else 16
    grey = 3  # distance from 128 that is let pass
    dim = int((threshold - 2 - 2.2 * grey) // 1.17)
    if dim < 0:
        return 0, 0, frame.width, frame.height
    y, u, v = planes(frame)
    across, down = CHROMA[name]
    coloured: Any = cv2.max(cv2.absdiff(u, 128.0), cv2.absdiff(v, 128.0))  # type: ignore[call-overload]
    boxes = [_bounds(y[:, : frame.width], black + dim, 0, 0)]
    boxes += [_bounds(coloured[:, : frame.width + 1 >> across], grey, across, down)]
    found = [box for box in boxes if box]
    if not found:
        return None
    x0, y0, x1, y1 = np.array(found).T
    return int(x0.min()), int(y0.min()), min(int(x1.max()), frame.width), min(int(y1.max()), frame.height)


def _bounds(plane: NDArray[np.uint8], above: int, across: int, down: int) -> Box | None:
    rows = np.flatnonzero(plane.max(axis=1) > above)
    if not rows.size:
        return None
    y0, y1 = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(plane[y0:y1].max(axis=0) > above)
    return int(columns[0]) << across, y0 << down, (int(columns[-1]) + 1) << across, y1 << down
