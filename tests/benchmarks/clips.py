"""The files that are measured: drawn people under noise, so that a clip is as large as one of FaceForensics++."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datamodules import write_video
from datamodules.synthetic.manipulations import FORGERS, random_style
from datamodules.synthetic.takes import film

METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
FRAMES = 450
CLIPS = 16
DRAWN = 45
"""Frames drawn for each clip, shown forward and backward under fresh noise: drawing them all would take an hour."""

NOISE = 2.7
"""Standard deviation of the noise, in grey levels; what a clip then takes is printed with the figures. Those of
FaceForensics++ take 2 MB on average: 10 GB for 5,000 clips of 640x480 and larger."""


def clip_paths(root: Path, number: int) -> tuple[Path, Path]:
    """Where clip `number` and its mask lie; each has a target of its own, two make a pair."""
    folder = root / "manipulated_sequences" / METHODS[number // 2 % len(METHODS)]
    name = f"{number:03d}_{number ^ 1:03d}.mp4"
    return folder / "c23" / "videos" / name, folder / "masks" / "videos" / name


def write_clip(root: Path, size: tuple[int, int], number: int, frames: int = FRAMES) -> None:
    """Writes one forged clip and its mask, if they are not there."""
    video, mask = clip_paths(root, number)
    if video.is_file() and mask.is_file():
        return
    random = np.random.default_rng([*size, number])
    target, source = film(random, DRAWN, *size), film(random, DRAWN, *size)
    method = METHODS[number // 2 % len(METHODS)]
    style = random_style(method, random)
    people = zip(target.frames, target.faces, source.frames, source.faces, strict=True)
    forged = [FORGERS[method](*person, style) for person in people]
    turn = [*range(DRAWN), *range(DRAWN - 2, 0, -1)]
    shown = [turn[position % len(turn)] for position in range(frames)]

    def noisy(image):
        grain = random.standard_normal((*image.shape[:2], 1), np.float32) * NOISE
        return np.clip(image + grain, 0, 255).astype(np.uint8)

    write_video(mask, (forged[position].mask for position in shown), "c23")
    write_video(video, (noisy(forged[position].frame) for position in shown), "c23")
