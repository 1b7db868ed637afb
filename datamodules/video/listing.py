"""The frames of a clip known without decoding, where its packets and H.264's own headers prove them."""

from __future__ import annotations

from collections.abc import Generator
from itertools import pairwise
from typing import Any, NamedTuple

import av

from .h264 import Headers, PictureOrder
from .h264_sequence import DamagedError

PROVABLE = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
"""Containers that hold every picture in a packet of its own, under a time of its own; FFmpeg's names."""


class Packet(NamedTuple):
    """What a packet says of itself; packets are counted in the order of decoding.

    Attributes:
        pts: Time shown, in units of the stream.
        dts: Time decoded, by which a key frame is sought; where it is not known, as here and there in Matroska, `pts`.
        key: Decoding may start here.
    """

    pts: int
    dts: int
    key: bool


class Listing(NamedTuple):
    """A clip whose frames are known without decoding.

    Attributes:
        packets: In the order of decoding, a picture each.
        order: Positions of the packets, in the order shown.
        spoiled: Positions whose pictures are damaged or refer to one that is damaged or missing.
        cut: The file ends before its header says.
        closed: No picture refers to what lies before a key frame: each of these, by the container's word, starts anew.
    """

    packets: list[Packet]
    order: list[int]
    spoiled: set[int]
    cut: bool
    closed: bool


def headers_of(stream: Any) -> Headers | None:
    """What reads the headers of an open file's pictures; None where they are not H.264's."""
    return Headers(stream.codec_context.extradata) if stream.codec_context.name == "h264" else None


def packets_of(container: Any, stream: Any) -> Generator[Any]:
    """The packets of an open file, without the empty one at their end."""
    return (packet for packet in container.demux(stream) if packet.size)


def list_pictures(container: Any, stream: Any) -> Listing | None:
    """Lists the packets of an open file, and proves that they are its frames.

    It is proven for H.264 in `PROVABLE` containers without edits, whose slices tell the order of the pictures: that
    order is the one of the packets' times, each packet holds one picture, and the first starts anew.

    Returns:
        None where it cannot be proven.
    """
    headers = headers_of(stream)
    if container.format.name not in PROVABLE or headers is None or not headers.has_record:
        return None
    if headers.sequence is None or not headers.sequence.tells_order:
        return None
    order = PictureOrder(headers.sequence)
    packets: list[Packet] = []
    places: dict[int, tuple[int, int]] = {}
    spoiled: set[int] = set()
    sound, cut, closed = True, False, True
    try:
        for packet in packets_of(container, stream):
            pts, dts, position = packet.pts, packet.dts, len(packets)
            if pts is None or packet.is_discard or packet.has_sidedata("new_extradata"):
                return None
            data, key = bytes(packet), False
            try:
                picture = headers.picture(data)
                if packet.is_keyframe:
                    key = headers.starts_anew(data)
                    closed = closed and key
                if picture is None or (picture.idr and not key):
                    return None
                place, missing = order.follow(picture)
                sound = not packet.is_corrupt and (key or (sound and not missing))
                if sound:
                    places[position] = place
            except DamagedError:
                sound = False
            if not (packets or key):
                return None
            if not sound:
                spoiled.add(position)
            packets.append(Packet(pts, pts if dts is None else dts, key and sound))
    except OSError:
        raise  # the disk fails, not the file
    except av.FFmpegError:
        cut = True
    shown = sorted(range(len(packets)), key=lambda position: packets[position].pts)
    if not packets or len({packet.pts for packet in packets}) < len(packets) or not _agree(packets, places, spoiled):
        return None
    return Listing(packets, shown, spoiled, cut, closed)


def _agree(packets: list[Packet], places: dict[int, tuple[int, int]], spoiled: set[int]) -> bool:
    """Whether times and headers tell one order, group by group; a group that alone does not is taken for spoiled."""
    starts = [position for position, packet in enumerate(packets) if packet.key]
    groups = list(pairwise([*starts, len(packets)]))
    astray = []
    last = None
    for start, stop in groups:
        known = [position for position in range(start, stop) if position in places]
        times = [packets[position].pts for position in sorted(known, key=places.__getitem__)]
        alone = len({places[position] for position in known}) == len(known)
        if not alone or times != sorted(times) or (last is not None and times and times[0] < last):
            astray.append((start, stop))
        elif times:
            last = times[-1]
    for start, stop in astray:
        spoiled.update(range(start, stop))
    return not astray or 2 * len(astray) < len(groups)
