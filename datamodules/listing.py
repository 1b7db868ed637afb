"""The frames of a clip known without decoding, where its packets and H.264's own headers prove them."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

import av

from .h264 import DamagedError, Headers, Order

PROVABLE = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
"""Containers that hold every picture in a packet of its own, under a time of its own; FFmpeg's names."""


class Packet(NamedTuple):
    """What a packet says of itself; packets are counted in the order of decoding.

    Attributes:
        pts: Time shown, in units of the stream.
        dts: Time decoded.
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
    if container.format.name not in PROVABLE or headers is None or headers.sequence is None:
        return None
    order = Order(headers.sequence)
    packets: list[Packet] = []
    places: list[tuple[tuple[int, int], int]] = []
    spoiled: set[int] = set()
    sound, cut, closed = True, False, True
    try:
        for packet in packets_of(container, stream):
            pts, dts, position = packet.pts, packet.dts, len(packets)
            if pts is None or dts is None or packet.is_discard or packet.has_sidedata("new_extradata"):
                return None
            if packets and dts <= packets[-1].dts:
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
                    places.append((place, pts))
            except DamagedError:
                sound = False
            if not (packets or key):
                return None
            if not sound:
                spoiled.add(position)
            packets.append(Packet(pts, dts, key))
    except av.FFmpegError:
        cut = True
    shown = sorted(range(len(packets)), key=lambda position: packets[position].pts)
    told = [pts for _, pts in sorted(places)]
    alone = len({packet.pts for packet in packets}) == len(packets) and len({place for place, _ in places}) == len(told)
    if not packets or not alone or told != sorted(told):
        return None
    return Listing(packets, shown, spoiled, cut, closed)
