"""The parts FaceForensics++ is given out in: which a tree holds, and what to select for the others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple

import pandas as pd

from ..clips.index import Compression
from ..clips.masks import THRESHOLDS
from ..clips.splits import OFFICIAL_PAIRS, SPLITS, Splits

ACTORS = "actors"
"""What a part is called that holds the originals of DeepFakeDetection."""

OFFICIAL_CLIPS: Mapping[str, int] = {
    "original": 1000,
    "Deepfakes": 1000,
    "Face2Face": 1000,
    "FaceSwap": 1000,
    "NeuralTextures": 1000,
    "FaceShifter": 1000,
    ACTORS: 363,
    "DeepFakeDetection": 3068,
}
"""Clips of each; the methods have as many masks, FaceShifter none (https://github.com/ondyari/FaceForensics)."""

SELECTED = {ACTORS: "DeepFakeDetection_original"}
"""What the official download calls a part, where the folder has another name."""


class Part(NamedTuple):
    """Something that is downloaded on its own.

    Attributes:
        what: `videos`, `masks` (one set for all qualities) or `splits`.
        method: A key of `OFFICIAL_CLIPS`; "" for splits.
        compression: Of videos.
    """

    what: Literal["videos", "masks", "splits"]
    method: str = ""
    compression: Compression | Literal[""] = ""

    def __str__(self) -> str:
        """For humans."""
        return " ".join(filter(None, (self.method, self.compression, self.what)))


class Stock(NamedTuple):
    """How much of a part there is.

    Attributes:
        part: The part.
        there: Clips, masks or split files that can be read.
        wanted: How many there should be.
    """

    part: Part
    there: int
    wanted: int

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing."""
        return self.there >= self.wanted

    @property
    def select(self) -> str:
        """What to take to have it whole."""
        if self.part.what == "splits":
            pairs = ", ".join(str(OFFICIAL_PAIRS[split]) for split in SPLITS)
            return f"train.json, val.json and test.json ({pairs} pairs) from the splits of FaceForensics++'s repository"
        name = SELECTED.get(self.part.method, self.part.method)
        quality = f" -c {self.part.compression}" if self.part.compression else ""
        return f"in the official download -d {name}{quality} -t {self.part.what}: {self.wanted} files"


def parts_for(methods: Collection[str], compression: Compression, masks: bool) -> list[Part]:
    """What an experiment reads.

    Args:
        methods: Manipulations.
        compression: Quality.
        masks: Whether it needs masks, of those methods that have some.
    """
    originals = ["original", *([ACTORS] if "DeepFakeDetection" in methods else [])]
    videos = [Part("videos", method, compression) for method in (*originals, *methods)]
    with_masks = [method for method in methods or ("Deepfakes",) if method in THRESHOLDS]  # any gives the faces
    return [Part("splits"), *videos, *([Part("masks", method) for method in with_masks] if masks else [])]


def stock(part: Part, table: pd.DataFrame, splits: Splits | None) -> Stock:
    """Counts one part.

    Args:
        part: The part.
        table: The index of all qualities, see `index_all`; may be empty.
        splits: The pairs, which say how many clips there should be; without them the official number.
    """
    if part.what == "splits":
        return Stock(part, len(SPLITS) if splits else 0, len(SPLITS))
    own = "original" if part.method == ACTORS else part.method
    clips = table[table["method"] == own]
    if own == "original":
        clips = clips[clips.target.str.fullmatch(r"\d{3}") != (part.method == ACTORS)]
    if part.what == "masks":
        there = clips[clips.mask_frames > 0].mask_path.nunique()
    else:
        there = int(((clips.compression == part.compression) & (clips.frames > 0)).sum())
    pairs = sum(map(len, splits.values())) if splits else 0
    numbered = part.method not in (ACTORS, "DeepFakeDetection")
    return Stock(part, there, 2 * pairs if pairs and numbered else OFFICIAL_CLIPS[part.method])
