"""Which files readers other than our own may be trusted with."""

from __future__ import annotations

import os
from contextlib import closing
from functools import lru_cache
from pathlib import Path

from .containers import open_video, turn_of
from .listing import PROVABLE, list_pictures
from .player import AGAIN, Player


def refuse_unproven(path: Path, backend: str) -> None:
    """Refuses a file in which another reader may find other frames, or not see damage.

    Raises:
        OSError: It is not closed H.264 in MP4, holds several films, is edited, turned or damaged.
    """
    status = os.stat(path)
    reason = _doubt(path, status.st_size, status.st_mtime_ns)
    if reason:
        raise OSError(f"{path} {reason}, where {backend} may give other pictures: use backend: pyav, or {AGAIN}")


@lru_cache(maxsize=4096)
def _doubt(path: Path, size: int, mtime_ns: int) -> str:
    try:
        with open_video(path) as (container, stream):
            if len(container.streams.video) > 1:
                return "holds several films or pictures"
            listing = list_pictures(container, stream) if container.format.name == PROVABLE[0] else None
    except ValueError as error:
        raise OSError(str(error)) from error
    if listing is None or not listing.closed:
        return "is not H.264 in MP4 with closed groups of pictures and without edits"
    if listing.cut:
        return f"breaks off behind {len(listing.packets)} frames"
    with closing(Player(path, listing).frames()) as clip:
        for number, shown in enumerate(clip):
            if not shown.sound or shown.number != number:
                return f"is damaged at frame {number}"
            if number == 0 and turn_of(shown.frame):
                return "is to be shown turned"
    return ""
