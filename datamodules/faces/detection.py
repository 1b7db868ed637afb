"""Finds the face of one target: in its official masks, or with dlib in its original."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import pandas as pd

from ..clips.index import Clip, Compression, clips_of
from ..clips.masks import THRESHOLDS, Truth, forged_pixels, mask_shift
from ..errors import DataValueError
from ..video.reader import VideoReader

Source = Literal["masks", "dlib"]

FaceBox = tuple[float, float, float, float]
"""x0 y0 x1 y1 in pixels."""

PREFERENCE = ("Deepfakes", "Face2Face", "NeuralTextures", "FaceSwap", "DeepFakeDetection")
"""Whose mask gives a target's track: the first on disk that is not empty throughout."""

ORIGINALS: tuple[Compression, ...] = ("c23", "raw", "c40")
"""Which quality of an original dlib looks at: the first on disk, whatever quality is selected."""

UPSAMPLINGS = 1
"""How often dlib doubles a frame before it looks; FaceForensics++'s own number. It then finds faces of 40 pixels."""

FOLLOWING = 1
"""Version of `follow` and of what it is given: raise it with every change of these, and tracks are found anew."""

LASTING = 25
"""Frames from which a second face counts, where the first is not there yet or any more: about a second."""

TRACK_COLUMNS = ["target", "frame", "x0", "y0", "x1", "y1"]


class Search(NamedTuple):
    """Where to look for the face of one target.

    Attributes:
        target: Its id.
        clips: Fakes with masks, the preferred first; for dlib the one clip.
        length: Frames of the track.
        thresholds: For masks, the grey level of each clip's that forged pixels exceed.
    """

    target: str
    clips: list[Clip]
    length: int
    thresholds: list[int]


def official_candidates(table: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Which clips of FaceForensics++ are looked at: fakes with masks as `PREFERENCE` has them, or one original each.

    Args:
        table: The readable clips of an index.
        source: What is looked at.

    Returns:
        Rows of the index, see `list_searches`.
    """
    if source == "masks":
        table = table[table.method.isin(PREFERENCE)]
        ranked = table.assign(rank=table.method.map(PREFERENCE.index), threshold=table.method.map(THRESHOLDS))
        return select_masked(ranked.sort_values(["target", "rank", "clip"]))
    originals = table[table.label == 0]
    ranked = originals.assign(rank=originals.compression.map(ORIGINALS.index)).sort_values(["target", "rank"])
    return ranked.drop_duplicates("target")


def select_masked(table: pd.DataFrame) -> pd.DataFrame:
    """Clips with a mask that can be read, each mask once."""
    geometry = ["width", "height", "mask_frames", "mask_width", "mask_height", "dx"]  # alike in every sound quality
    return table[table.mask_frames > 0].drop_duplicates(["target", "mask_path", *geometry])


def list_searches(candidates: pd.DataFrame, lengths: Mapping[str, int]) -> list[Search]:
    """One search a target that has a clip to look at.

    Args:
        candidates: Clips to look at with the columns of `Clip`, of each target the preferred first; for masks, also
            `threshold`, the grey level that forged pixels exceed.
        lengths: Frames of each target.
    """
    levels = candidates.threshold if "threshold" in candidates else [0] * len(candidates)
    found: dict[str, Search] = {}
    for clip, level in zip(clips_of(candidates), levels, strict=True):
        search = found.setdefault(clip.target, Search(clip.target, [], lengths[clip.target], []))
        search.clips.append(clip)
        search.thresholds.append(int(level))
    return list(found.values())


def find_in_masks(search: Search) -> pd.DataFrame:
    """Bounds of the forged region in the first mask that shows one.

    Returns:
        `TRACK_COLUMNS`, one row a frame with a face; none where every mask is empty or fits no clip.
    """
    for clip, threshold in zip(search.clips, search.thresholds, strict=True):
        left = mask_shift(clip)
        if left is None:
            continue
        frames = range(min(search.length, clip.mask_frames))
        spots = VideoReader(clip.mask_path).read_bright(frames, threshold)
        truths = (forged_pixels(spot, clip.mask_width, clip.mask_height) for spot in spots)
        boxes = {frame: _bounds(truth, clip.dx - left) for frame, truth in enumerate(truths) if truth}
        if boxes:
            return _rows(search.target, boxes)
    return _rows(search.target, {})


def find_by_dlib(search: Search) -> pd.DataFrame:
    """Boxes that dlib's frontal face detector gives in every frame of an original, one face followed.

    The detector, grey frames, their doubling and a box's edges are those of FaceForensics++'s `detect_from_video.py`
    (https://github.com/ondyari/FaceForensics). Measured on one core: 98 ms a frame of 640 x 480, 258 ms of 1280 x 720;
    the thousand originals, 509 frames each, would take 14 core-hours were all of the former size, and take more.

    Returns:
        `TRACK_COLUMNS`, one row a frame with a face, inside the frame; none where no face is found.

    Raises:
        ValueError: dlib is not installed.
        OSError: The original cannot be decoded.
    """
    (clip,) = search.clips
    detector = face_detector()
    limits = np.array([clip.width, clip.height] * 2)
    found = []
    for image in VideoReader(clip.path).read(range(min(search.length, clip.frames))):
        faces = detector(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), UPSAMPLINGS)
        boxes = [np.clip([face.left(), face.top(), face.right(), face.bottom()], 0, limits) for face in faces]
        found.append([(float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in boxes])
    return _rows(search.target, follow(found))


FINDERS: Mapping[Source, Callable[[Search], pd.DataFrame]] = {"masks": find_in_masks, "dlib": find_by_dlib}


@cache
def face_detector() -> Any:
    """The frontal face detector of dlib.

    Raises:
        ValueError: dlib is not installed.
    """
    try:
        import dlib
    except ImportError as error:
        raise DataValueError(
            "faces shall be found by dlib, which is not installed: pip install dlib-bin; faces: masks does without"
        ) from error
    return dlib.get_frontal_face_detector()


def follow(found: Sequence[Sequence[FaceBox]]) -> dict[int, FaceBox]:
    """Follows one face through a clip.

    A box continues the face whose last box it overlaps most; a box that overlaps none begins another face. So a face
    that was missed for a while is not exchanged for a bystander's. The track is the face with the most area, summed
    over its frames; other lasting faces join it, largest first, where they are there wholly before or after it, as
    behind a cut.

    Args:
        found: By frame, boxes of all faces.

    Returns:
        By frame, the box of the one face, in rising order; frames without it are left out.
    """
    faces: list[dict[int, FaceBox]] = []
    for frame, boxes in enumerate(found):
        last = [next(reversed(face.values())) for face in faces]
        links = [(overlap(old, new), a, b) for a, old in enumerate(last) for b, new in enumerate(boxes)]
        continued: set[int] = set()
        unknown = dict(enumerate(boxes))
        for share, a, b in sorted(links, key=lambda link: -link[0]):  # of equals the earlier face, dlib's surer box
            if share > 0 and a not in continued and b in unknown:
                faces[a][frame] = unknown.pop(b)
                continued.add(a)
        faces += [{frame: box} for box in unknown.values()]
    chosen: list[dict[int, FaceBox]] = []
    for face in sorted(faces, key=lambda each: -sum(map(_area, each.values()))):
        lasts = len(face) >= LASTING and all(max(face) < min(one) or min(face) > max(one) for one in chosen)
        if lasts or not chosen:
            chosen.append(face)
    return {frame: box for face in sorted(chosen, key=min) for frame, box in face.items()}


def overlap(one: FaceBox, other: FaceBox) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (_area(one) + _area(other) - width * height)


def _area(box: FaceBox) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _bounds(truth: Truth, shift: int) -> FaceBox:
    x, y, width, height = cv2.boundingRect(truth.part)
    x, y = x + truth.x, y + truth.y
    return x + shift, y, x + width + shift, y + height


def _rows(target: str, boxes: Mapping[int, FaceBox]) -> pd.DataFrame:
    rows = pd.DataFrame([(target, frame, *box) for frame, box in boxes.items()], columns=TRACK_COLUMNS)
    return rows.astype({"target": str, "frame": "int64"} | dict.fromkeys(TRACK_COLUMNS[2:], "float32"))
