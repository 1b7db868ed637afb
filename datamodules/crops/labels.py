"""What a row calls forged: the official masks, their filled hull, or where a fake differs from its original."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise, repeat
from typing import Literal

import cv2
import numpy as np

from ..clips.index import Clip
from ..clips.masks import NOT_KNOWN, NOTHING, RULE, THRESHOLDS, Mask, Truth, forged_pixels, read_truths
from ..faces.tracks import FaceTracks
from ..video.containers import Box
from ..video.decoders import Backend, Image
from ..video.planes import tighten
from ..video.reader import VideoReader

Variant = Literal["official", "hull", "difference"]

DIFFERENCE: Mapping[str, float] = {"raw": 2.0, "c23": 3.0, "c40": 8.0}
"""Grey levels by which a fake must differ from its original, see `differing`: what an original that was only encoded
twice does not reach (measured: no pixel at raw and c23, at c40 0.07 % of the canvas or less; beside its raw self, which
is never done here, 2 to 4 % are marked at c23 and 6 to 9 % at c40).

Mean IoU with what was edited, known from the lossless clips, on `datamodules.synthetic` (640x480 seed 3, 320x240
seed 7):

    quality  size     Deepfakes  FaceSwap  Face2Face  NeuralTextures
    raw      640x480  0.96       0.94      0.98       0.95
    c23      640x480  0.95       0.89      0.95       0.87
    c40      640x480  0.80       0.78      0.38       0.37
    raw      320x240  0.90       0.85      0.94       0.83
    c23      320x240  0.90       0.85      0.86       0.65
    c40      320x240  0.76       0.74      0.08       0.07

At c40 the last two leave little that is stronger than the codec's noise: up to half of such frames show nothing."""

SIGMA_PX = 1.4
"""Width of the blur that takes the codec's noise out of a difference."""

WINDOW_PX = 9
"""Side of the square over which a difference is averaged: half a macroblock of H.264."""

COMPARED_MARGIN = 1.6
"""Margin of the crop in which a fake is compared with its original: noise of the codec elsewhere is no forgery."""

LEAST = 0.01
"""Share of that crop under which a region is noise of the codec; a mouth takes 3 %."""


@dataclass(frozen=True)
class Labels:
    """How the truth of a clip is told.

    Attributes:
        variant: `official`, see `masks`; `hull`, each frame's convex hull of that; or `difference`, see `differing`.
        thresholds: Grey level for each method with masks, see `masks.THRESHOLDS`.
        official: Grey level for each method with masks of the official truth, which everything is measured by; by
            default `thresholds`.
        originals: For `difference`, what fakes are compared with, by target and quality.
        tracks: For `difference`, where the faces are round which that is done.

    Examples:
        >>> from datamodules import clips_of, index
        >>> clip = next(clip for clip in clips_of(index(root)) if clip.method == "Deepfakes")
        >>> [bool(truth) for truth in Labels("hull").read(clip, [0, 3])]
        [True, True]
    """

    variant: Variant = "official"
    thresholds: Mapping[str, int] = field(default_factory=lambda: THRESHOLDS)
    official: Mapping[str, int] | None = None
    originals: Mapping[tuple[str, str], Clip] = field(default_factory=dict)
    tracks: FaceTracks | None = None

    def read(self, clip: Clip, frames: Sequence[int], backend: Backend = "pyav") -> Generator[Truth]:
        """Yields the truth of frames of one clip, in one forward pass over each file it is read from.

        The difference of an original is 0 everywhere. It is 255, not known, for a fake whose original is not there or
        has another size, and for frames behind the original's end; but a Face2Face clip shows its target again from
        the start there, which is read again.

        Args:
            clip: A row of the index.
            frames: Indices in rising order.
            backend: What decodes, see `VideoReader`.

        Raises:
            FileNotFoundError: A file that the truth is read from is gone.
            OSError: A frame of it cannot be read.
        """
        if self.variant == "difference":
            yield from self._differences(clip, frames, backend)
            return
        with closing(read_truths(clip, frames, self.thresholds, backend)) as truths:
            yield from map(fill_hull, truths) if self.variant == "hull" else truths

    @property
    def are_official(self) -> bool:
        """Whether this is the official truth, which everything is measured by."""
        return self.variant == "official" and self.official in (None, self.thresholds)

    def read_official(self, clip: Clip, frames: Sequence[int], backend: Backend = "pyav") -> Generator[Truth]:
        """Yields the official truth, whatever the variant and the thresholds.

        Args:
            clip: A row of the index.
            frames: Indices in rising order.
            backend: What decodes, see `VideoReader`.

        Raises:
            FileNotFoundError: The mask is gone.
            OSError: A frame of it cannot be read.
        """
        return read_truths(clip, frames, self.official or self.thresholds, backend)

    def can_compare(self, clip: Clip) -> bool:
        """Whether a fake's original is there and has its size, if that is needed."""
        if self.variant != "difference":
            return True
        original = self.originals.get((clip.target, clip.compression))
        if original is None or clip.height != original.height:
            return False
        return 0 <= clip.dx - original.dx <= original.width - clip.width

    def files(self, clip: Clip) -> list[str]:
        """What the truth of a clip is read from, beside its own video."""
        original = self.originals.get((clip.target, clip.compression)) if clip.label else None
        return [path for path in (original.path if original else "", clip.mask_path) if path]

    def facts(self, clip: Clip) -> list[object]:
        """All else that shapes the truth of a clip."""
        geometry, threshold = (clip.label, clip.dx, clip.mask_frames), self.thresholds.get(clip.method)
        official: list[object] = [self.variant, *geometry, threshold, RULE]
        original = self.originals.get((clip.target, clip.compression))
        if self.variant != "difference" or original is None or self.tracks is None:
            return official
        boxes = self.tracks.crops(clip, range(clip.frames), COMPARED_MARGIN).tobytes()
        return [
            *official,
            original.frames,
            original.dx,
            DIFFERENCE[clip.compression],
            SIGMA_PX,
            WINDOW_PX,
            LEAST,
            boxes,
        ]

    def _differences(self, clip: Clip, frames: Sequence[int], backend: Backend) -> Generator[Truth]:
        if clip.label == 0:
            yield from repeat(NOTHING, len(frames))
            return
        original = self.originals.get((clip.target, clip.compression))
        numbers: list[int] = []
        if original and self.tracks and self.can_compare(clip):
            numbers = [frame % original.frames for frame in frames if clip.rewinds or frame < original.frames]
            yield from self._compare(clip, frames[: len(numbers)], original, numbers, self.tracks, backend)
        yield from repeat(NOT_KNOWN, len(frames) - len(numbers))

    def _compare(
        self,
        clip: Clip,
        frames: Sequence[int],
        original: Clip,
        numbers: Sequence[int],
        tracks: FaceTracks,
        backend: Backend,
    ) -> Iterator[Truth]:
        boxes = [(x0, y0, x1, y1) for x0, y0, x1, y1 in tracks.crops(clip, frames, COMPARED_MARGIN).tolist()]
        shift = clip.dx - original.dx
        places = [(x0 + shift, y0, x1 + shift, y1) for x0, y0, x1, y1 in boxes]
        threshold = DIFFERENCE[clip.compression]
        with (
            closing(VideoReader(clip.path, backend).read(frames, boxes)) as fakes,
            closing(_read_rewinding(original, numbers, places, backend)) as reals,
        ):
            for fake, real, (x0, y0, _, _) in zip(fakes, reals, boxes, strict=True):
                truth = forged_pixels(tighten(find_difference(fake, real, threshold), x0, y0), clip.width, clip.height)
                yield _remove_specks(truth, LEAST * fake.shape[0] * fake.shape[1])


OFFICIAL_LABELS = Labels()


def _read_rewinding(clip: Clip, numbers: Sequence[int], boxes: Sequence[Box], backend: Backend) -> Generator[Image]:
    """Reads frames in any order, in one forward pass for each stretch that rises."""
    turns = [at + 1 for at, (one, other) in enumerate(pairwise(numbers)) if other <= one]
    for start, stop in pairwise([0, *turns, len(numbers)]):
        with closing(VideoReader(clip.path, backend).read(numbers[start:stop], boxes[start:stop])) as images:
            yield from images


def _remove_specks(truth: Truth, least: float) -> Truth:
    outlines, _ = cv2.findContours(truth.part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    part = np.zeros_like(truth.part)
    cv2.drawContours(part, [outline for outline in outlines if cv2.contourArea(outline) >= least], -1, 1, cv2.FILLED)
    return truth._replace(part=part)


def fill_hull(truth: Truth) -> Truth:
    """Fills the convex hull of what is forged."""
    outlines, _ = cv2.findContours(truth.part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not outlines:
        return truth
    part = np.zeros_like(truth.part)
    cv2.fillConvexPoly(part, cv2.convexHull(np.concatenate(outlines)), 1)
    return truth._replace(part=part)


def find_difference(fake: Image, real: Image, threshold: float) -> Mask:
    """Tells where two pictures differ by more than the codec's noise, (h, w), 0 or 1.

    The difference is blurred, colour by colour, squared, averaged over the colours and a window, and its root compared:
    so an edit counts whether it changes the colour of an area or its grain.

    Args:
        fake: (h, w, 3), 0 to 255.
        real: (h, w, 3), 0 to 255.
        threshold: Grey levels, see `DIFFERENCE`.
    """
    apart = cv2.GaussianBlur(cv2.subtract(fake, real, dtype=cv2.CV_32F), (0, 0), SIGMA_PX)
    energy = cv2.blur(np.square(apart).mean(axis=2), (WINDOW_PX, WINDOW_PX))
    hot: Mask = (energy > threshold**2).astype(np.uint8)
    return hot
