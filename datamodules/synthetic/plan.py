"""What a miniature FaceForensics++ consists of, decided before a frame is drawn, oddities of the real one included."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..clips.index import FOUR_METHODS

CROPPED = 0.282
"""Share of Face2Face and of NeuralTextures that are centred crops of the target; 282 of 1000."""

CROPPING_METHODS = ("Face2Face", "NeuralTextures")
RATES = (24, 25, 30)


class Original(NamedTuple):
    """One person's recording: three-digit name, number of frames, frames a second."""

    name: str
    frames: int
    fps: int


class Fake(NamedTuple):
    """One forged clip.

    Attributes:
        method: One of `FOUR_METHODS`.
        target: Position of the target in its pair, 0 or 1; the other is the source.
        frames: Length.
        fps: In the header; now and then not the target's.
        cropped: Columns lost on either side; 0 for most.
        lost: Frames whose landmarks were not found: untouched, with an empty mask.
    """

    method: str
    target: int
    frames: int
    fps: int
    cropped: int
    lost: tuple[int, ...]


class Pair(NamedTuple):
    """Two people forged into each other: two originals and eight fakes, all in one split."""

    split: str
    originals: tuple[Original, Original]
    fakes: tuple[Fake, ...]

    def name(self, fake: Fake) -> str:
        """Returns `<target>_<source>`."""
        return f"{self.originals[fake.target].name}_{self.originals[1 - fake.target].name}"


def plan(pairs: int, seed: int, frames: int, width: int) -> list[Pair]:
    """Decides on names, splits, lengths and oddities.

    Args:
        pairs: How many, at least 3.
        seed: Decides on everything.
        frames: Length of a middling recording.
        width: Pixels of a frame, a multiple of 16.
    """
    rng = np.random.default_rng([seed, 0])
    names = [f"{number:03d}" for number in rng.permutation(2 * pairs)]
    splits = split_names(pairs)
    crop = (width - (width - 16) // 16 * 16) // 2
    cropped = {method: set(_choose_some(rng, 2 * pairs, CROPPED)) for method in CROPPING_METHODS}
    lost = set(_choose_some(rng, 2 * pairs, 0.3))
    other_rate = set(_choose_some(rng, 8 * pairs, 0.06))
    result = []
    for number in range(pairs):
        swing = max(1, frames // 8)
        longer, shorter = frames + int(rng.integers(1, swing + 1)), frames - int(rng.integers(1, swing + 1))
        lengths = [longer, shorter] if rng.random() < 0.5 else [shorter, longer]
        rates = rng.choice(RATES, 2)
        originals = [Original(names[2 * number + n], lengths[n], int(rates[n])) for n in (0, 1)]
        fakes = []
        for order, method in enumerate(FOUR_METHODS):
            for target in (0, 1):
                clip = 2 * number + target
                length = {"Deepfakes": lengths[target], "Face2Face": lengths[1 - target]}.get(method, min(lengths))
                first, count = int(rng.integers(length - length // 16)), max(1, length // 16)
                gone = tuple(range(first, first + count)) if method == "FaceSwap" and clip in lost else ()
                rate = originals[target].fps
                if 4 * clip + order in other_rate:
                    rate = RATES[(RATES.index(rate) + 1) % len(RATES)]
                lost_columns = crop if clip in cropped.get(method, ()) else 0
                fakes.append(Fake(method, target, length, rate, lost_columns, gone))
        result.append(Pair(splits[number], (originals[0], originals[1]), tuple(fakes)))
    return result


def split_names(pairs: int) -> list[str]:
    """Returns the split of every pair: half train, a sixth val, a third test, at least 4 of 8 and more in test."""
    test = max(4 if pairs >= 8 else 1, round(pairs / 3))
    val = max(1, round(pairs / 6))
    return ["train"] * (pairs - val - test) + ["val"] * val + ["test"] * test


def files(root: Path, pair: Pair, qualities: tuple[str, ...]) -> list[Path]:
    """Lists the videos of a pair by their official places."""
    result = [original_path(root, original.name, quality) for original in pair.originals for quality in qualities]
    for fake in pair.fakes:
        result += [fake_path(root, fake.method, pair.name(fake), quality) for quality in qualities]
        result.append(mask_path(root, fake.method, pair.name(fake)))
    return result


def original_path(root: Path, name: str, quality: str) -> Path:
    """Returns the official place of a recording."""
    return root / "original_sequences" / "youtube" / quality / "videos" / f"{name}.mp4"


def fake_path(root: Path, method: str, name: str, quality: str) -> Path:
    """Returns the official place of a forged clip."""
    return root / "manipulated_sequences" / method / quality / "videos" / f"{name}.mp4"


def mask_path(root: Path, method: str, name: str) -> Path:
    """Returns the official place of a forged clip's mask, one for all qualities."""
    return root / "manipulated_sequences" / method / "masks" / "videos" / f"{name}.mp4"


def _choose_some(rng: np.random.Generator, of: int, share: float) -> list[int]:
    return [int(number) for number in rng.choice(of, max(1, round(share * of)), replace=False)]
