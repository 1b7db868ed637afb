"""Frames of a few targets, each fake beside what its mask says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from ..clips.index import Clip, clips_of
from ..clips.masks import read_masks
from ..clips.overlay import tint_truth
from ..clips.splits import SPLITS
from ..faces.detection import ORIGINALS
from ..video.reader import VideoReader
from .faces import jpeg

WIDTH_PX = 320


class Example(NamedTuple):
    """One frame.

    Attributes:
        caption: Method, clip, split and frame.
        picture: JPEG: the frame, and at its right the same with its truth laid over it.
    """

    caption: str
    picture: bytes


def draw_examples(table: pd.DataFrame, home: Mapping[str, str]) -> list[list[Example]]:
    """Shows the middle frame of one target of each split, and of all fakes made of it.

    Args:
        table: The index of all qualities, see `index_all`.
        home: Split of each id.

    Returns:
        By target, its original and its fakes; clips that cannot be decoded are left out.
    """
    readable = table[table.frames > 0]
    quality = next((each for each in ORIGINALS if each in set(readable.compression)), None)
    clips = readable[readable.compression == quality]
    many = clips.groupby("target").method.nunique().sort_values(ascending=False, kind="stable")
    chosen = [next((target for target in many.index if home.get(target) == split), None) for split in SPLITS]
    targets = [target for target in chosen if target is not None] or list(many.index[:1])
    return [_draw_target(clips_of(clips[clips.target == target]), home.get(target, "no split")) for target in targets]


def _draw_target(clips: list[Clip], split: str) -> list[Example]:
    frame = min(clip.frames for clip in clips) // 2
    shown = []
    for clip in clips:
        try:
            (image,) = VideoReader(clip.path).read([frame])
            (truth,) = read_masks(clip, [frame])
        except OSError:
            continue
        height = round(clip.height * WIDTH_PX / clip.width)
        small = [
            cv2.resize(each, (WIDTH_PX, height), interpolation=cv2.INTER_AREA)
            for each in (image, tint_truth(image, truth))
        ]
        caption = f"{clip.method} {clip.clip}, {split}, {clip.compression}, frame {frame}"
        shown.append(Example(caption, jpeg(np.concatenate(small, axis=1))))
    return shown
