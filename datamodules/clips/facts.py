"""Facts about files on disk, found once and remembered: what a clip truly holds, and why a file cannot be read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from ..files import cache_folder, write_parquet
from ..parallel.pool import count_cores, run_parallel
from ..video.scan import VideoFacts, glance, scan

_STAMP = ["path", "size", "mtime_ns", "inode"]


_FACTS = {"path": str} | dict.fromkeys((*_STAMP[1:], *VideoFacts._fields), "int64") | {"fps": float}


FACTS_VERSION = 2
"""Of what is remembered: raise it with every change of what `scan` answers, and files are looked at anew."""


FILES_FOR_PROCESSES = 8
"""Files to decode from which processes pay."""


Answer = tuple[VideoFacts | None, str]


def video_facts(paths: Sequence[str], root: Path, cache_dir: Path | None) -> pd.DataFrame:
    """Finds out what video files hold, or recalls it where size, time of change and inode are the same.

    Headers are read by threads; files whose headers prove nothing are decoded once, by processes. Only what was found
    is remembered: a file that cannot be read is tried again each time.

    Args:
        paths: Of the files.
        root: Whose files they are; each has a cache of its own.
        cache_dir: Where facts are kept; by default the user's cache folder.

    Returns:
        One row a file: `path`, the fields of `VideoFacts`, and `problem`: "", or a sentence that says why it cannot be
        used; such a file has 0 frames.
    """
    digest = hashlib.sha256(os.fsencode(Path(root).resolve())).hexdigest()[:16]
    cache = cache_folder(cache_dir) / f"facts-{FACTS_VERSION}-{digest}.parquet"
    stamps, problems = _stamps(dict.fromkeys(paths))
    known = _read_cache(cache)
    facts = stamps.merge(known, on=_STAMP)
    others = known[~known.path.isin(stamps.path)]
    new = stamps.path[~stamps.path.isin(facts.path)].tolist()
    found: dict[str, VideoFacts] = {}
    try:
        for path, (fact, problem) in _look_at(new):
            if fact:
                found[path] = fact
            else:
                problems[path] = problem
    finally:
        if found:  # also in a run that is cut short
            read = pd.DataFrame([(path, *fact) for path, fact in found.items()], columns=["path", *VideoFacts._fields])
            facts = pd.concat([facts, stamps.merge(read, on="path").astype(_FACTS)])
            kept = pd.concat([others, facts], ignore_index=True)
            write_parquet(kept.assign(path=kept.path.map(os.fsencode)), cache)
    columns = ["path", *VideoFacts._fields]
    broken = pd.DataFrame([(path, *VideoFacts(0, 0, 0, 0.0)) for path in problems], columns=columns)
    table = pd.concat([facts[columns], broken.astype({name: _FACTS[name] for name in columns})], ignore_index=True)
    return table.assign(problem=[problems.get(path, "") for path in table.path])


def _stamps(paths: Iterable[str]) -> tuple[pd.DataFrame, dict[str, str]]:
    rows, problems = [], {}
    for path in paths:
        try:
            status = os.stat(path)
            rows.append((path, status.st_size, status.st_mtime_ns, status.st_ino))
        except OSError as error:
            link = " is a link to what is not there" if os.path.islink(path) else ""
            problems[path] = f"{path}{link or f' cannot be reached ({error.strerror})'}: download or copy it again"
    return pd.DataFrame(rows, columns=_STAMP).astype({name: _FACTS[name] for name in _STAMP}), problems


def _read_cache(cache: Path) -> pd.DataFrame:
    if not cache.is_file():
        return pd.DataFrame(columns=list(_FACTS)).astype(_FACTS)
    known = pd.read_parquet(cache)
    return known.assign(path=known.path.map(os.fsdecode)).astype(_FACTS)


def _look_at(paths: Sequence[str]) -> Iterator[tuple[str, Answer]]:
    """Looks at headers first; yields facts or the reason why there are none, as they are found."""
    unproven = []
    pool = ThreadPoolExecutor(count_cores() + 1)
    try:
        answers = pool.map(partial(_answer, glance), paths)
        for path, answer in tqdm(answers, "reading headers", len(paths), unit="file", disable=not paths):
            if answer == (None, ""):
                unproven.append(path)
            else:
                yield path, answer
    finally:
        pool.shutdown(cancel_futures=True)
    workers = None if len(unproven) >= FILES_FOR_PROCESSES else 1
    work = run_parallel(partial(_answer, scan), unproven, "decoding once what headers do not prove", "file", workers)
    with closing(work) as scanned:  # type: ignore[type-var]
        yield from scanned


def _answer(look: Callable[[str], VideoFacts | None], path: str) -> tuple[str, Answer]:
    try:
        return path, (look(path), "")
    except (OSError, ValueError) as error:
        return path, (None, str(error))


def add_facts(rows: pd.DataFrame, root: Path, cache_dir: Path | None = None) -> pd.DataFrame:
    """Adds what clips and masks truly hold to a table of their paths.

    A mask whose clip has lost its first pictures, or that has itself lost others, does not pair with it by number: it
    counts as one that cannot be used.

    Args:
        rows: With the columns `path` and, "" for none, `mask_path`; several clips may share a mask.
        root: Folder or file that names them; what is found out is kept apart for each.
        cache_dir: Where facts about files are kept; by default the user's cache folder.

    Returns:
        The rows and, as `Clip` describes them, `frames`, `width`, `height`, `fps`, `lost`, `problem`, `mask_frames`,
        `mask_width`, `mask_height` and `mask_problem`.

    Examples:
        >>> clip = root / "original_sequences/youtube/c23/videos/000.mp4"
        >>> table = add_facts(pd.DataFrame({"path": [str(clip)], "mask_path": [""]}), root)
        >>> table[["width", "height", "problem"]].values.tolist()
        [[160, 128, '']]
    """
    masks_found = rows.mask_path[rows.mask_path != ""].unique()
    facts = video_facts([*rows.path, *masks_found], root, cache_dir).set_index("path")
    table = rows.join(facts[["frames", "width", "height", "fps", "lost", "problem"]], on="path")
    masks = facts[["frames", "width", "height", "lost", "problem"]].add_prefix("mask_")
    empty = {name: "" if name == "mask_problem" else 0 for name in masks}
    table = table.join(masks, on="mask_path").fillna(empty)
    table = table.astype({name: type(value) for name, value in empty.items()})
    apart = (table.mask_frames > 0) & (table.lost != table.mask_lost)
    sentence = " does not pair with its clip: one of them begins without a whole key frame, so their numbers differ"
    table["mask_problem"] = table.mask_problem.where(~apart, table.mask_path + sentence)
    sizes = ["mask_frames", "mask_width", "mask_height"]
    table[sizes] = table[sizes].where(~apart, 0)
    return table.drop(columns="mask_lost")
