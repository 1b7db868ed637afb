"""How a clip gives its samples."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

import torch
from torch import Tensor

from .batch import Sample
from .cache import CropCache
from .crop_file import Cut
from .faces import FaceTracks
from .index import METHODS, Clip
from .masks import RULE, THRESHOLDS, Mask, read_truths, stencil
from .video import Backend, Image, VideoReader


class Crop(NamedTuple):
    """What is cut out of one frame, before it is resized.

    Attributes:
        image: (h, w, 3), 0 to 255.
        mask: (h, w), 0 real, 1 forged, 255 not known.
        label: 0 real, 1 fake.
        method: Position in `METHODS`.
        clip: Row of the index.
        frame: Position in the clip.
        box: x0 y0 x1 y1 in pixels of the video frame.
    """

    image: Image
    mask: Mask
    label: int
    method: int
    clip: int
    frame: int
    box: tuple[int, int, int, int]


def read_crops(
    clip: Clip,
    frames: Sequence[int],
    tracks: FaceTracks,
    margin: float = 1.3,
    thresholds: Mapping[str, int] = THRESHOLDS,
    backend: Backend = "pyav",
    cache: CropCache | None = None,
) -> Generator[Crop]:
    """Cuts the face out of frames of one clip, in one forward pass over its mask and then one over its video.

    The mask is read whole first and kept at one bit a pixel (8 kB a crop of 256x256): two decoders that advance in turn
    push each other's pictures out of the processor's cache, which costs a tenth.

    A frame of a fake whose mask is empty shows nothing rendered: it is real, so its label is 0 and so is its mask.

    Args:
        clip: A row of the index.
        frames: Indices in rising order.
        tracks: Where the faces are.
        margin: 1 is the tight square round the face.
        thresholds: See `masks.THRESHOLDS`.
        backend: See `VideoReader`.
        cache: Where crops are kept; what is there is not decoded again.
    """
    box_of = dict(zip(frames, map(tuple, tracks.crops(clip, frames, margin).tolist()), strict=True))

    def decode(wanted: Sequence[int]) -> Generator[Cut]:
        boxes = [box_of[frame] for frame in wanted]
        with closing(read_truths(clip, wanted, thresholds, backend)) as truths:
            stencils = [stencil(truth, box) for truth, box in zip(truths, boxes, strict=True)]
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
        for (frame, box), cut in zip(box_of.items(), cuts, strict=True):
            yield Crop(cut.image, cut.mask, cut.label, method, clip.number, frame, box)


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
    return {"image": image, "mask": mask, "label": label, "method": method, "clip": clip, "frame": frame, "box": box}
