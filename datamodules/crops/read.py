"""How a clip gives its samples."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np

from ..batch import CANVAS_MARGIN, Sample
from ..clips.index import METHODS, Clip
from ..clips.masks import Mask, Stencil, Truth, cut_stencil
from ..errors import DataMissingError
from ..faces.tracks import FaceTracks
from ..video.containers import Box
from ..video.decoders import Backend, Image
from ..video.reader import VideoReader
from .cache import CropCache
from .crop_file import Cut
from .labels import OFFICIAL_LABELS, Labels
from .transforms import on_canvas

MANY = 8
"""Frames of a fake of which one at least should be forged."""


class Canvas(NamedTuple):
    """The truth where it is measured, before it is resized.

    Attributes:
        truth: Official, (h, w), 0 real, 1 forged, 255 not known.
        box: Where that is.
        own: The truth by the row's own labels where these are others, (h, w), 0 real, 1 forged, 255 not known.
    """

    truth: Mask
    box: Box
    own: Mask | None = None

    def from_mask(self, mask: Mask, box: Box) -> Canvas:
        """The canvas of a frame that is forged where a mask of some box says so, and nowhere else."""
        truth = Truth(mask, *box[:2]).cut_out(self.box)
        return self._replace(truth=truth, own=None if self.own is None else truth)


class Crop(NamedTuple):
    """What is cut out of one frame, before it is resized.

    Attributes:
        image: (h, w, 3), 0 to 255.
        mask: (h, w), 0 real, 1 forged, 255 not known.
        label: 0 real, 1 fake.
        method: Position in `METHODS`, -1 for what is none of them.
        clip: Row of the index.
        frame: Position in the clip.
        box: Where it was cut out.
        canvas: The truth where it is measured, if it is.

    Examples:
        >>> image, mask = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
        >>> crop = Crop(image, mask, label=0, method=0, clip=0, frame=7, box=(0, 0, 4, 4))
        >>> METHODS[crop.method]
        'original'
    """

    image: Image
    mask: Mask
    label: int
    method: int
    clip: int
    frame: int
    box: Box
    canvas: Canvas | None = None


def read_crops(
    clip: Clip,
    frames: Sequence[int],
    tracks: FaceTracks,
    margin: float = 1.3,
    labels: Labels = OFFICIAL_LABELS,
    backend: Backend = "pyav",
    cache: CropCache | None = None,
    canvas: FaceTracks | None = None,
) -> Generator[Crop]:
    """Cuts the face out of frames of one clip, in one forward pass over its truth and then one over its video.

    The truth is read whole first and kept at one bit a pixel (8 kB a crop of 256x256): two decoders that advance in
    turn push each other's pictures out of the processor's cache, which costs a tenth.

    A frame of a fake whose mask is empty shows nothing rendered: it is real, so its label is 0 and so is its mask. If
    that is so of every frame, and there are `MANY` or more, it is warned of.
    Where the truth is measured, a frame's label follows the official mask, and other labels only where there is none:
    so rows of different labels are tested on the same frames.

    Where the canvas is another crop than the one cut out, or has another truth, that is read in a pass of its own: so
    it is the same whether crops come from a video or from a cache.

    Args:
        clip: A row of the index.
        frames: Indices in rising order.
        tracks: Where the faces are.
        margin: 1 is the tight square round the face.
        labels: What is forged.
        backend: What decodes, see `VideoReader`.
        cache: Where crops are kept; what is there is not decoded again. None keeps none.
        canvas: Where the faces are whose truth is measured, at `CANVAS_MARGIN`; without, there is no canvas.

    Raises:
        FileNotFoundError: The clip, or a file that its truth is read from, is gone.
        OSError: A frame cannot be read; crops before are given first.

    Examples:
        >>> from datamodules import clips_of, face_tracks, index
        >>> table = index(root)
        >>> clip = clips_of(table)[0]
        >>> crops = list(read_crops(clip, [0, 4], face_tracks(table)))
        >>> [crop.frame for crop in crops], crops[0].image.shape[:2] == crops[0].mask.shape
        ([0, 4], True)
    """
    boxes = _boxes(tracks, clip, frames, margin)
    box_of = dict(zip(frames, boxes, strict=True))
    wide = _boxes(canvas, clip, frames, CANVAS_MARGIN) if canvas else []
    other = not labels.are_official
    official = _stencils(labels.read_official(clip, frames, backend), wide) if wide and (other or wide != boxes) else []
    own = _stencils(labels.read(clip, frames, backend), wide) if wide and other and wide != boxes else []

    def decode(wanted: Sequence[int]) -> Generator[Cut]:
        boxes = [box_of[frame] for frame in wanted]
        stencils = _stencils(labels.read(clip, wanted, backend), boxes)
        with closing(VideoReader(clip.path, backend).read(wanted, boxes)) as images:
            for image, forged in zip(images, stencils, strict=True):
                yield Cut(image, forged.mask(), int(clip.label and forged.anything))

    if cache is None:
        cuts = decode(frames)
    else:
        shapes = [(y1 - y0, x1 - x0) for x0, y0, x1, y1 in box_of.values()]
        cuts = cache.read_or_decode(_key(clip, tracks, margin, labels), frames, shapes, decode)
    method = METHODS.index(clip.method) if clip.method in METHODS else -1
    forged = 0
    with closing(cuts):
        for number, (frame, box, cut) in enumerate(zip(frames, boxes, cuts, strict=True)):
            label, shown = cut.label, None
            if wide:
                truth = official[number].mask() if official else cut.mask
                variant = (own[number].mask() if own else cut.mask) if other else None
                shown = Canvas(truth, wide[number], variant)
            if official and official[number].known:
                label = int(clip.label and official[number].anything)
            forged += label
            yield Crop(cut.image, cut.mask, label, method, clip.number, frame, box, shown)
    if clip.label and not forged and len(frames) >= MANY:
        warnings.warn(
            f"nothing is forged in any of the {len(frames)} frames read of {clip.path}, so all count as real: look at "
            f"its mask {clip.mask_path or '(there is none)'}",
            stacklevel=2,
        )


def _boxes(tracks: FaceTracks, clip: Clip, frames: Sequence[int], margin: float) -> list[Box]:
    return [(x0, y0, x1, y1) for x0, y0, x1, y1 in tracks.crops(clip, frames, margin).tolist()]


def _stencils(truths: Generator[Truth], boxes: Sequence[Box]) -> list[Stencil]:
    with closing(truths):
        return [cut_stencil(truth, box) for truth, box in zip(truths, boxes, strict=True)]


def _key(clip: Clip, tracks: FaceTracks, margin: float, labels: Labels) -> str:
    """Names everything that shapes the crops of a clip, whichever of its frames are wanted."""
    files = []
    for path in (clip.path, *labels.files(clip)):
        if not os.path.isfile(path):
            raise DataMissingError(f"{path} does not exist: has the folder been moved since it was indexed?")
        status = os.stat(path)
        files.append((path, status.st_size, status.st_mtime_ns))
    boxes = tracks.crops(clip, range(clip.frames), margin)
    return hashlib.sha256(repr([files, labels.facts(clip)]).encode() + boxes.tobytes()).hexdigest()[:32]


def sample_of(crop: Crop, image: Image, mask: Mask) -> Sample:
    """Joins a crop's transformed image and mask with what is known of it."""
    label, method, clip, frame = np.array([crop.label, crop.method, crop.clip, crop.frame], np.int64)
    box = np.array(crop.box, np.float32)
    sample = {"image": image, "mask": mask, "label": label, "method": method, "clip": clip, "frame": frame, "box": box}
    if crop.canvas:
        sample["canvas"] = on_canvas(crop.canvas.truth)
        sample["canvas_box"] = np.array(crop.canvas.box, np.float32)
        if crop.canvas.own is not None:
            sample["canvas_own"] = on_canvas(crop.canvas.own)
    return sample
