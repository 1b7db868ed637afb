"""Streams made in one call, for tests that vary a setting or two."""

from dataclasses import fields
from typing import Any

import pandas as pd

from datamodules import CropTransform, FaceTracks, FrameStream, StreamOptions

OPTIONS = {field.name for field in fields(StreamOptions)}


def make_stream(
    clips: pd.DataFrame,
    tracks: FaceTracks,
    transform: CropTransform,
    count: int,
    batch_size: int,
    train: bool = False,
    **how: Any,
) -> FrameStream:
    """A stream of `count` frames a clip; `how` names fields of `StreamOptions` and arguments of `FrameStream`."""
    chosen = {name: value for name, value in how.items() if name in OPTIONS}
    options = StreamOptions(frames_per_clip=count, eval_frames_per_clip=count, batch_size=batch_size, **chosen)
    others = {name: value for name, value in how.items() if name not in OPTIONS}
    return FrameStream(clips, tracks, transform, options, train=train, **others)
