"""Real talking people instead of drawn ones: clips from a folder, faces found by dlib and followed through time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ..clips.splits import SPLITS
from ..errors import DataMissingError, DataValueError
from ..faces.detection import face_detector
from ..video.decoders import Image
from ..video.reader import VideoReader
from ..video.scan import probe
from .charts import Face, Take
from .plan import Pair
from .takes import speech

SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v"}
STRIDE = 3
"""A face is looked for in every third frame; between them it moves evenly."""

LINES = 480
"""Height to which a frame is enlarged for the detector, whose smallest face is 80 pixels wide."""


class Role(NamedTuple):
    """What one identity of the tree is made of.

    Attributes:
        path: A person's clip.
        start: First frame, as a share of the frames that may be first, 0 to 1.
        mirrored: Left and right exchanged.
        tint: Factor a channel; 1 for the first use of a person.
    """

    path: Path
    start: float = 0.0
    mirrored: bool = False
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)


def find_people(folder: Path, frames: int) -> list[Path]:
    """Lists the clips of a folder that show a face, and names aloud those that do not.

    Args:
        folder: One person a file.
        frames: Length that a clip must have.

    Raises:
        FileNotFoundError: No clip can be used.
    """
    clips = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in SUFFIXES)
    useful, useless = [], []
    for path in clips:
        facts = probe(path)
        if facts.frames < frames:
            useless.append(f"{path.name} ({facts.frames} frames of {frames})")
            continue
        looked_at = list(VideoReader(path).read(list(range(0, facts.frames, max(1, facts.frames // 6)))))
        found = sum(find_face(image) is not None for image in looked_at)
        if 2 * found >= len(looked_at):
            useful.append(path)
        else:
            useless.append(f"{path.name} (a face in {found} of {len(looked_at)} frames)")
    if useless:
        print(f"{len(useless)} of {len(clips)} clips are left out: {', '.join(useless)}")
    if not useful:
        raise DataMissingError(
            f"{folder} holds {len(clips)} clips and none with {frames} frames and a face: name a folder with "
            f"one talking person a file ({', '.join(sorted(SUFFIXES))})"
        )
    return useful


def cast_people(people: Sequence[Path], pairs: Sequence[Pair], seed: int, across_splits: bool) -> dict[str, Role]:
    """Gives every identity of a tree a person, and says who appears more than once.

    Args:
        people: Clips, one person each.
        pairs: The tree.
        seed: Decides who plays whom.
        across_splits: Let one person appear in several splits.

    Returns:
        Name of the identity to its role. A person's further roles are other moments, mirrored in turn and recoloured.

    Raises:
        ValueError: Fewer people than splits, unless they may appear in several.
    """
    rng = np.random.default_rng([seed, 3])
    order = [people[number] for number in rng.permutation(len(people))]
    names: dict[str, list[str]] = {
        split: [who.name for pair in pairs if pair.split == split for who in pair.originals] for split in SPLITS
    }
    if across_splits:
        shares = {split: order for split in names}
    elif len(order) < len(SPLITS):
        raise DataValueError(
            f"{len(order)} of the clips show a person, but train, val and test need one each: add clips, or pass "
            "--allow-repeats-across-splits and read no generalisation to new people out of the results"
        )
    else:
        shares = _share(order, names)
    uses: dict[Path, list[str]] = {}
    for split, members in names.items():
        offset = sum(len(used) for used in uses.values()) if across_splits else 0
        for number, name in enumerate(members):
            uses.setdefault(shares[split][(number + offset) % len(shares[split])], []).append(name)
    repeated = {path.name: used for path, used in uses.items() if len(used) > 1}
    if repeated:
        print(
            "Fewer people than identities: " + "; ".join(f"{who} is {', '.join(as_)}" for who, as_ in repeated.items())
        )
    roles = {}
    for path, used in uses.items():
        for number, name in enumerate(used):
            tint = rng.uniform(0.8, 1.15, 3).tolist() if number else (1.0, 1.0, 1.0)
            roles[name] = Role(path, number / max(1, len(used) - 1), number % 2 == 1, tuple(tint))
    return roles


def _share(people: list[Path], names: dict[str, list[str]]) -> dict[str, list[Path]]:
    """Deals people to splits, one each and then where most identities wait for one."""
    shares: dict[str, list[Path]] = {split: [] for split in SPLITS}
    for number, person in enumerate(people):
        waiting = {split: len(names[split]) / (len(share) + 0.5) for split, share in shares.items()}
        first = number < len(SPLITS)
        split = SPLITS[number] if first else max(waiting, key=lambda each: waiting[each])
        shares[split].append(person)
    return shares


def film_person(role: Role, frames: int, width: int, height: int, rng: np.random.Generator) -> Take:
    """Reads one person's frames, cut to the shape of the tree and scaled to its size, and follows the face.

    Raises:
        ValueError: No face is found in these frames.
    """
    start = round(role.start * (probe(role.path).frames - frames))
    images = np.empty((frames, height, width, 3), np.uint8)
    for number, image in enumerate(VideoReader(role.path).read(range(start, start + frames))):
        image = _fit(image, width, height)
        image = image[:, ::-1] if role.mirrored else image
        if role.tint != (1.0, 1.0, 1.0):
            image = np.clip(np.rint(image * np.array(role.tint)), 0, 255).astype(np.uint8)
        images[number] = image
    found = {number: face for number in range(0, frames, STRIDE) if (face := find_face(images[number])) is not None}
    if not found:
        raise DataValueError(
            f"{role.path} shows no face in frames {start} to {start + frames - 1}: cut it to where the person talks"
        )
    known = np.array(list(found.values()))  # (n, 4): x, y, half-width, half-height
    moments = np.arange(frames)
    track = np.stack([np.interp(moments, list(found), column) for column in known.T], axis=1)
    smooth = cv2.blur(track, (1, 5), borderType=cv2.BORDER_REPLICATE)
    mouths = speech(rng, frames)
    faces = [Face(x, y, w, h, 0.0, mouth) for (x, y, w, h), mouth in zip(smooth.tolist(), mouths.tolist(), strict=True)]
    return Take(images, faces)


def find_face(image: Image) -> tuple[float, float, float, float] | None:
    """Finds the largest face: centre x and y, half-width and half-height of its oval, pixels; None without one."""
    scale = max(1.0, LINES / image.shape[0])
    boxes = face_detector()(cv2.resize(image, None, fx=scale, fy=scale), 0)
    if not boxes:
        return None
    box = max(boxes, key=lambda each: each.area())
    x, y = (box.left() + box.right()) / 2 / scale, (box.top() + box.bottom()) / 2 / scale
    side = box.width() / scale  # dlib's square reaches from the middle of the forehead to the chin
    return x, y - 0.06 * side, 0.47 * side, 0.62 * side


def _fit(image: Image, width: int, height: int) -> Image:
    """Cuts the middle of a frame to the wanted shape and scales it."""
    rows, columns = image.shape[:2]
    across, down = min(columns, rows * width // height), min(rows, columns * height // width)
    left, top = (columns - across) // 2, (rows - down) // 2
    part = np.ascontiguousarray(image[top : top + down, left : left + across])
    method = cv2.INTER_AREA if across > width else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(part, (width, height), interpolation=method), np.uint8)
