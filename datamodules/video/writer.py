"""Writes H.264 as FaceForensics++ has it, and lossless files."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av

from ..files import write_atomically
from .decoders import Image

QUALITIES: dict[str, tuple[str, str, str]] = {
    "raw": ("libx264rgb", "rgb24", "0"),
    "c23": ("libx264", "yuv420p", "23"),
    "c40": ("libx264", "yuv420p", "40"),
}
"""Codec, pixel format and constant rate factor of the three qualities of FaceForensics++."""


REPEATABLE = {"x264-params": "asm=sse4.2"} if platform.machine() in ("x86_64", "AMD64") else {}
"""With AVX-512 x264 now and then gives other bytes for the same frames (seven different files in 40 encodings of one
small clip); with what is older it does not. At 320x240 this is no slower."""


def write_video(
    path: str | Path, frames: Iterable[Image], quality: Literal["raw", "c23", "c40"], fps: Fraction | int = 25
) -> None:
    """Encodes frames as H.264, as the data set's own compression script does.

    Args:
        path: Where to; missing folders are made. The file appears only once it is whole.
        frames: Images of one size, even in both directions; at least one.
        quality: `raw` is lossless RGB, `c23` and `c40` are yuv420p with that constant rate factor.
        fps: Frames a second in the header.

    Examples:
        >>> import numpy as np
        >>> write_video("black.mp4", [np.zeros((64, 96, 3), np.uint8)] * 6, "c23")
        >>> Path("black.mp4").is_file()
        True
    """
    codec, pixel_format, rate_factor = QUALITIES[quality]
    with write_atomically(Path(path)) as unfinished, av.open(str(unfinished), "w", format="mp4") as container:
        options = {"crf": rate_factor, "threads": "1", **REPEATABLE}
        if quality == "raw":
            options["preset"] = "ultrafast"  # as lossless as any, 15 times faster
        stream: Any = container.add_stream(codec, rate=fps, options=options)
        stream.pix_fmt = pixel_format
        for number, image in enumerate(frames):
            if number == 0:
                stream.height, stream.width = image.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
