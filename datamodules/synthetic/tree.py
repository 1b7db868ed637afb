"""Writes a miniature FaceForensics++: official places, official lengths, official oddities, invented people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from tqdm import tqdm

from ..clips.index import FOUR_METHODS
from ..clips.splits import SPLITS
from ..errors import DataExistsError, DataValueError
from ..files import write_text
from ..parallel.pool import run_parallel
from ..video.decoders import Image
from ..video.writer import write_video
from .charts import Take
from .manipulations import FORGERS, Forgery, random_style
from .plan import Fake, Pair, fake_path, files, mask_path, original_path, plan
from .sources import Role, cast_people, film_person, find_people
from .takes import film

Quality = Literal["raw", "c23", "c40"]
RECIPE = 1
"""Rises with every change that alters the frames: a tree of an older recipe is not continued."""

MARKER = "synthetic.json"


def write_tree(
    out: str | Path,
    pairs: int = 12,
    seed: int = 0,
    frames: int = 48,
    size: tuple[int, int] = (320, 240),
    qualities: Sequence[Quality] = ("raw", "c23", "c40"),
    workers: int = 0,
    sources: str | Path | None = None,
    repeats_across_splits: bool = False,
    progress: bool = False,
) -> Path:
    """Writes a tree in the layout of FaceForensics++; what is there already is kept.

    Args:
        out: An empty or new folder, or one in which a run with the same settings was cut short.
        pairs: Pairs of people, 3 to 500: two originals and two fakes a method each.
        seed: Decides on everything; the bytes do not depend on `workers`.
        frames: Length of a middling recording, at least 8; lengths vary by an eighth.
        size: Width, a multiple of 16, and height, even; at least 96 x 96.
        qualities: Any of raw, c23, c40.
        workers: Processes; 0 works in this one.
        sources: Folder with videos of talking people, used instead of drawn ones; needs dlib.
        repeats_across_splits: Let one person of `sources` appear in several splits.
        progress: Show a bar, a step a pair.

    Returns:
        The folder.

    Raises:
        ValueError: A setting is out of its range.
        FileExistsError: The folder holds something else.
    """
    _check(pairs, frames, size, qualities)
    out = Path(out)
    settings = {
        "recipe": RECIPE,
        "pairs": pairs,
        "seed": seed,
        "frames": frames,
        "size": list(size),
        "qualities": list(qualities),
        "sources": str(sources) if sources else None,
        "repeats_across_splits": repeats_across_splits,
    }
    _refuse_others(out, settings)
    planned = plan(pairs, seed, frames, size[0])
    missing = [pair for pair in planned if not all(path.is_file() for path in files(out, pair, tuple(qualities)))]
    if not missing:
        print(f"{out} is whole already: {pairs} pairs, seed {seed}; nothing to do")
        return out
    roles = None
    if sources:
        longest = max(who.frames for pair in planned for who in pair.originals)
        roles = cast_people(find_people(Path(sources), longest), planned, seed, repeats_across_splits)
    write_text(out / MARKER, json.dumps(settings, indent=1) + "\n")
    _write_splits(out / "splits", planned)
    work = partial(write_pair, out, seed=seed, size=size, qualities=tuple(qualities), roles=roles)
    with tqdm(total=pairs, initial=pairs - len(missing), unit="pair", disable=not progress) as bar:
        for _ in run_parallel(work, missing, workers=workers):
            bar.update()
    return out


def write_pair(
    out: Path,
    pair: Pair,
    seed: int,
    size: tuple[int, int],
    qualities: tuple[Quality, ...],
    roles: dict[str, Role] | None = None,
) -> None:
    """Writes the two originals, eight fakes and eight masks of one pair; people are drawn unless `roles` has them."""
    takes = []
    for who in pair.originals:
        rng = np.random.default_rng([seed, 1, int(who.name)])
        takes.append(film_person(roles[who.name], who.frames, *size, rng) if roles else film(rng, who.frames, *size))
    write_takes(out, pair, takes, seed, qualities)


def write_takes(out: Path, pair: Pair, takes: Sequence[Take], seed: int, qualities: tuple[Quality, ...]) -> None:
    """Writes the recordings of a pair, and the fakes and masks that the pair plans, forged from them."""
    for who, take in zip(pair.originals, takes, strict=True):
        for quality in qualities:
            write_video(original_path(out, who.name, quality), take.frames, quality, who.fps)
    for fake in pair.fakes:
        rng = np.random.default_rng([seed, 2, FOUR_METHODS.index(fake.method), int(pair.originals[fake.target].name)])
        forged = list(forge(fake, takes[fake.target], takes[1 - fake.target], rng))
        name = pair.name(fake)
        for quality in qualities:
            write_video(fake_path(out, fake.method, name, quality), [one.frame for one in forged], quality, fake.fps)
        write_video(mask_path(out, fake.method, name), [one.mask for one in forged], "c23", fake.fps)


def forge(fake: Fake, target: Take, source: Take, rng: np.random.Generator) -> Iterator[Forgery]:
    """Yields the frames of one forged clip; a target that ends too soon is rewound, and so is a source."""
    forger, style = FORGERS[fake.method], random_style(fake.method, rng)
    width = target.frames.shape[2]
    for number in range(fake.frames):
        now, then = number % len(target.faces), number % len(source.faces)
        frame = target.frames[now]
        if number in fake.lost:
            forged = Forgery(frame, np.zeros_like(frame))
        else:
            forged = forger(frame, target.faces[now], source.frames[then], source.faces[then], style)
        columns = slice(fake.cropped, width - fake.cropped)
        yield Forgery(_columns(forged.frame, columns), _columns(forged.mask, columns))


def _columns(image: Image, columns: slice) -> Image:
    return np.ascontiguousarray(image[:, columns])


def _check(pairs: int, frames: int, size: tuple[int, int], qualities: Sequence[str]) -> None:
    width, height = size
    if not 3 <= pairs <= 500:
        raise DataValueError(
            f"pairs is {pairs}, but three splits and three-digit names need 3 to 500: choose one of these"
        )
    if frames < 8:
        raise DataValueError(f"frames is {frames}, but lost landmarks and unequal lengths need 8: choose 8 or more")
    if width % 16 or height % 2 or min(size) < 96:
        wanted = f"{max(96, width // 16 * 16)}x{max(96, height // 2 * 2)}"
        raise DataValueError(f"size is {width}x{height}, but width must be a multiple of 16, height even: use {wanted}")
    known = get_args(Quality)
    if not qualities or set(qualities) - set(known):
        raise DataValueError(
            f"qualities are {list(qualities)}, but FaceForensics++ has {list(known)}: name one or more"
        )


def _refuse_others(out: Path, settings: dict[str, object]) -> None:
    """Refuses a folder that holds something else than the beginning of the same tree."""
    marker = out / MARKER
    if marker.is_file():
        begun = json.loads(marker.read_text())
        other = [f"{key} {begun.get(key)}, not {value}" for key, value in settings.items() if begun.get(key) != value]
        if other:
            raise DataExistsError(
                f"{out} holds a tree with other settings ({'; '.join(other)}): delete it or name another folder"
            )
    elif out.exists() and any(out.iterdir()):
        found = min(path.name for path in out.iterdir())
        raise DataExistsError(f"{out} holds {found!r}, but a tree is written into an empty folder: name another one")


def _write_splits(folder: Path, planned: list[Pair]) -> None:
    for split in SPLITS:
        pairs = [[who.name for who in pair.originals] for pair in planned if pair.split == split]
        write_text(folder / f"{split}.json", json.dumps(pairs) + "\n")
