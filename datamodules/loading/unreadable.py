"""What is done where frames of a clip cannot be read and the others are wanted nevertheless."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import NamedTuple

from ..crops.read import Crop
from ..video.packets import UnreadableError


class Unreadable(NamedTuple):
    """Frames of a clip that were left out of a pass, because its video or its mask could not be read there.

    Attributes:
        clip: Row of the index.
        frames: Rising indices of those that were planned and left out.
        reason: Why, a sentence.
    """

    clip: int
    frames: tuple[int, ...]
    reason: str


def read_or_report(
    read: Callable[[int, Sequence[int]], Generator[Crop]],
    clip: int,
    frames: Sequence[int],
    leave_out: Callable[[Unreadable], None],
) -> Generator[Crop]:
    """Yields the crops of frames that can be read: where a read fails, another one is begun without what it failed in.

    Args:
        read: Yields the crops of a clip's frames, or raises OSError.
        clip: Row of the index.
        frames: Rising indices.
        leave_out: Is told of what is left out.
    """
    left = list(frames)
    while left:
        try:
            with closing(read(clip, tuple(left))) as crops:
                for crop in crops:
                    left.pop(0)
                    yield crop
            return
        except OSError as error:
            told = set(error.frames) if isinstance(error, UnreadableError) else set()
            lost = [frame for frame in left if frame in told] or left
            leave_out(Unreadable(clip, tuple(lost), str(error)))
            left = [frame for frame in left if frame not in lost]
