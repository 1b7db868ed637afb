"""Which files are damaged, and which readers other than our own may be trusted with."""

from __future__ import annotations

import os
from contextlib import closing
from functools import lru_cache
from pathlib import Path

from ..errors import DataFileError
from .containers import AGAIN, NoVideoError, open_video, turn_of
from .listing import PROVABLE, list_pictures
from .player import Player


def refuse_unproven(path: Path, backend: str) -> None:
    """Refuses a file in which another reader may find other frames, or not see damage.

    Raises:
        OSError: It is not closed H.264 in MP4, holds several films, is edited, turned or damaged.
    """
    status = os.stat(path)
    reason = _doubt(path, status.st_size, status.st_mtime_ns)
    if reason:
        raise DataFileError(f"{path} {reason}, where {backend} may give other pictures: use backend: pyav, or {AGAIN}")


@lru_cache(maxsize=4096)
def _doubt(path: Path, size: int, mtime_ns: int) -> str:
    try:
        with open_video(path) as (container, stream):
            if len(container.streams.video) > 1:
                return "holds several films or pictures"
            listing = list_pictures(container, stream) if container.format.name == PROVABLE[0] else None
    except NoVideoError as error:
        raise DataFileError(str(error)) from error
    if listing is None or not listing.closed:
        return "is not H.264 in MP4 with closed groups of pictures and without edits"
    if listing.cut:
        return f"breaks off behind {len(listing.packets)} frames"
    with closing(Player(path, listing).frames()) as clip:
        for number, shown in enumerate(clip):
            if not shown.sound or shown.number != number:
                return f"is damaged at frame {number}"
            if number == 0 and turn_of(shown.frame, path):
                return "is to be shown turned"
    return ""


def damaged_ranges(path: Path) -> list[tuple[int, int]]:
    """Decodes a whole file and tells which of its frames cannot be given: damaged ones, and those behind them.

    Args:
        path: A video file.

    Returns:
        First and last frame of each stretch, rising; the last is that of the clip where it breaks off.

    Raises:
        OSError: The file cannot be opened, or its pictures change their size.
    """
    try:
        with open_video(path) as (container, stream):
            listing = list_pictures(container, stream)
    except NoVideoError as error:
        raise DataFileError(str(error)) from error
    sound: set[int] = set()
    total = len(listing.packets) if listing else 0
    with closing(Player(path, listing).frames()) as clip:
        for shown in clip:
            total = max(total, shown.number + 1)
            if shown.sound:
                sound.add(shown.number)
    ranges: list[tuple[int, int]] = []
    for number in sorted(set(range(total)) - sound):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = ranges[-1][0], number
        else:
            ranges.append((number, number))
    return ranges
