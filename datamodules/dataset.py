"""How a clip gives its samples."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

import torch
from torch import Tensor

from .batch import CANVAS_MARGIN, Sample
from .cache import CropCache
from .crop_file import Cut
from .faces import FaceTracks
from .index import METHODS, Clip
from .masks import RULE, THRESHOLDS, Mask, Stencil, Truth, read_truths, stencil
from .transforms import on_canvas
from .video import Backend, Image, VideoReader

Box = tuple[int, int, int, int]
"""x0 y0 x1 y1 in pixels of the video frame."""


class Canvas(NamedTuple):
    """The truth where it is measured, before it is resized.

    Attributes:
        truth: (h, w), 0 real, 1 forged, 255 not known.
        box: Where that is.
    """

    truth: Mask
    box: Box

    def showing(self, mask: Mask, box: Box) -> Canvas:
        """The canvas of a frame that is forged where a mask of some box says so, and nowhere else."""
        return self._replace(truth=Truth(mask, *box[:2]).within(self.box))


class Crop(NamedTuple):
    """What is cut out of one frame, before it is resized.

    Attributes:
        image: (h, w, 3), 0 to 255.
        mask: (h, w), 0 real, 1 forged, 255 not known.
        label: 0 real, 1 fake.
        method: Position in `METHODS`.
        clip: Row of the index.
        frame: Position in the clip.
        box: Where it was cut out.
        canvas: The truth where it is measured, if it is.
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
    thresholds: Mapping[str, int] = THRESHOLDS,
    backend: Backend = "pyav",
    cache: CropCache | None = None,
    canvas: FaceTracks | None = None,
) -> Generator[Crop]:
    """Cuts the face out of frames of one clip, in one forward pass over its mask and then one over its video.

    The mask is read whole first and kept at one bit a pixel (8 kB a crop of 256x256): two decoders that advance in turn
    push each other's pictures out of the processor's cache, which costs a tenth.

    A frame of a fake whose mask is empty shows nothing rendered: it is real, so its label is 0 and so is its mask.

    Where the canvas is another crop than the one cut out, the mask is read once more for it, in a pass of its own: so
    it is the same whether crops come from a video or from a cache.

    Args:
        clip: A row of the index.
        frames: Indices in rising order.
        tracks: Where the faces are.
        margin: 1 is the tight square round the face.
        thresholds: See `masks.THRESHOLDS`.
        backend: See `VideoReader`.
        cache: Where crops are kept; what is there is not decoded again.
        canvas: Where the faces are whose truth is measured, at `CANVAS_MARGIN`; without, there is no canvas.
    """
    boxes = _boxes(tracks, clip, frames, margin)
    box_of = dict(zip(frames, boxes, strict=True))
    wide = _boxes(canvas, clip, frames, CANVAS_MARGIN) if canvas else []
    apart = _stencils(clip, frames, wide, thresholds, backend) if wide != boxes and wide else []

    def decode(wanted: Sequence[int]) -> Generator[Cut]:
        boxes = [box_of[frame] for frame in wanted]
        stencils = _stencils(clip, wanted, boxes, thresholds, backend)
        with closing(VideoReader(clip.path, backend).read(wanted, boxes)) as images:
            for image, forged in zip(images, stencils, strict=True):
                yield Cut(image, forged.mask(), int(clip.label and forged.anything))

    if cache is None:
        cuts = decode(frames)
    else:
        shapes = [(y1 - y0, x1 - x0) for x0, y0, x1, y1 in box_of.values()]
        cuts = cache.through(_key(clip, tracks, margin, thresholds), frames, shapes, decode)
    method = METHODS.index(clip.method)
    with closing(cuts):
        for number, (frame, box, cut) in enumerate(zip(frames, boxes, cuts, strict=True)):
            shown = Canvas(apart[number].mask() if apart else cut.mask, wide[number]) if wide else None
            yield Crop(cut.image, cut.mask, cut.label, method, clip.number, frame, box, shown)


def _boxes(tracks: FaceTracks, clip: Clip, frames: Sequence[int], margin: float) -> list[Box]:
    return [(x0, y0, x1, y1) for x0, y0, x1, y1 in tracks.crops(clip, frames, margin).tolist()]


def _stencils(
    clip: Clip, frames: Sequence[int], boxes: Sequence[Box], thresholds: Mapping[str, int], backend: Backend
) -> list[Stencil]:
    with closing(read_truths(clip, frames, thresholds, backend)) as truths:
        return [stencil(truth, box) for truth, box in zip(truths, boxes, strict=True)]


def _key(clip: Clip, tracks: FaceTracks, margin: float, thresholds: Mapping[str, int]) -> str:
    """Names everything that shapes the crops of a clip, whichever of its frames are wanted."""
    files = []
    for path in filter(None, (clip.path, clip.mask_path)):
        if not os.path.isfile(path):
            raise FileNotFoundError(f"{path} does not exist: has the folder been moved since it was indexed?")
        status = os.stat(path)
        files.append((path, status.st_size, status.st_mtime_ns))
    facts = [files, clip.label, clip.dx, clip.mask_frames, thresholds.get(clip.method), RULE]
    boxes = tracks.crops(clip, range(clip.frames), margin)
    return hashlib.sha256(repr(facts).encode() + boxes.tobytes()).hexdigest()[:32]


def sample_of(crop: Crop, image: Tensor, mask: Tensor) -> Sample:
    """Joins a crop's transformed image and mask with what is known of it."""
    label, method, clip, frame = torch.tensor([crop.label, crop.method, crop.clip, crop.frame])
    box = torch.tensor(crop.box, dtype=torch.float32)
    sample: Sample = {
        "image": image,
        "mask": mask,
        "label": label,
        "method": method,
        "clip": clip,
        "frame": frame,
        "box": box,
    }
    if crop.canvas:
        sample["canvas"] = on_canvas(crop.canvas.truth)
        sample["canvas_box"] = torch.tensor(crop.canvas.box, dtype=torch.float32)
    return sample
