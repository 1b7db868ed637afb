"""What a clip truly holds: its frames as they can be read, not as its header counts them."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from .containers import AGAIN, NoVideoError, open_video, turn_of
from .h264 import Headers
from .h264_sequence import DamagedError
from .listing import PROVABLE, list_pictures
from .mp4 import is_plain
from .player import Player


class VideoFacts(NamedTuple):
    """What a file holds.

    Attributes:
        frames: Number of frames that can be read by their position; damaged ones are counted too.
        width: Pixels, as shown.
        height: Pixels, as shown.
        fps: Frames a second in the header. Never used to pair frames: forged clips carry other rates than their
            targets.
        rotation: Degrees by which the coded pictures are turned to be shown, counterclockwise; one that mirrors is told
            without.
        lost: Pictures before the first frame that cannot be decoded, for the file begins without a whole key frame.
    """

    frames: int
    width: int
    height: int
    fps: float
    rotation: int = 0
    lost: int = 0


def probe(path: str | Path) -> VideoFacts:
    """Finds out what a file holds; where its headers cannot be proven right, by decoding it once.

    Args:
        path: A video file.

    Raises:
        ValueError: The file is no readable video, breaks off, or begins with pictures that are not whole.
        OSError: It cannot be opened just now, its pictures change their size, or are turned by no quarter of a turn.

    Examples:
        >>> import numpy as np
        >>> from datamodules import write_video
        >>> write_video("black.mp4", [np.zeros((64, 96, 3), np.uint8)] * 6, "c23")
        >>> facts = probe("black.mp4")
        >>> facts.frames, facts.width, facts.height
        (6, 96, 64)
    """
    return glance(path) or scan(path)


def glance(path: str | Path) -> VideoFacts | None:
    """Reads the header of an MP4 file whose H.264 is in one piece, uncut and begins with a key frame.

    Nothing is decoded but what FFmpeg looks at to open the file.

    Returns:
        None for every other file, and where the index lists other pictures than the header counts.

    Raises:
        ValueError: The file is no readable video, breaks off, or begins with pictures that are not whole.
        OSError: It cannot be opened just now, its pictures change their size, or are turned by no quarter of a turn.
    """
    try:
        with open_video(path, fpsprobesize="0") as (container, stream):
            headers = Headers(stream.codec_context.extradata)
            if container.format.name != PROVABLE[0] or stream.codec_context.name != "h264" or not headers.sequence:
                return None
            entries = stream.index_entries
            keys, count = [], 0
            for entry in entries:
                if entry.is_discard:
                    return None
                if entry.is_keyframe:
                    keys.append(count)
                count += 1
            if keys[:1] != [0] or count != stream.frames or not headers.sequence.tells_order:
                return None
            with open(path, "rb") as file:
                last, size = entries[-1], os.fstat(file.fileno()).st_size
                if last.pos + last.size > size:
                    whole = sum(entry.pos + entry.size <= size for entry in entries)
                    raise NoVideoError(f"{path} breaks off behind {whole} of {count} frames: {AGAIN}")
                if not is_plain(file):
                    return None
                for number in keys:
                    file.seek(entries[number].pos)
                    if not headers.starts_anew(file.read(entries[number].size)):
                        return None
            return VideoFacts(count, stream.width, stream.height, float(stream.average_rate or 0))
    except DamagedError:
        return None


def scan(path: str | Path) -> VideoFacts:
    """Finds out what a file holds by its packets where they prove it, else by decoding all of it.

    Raises:
        ValueError: The file is no readable video, breaks off, or begins with pictures that are not whole.
        OSError: It cannot be opened just now, its pictures change their size, or are turned by no quarter of a turn.
    """
    path = Path(path)
    with open_video(path) as (container, stream):
        listing, fps = list_pictures(container, stream), float(stream.average_rate or 0)
    if listing and listing.cut:
        raise NoVideoError(f"{path} breaks off behind {len(listing.order)} frames: {AGAIN}")
    player = Player(path, listing)
    with closing(player.frames()) as clip:
        first = next(clip, None)
        if first is None:
            raise NoVideoError(f"{path} cannot be read as a video (none of its pictures can be decoded): {AGAIN}")
        if listing:
            frames = len(listing.order)
        else:
            sound = [first.sound, *(shown.sound for shown in clip)]
            frames = len(sound)
            if not any(sound):
                raise NoVideoError(f"{path} cannot be read as a video (none of its pictures is whole): {AGAIN}")
            if player.begins_grey:
                whole = f"its pictures are whole from frame {sound.index(True)} on only"
                raise NoVideoError(f"{path} begins between key frames, {whole}: {AGAIN}")
    turn = turn_of(first.frame, path)
    width, height = first.frame.width, first.frame.height
    if turn:
        width, height = turn.size(width, height)
    return VideoFacts(frames, width, height, fps, turn.degrees if turn else 0, 0 if listing else player.lost)
