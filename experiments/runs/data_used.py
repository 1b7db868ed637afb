"""What data a run learnt by and was tested on, told by what the files hold: whether those on disk are still the same.

A run keeps them in `data.parquet`, those of a test on other data in `data-NAME.parquet`, with the columns of
`datamodules.clips.identity.FILE_COLUMNS`. Rows without a split are no clips: faces, and what the training started from;
they are compared where both sides know them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from datamodules.clips.identity import FILE_COLUMNS, fingerprint, one_row
from datamodules.clips.index import FOLDERS, FOUR_METHODS
from datamodules.clips.splits import OFFICIAL_PAIRS
from datamodules.files import write_parquet
from datamodules.layouts.listing import FILES_OF

from ..config.places import OF_DATA, OUR_PACKAGE, places
from ..errors import ExperimentValueError
from .damage import blame_file
from .folder import RunFolder
from .provenance import digest

TRAINING = ("train", "val")
"""Splits that shape a training."""

EVERY_SPLIT = (*TRAINING, "test")

ASKED = (*OF_DATA, "methods", "compression", "faces", "cache_dir")
"""Options of a data module that say which files it uses."""

FACES_FILE = "faces file"
"""Name that a data module gives to a file of faces."""

STARTED_FROM = "the training it starts from"
"""Name of the clips that another training has learnt by."""


class Data(NamedTuple):
    """Data files, and what else a training starts from.

    Attributes:
        clips: A row a clip with its split, see the top; None where they are not known.
        others: Fingerprints of what is no clip, by name: of faces, and of what a training started from.
        places: Where they lie, see `places.places`; empty for what a run has kept.
        problem: Why the clips are not known; "" where nothing is wrong.
    """

    clips: pd.DataFrame | None
    others: dict[str, str]
    places: dict[str, str]
    problem: str = ""

    def digest(self, splits: Sequence[str]) -> str:
        """Short hash of the clips of some splits and of a file of faces; "" where the clips are not known."""
        if self.clips is None:
            return ""
        return digest(_select_splits(self.clips, splits)) + self.others.get(FACES_FILE, "")


def count_clips(data: Data, config: Mapping[str, Any]) -> dict[str, int]:
    """Clips of each split, each counted once however many of its qualities are used.

    Args:
        data: Of a row or a run; where its clips are not known, they are taken to be those of all of FaceForensics++.
        config: Resolved.
    """
    options = config["data"]["init_args"]
    if data.clips is None:
        methods = len(options.get("methods", FOUR_METHODS))
        return {split: 2 * pairs * (1 + methods) for split, pairs in OFFICIAL_PAIRS.items()}
    qualities = len(FOLDERS) if options.get("compression") == "mixed" else 1
    return {split: int((data.clips["split"] == split).sum()) // qualities for split in OFFICIAL_PAIRS}


class DataNow:
    """Looks at data files, at those of each data set once."""

    def __init__(self) -> None:
        self._known: dict[str, pd.DataFrame | Exception | None] = {}

    def __call__(self, config: Mapping[str, Any], start: Data | None = None) -> Data:
        """The data that a configuration names.

        Args:
            config: Resolved.
            start: Data of the training that it starts from.
        """
        asked = _read_options(config["data"])
        if repr(asked) not in self._known:
            self._known[repr(asked)] = _look_at(asked)
        found = self._known[repr(asked)]
        if isinstance(found, Exception):
            return data_of(None, config, start)._replace(problem=str(found))
        return data_of(found, config, start)


def data_of(files: pd.DataFrame | None, config: Mapping[str, Any], start: Data | None) -> Data:
    """Joins a data module's files and what a training starts from.

    Args:
        files: Of `VideoDataModule.files`; None where they are not known.
        config: Resolved.
        start: Data of the training that it starts from; None for none, or where they are not known.
    """
    lying = places(config)
    data = Data(None, {}, lying) if files is None else _drop_others(files, lying)
    if start is not None:
        data.others.update({f"{STARTED_FROM}: {name}": value for name, value in start.others.items()})
        if learnt_by := start.digest(TRAINING):
            data.others[STARTED_FROM] = learnt_by
    path = Path(lying.get("model.init_args.encoder_checkpoint", ""))
    if path.is_file():
        data.others["encoder_checkpoint"] = fingerprint(path)
    return data


def read_data(run: RunFolder, name: str | None = None) -> Data | None:
    """Reads what data a run has used.

    Args:
        run: Its folder.
        name: Of other test data.

    Returns:
        The data; None where they were not kept.

    Raises:
        DamagedFileError: The file is damaged.
    """
    path = run.file("data", name, "parquet")
    if not path.is_file():
        return None
    with blame_file(path, f"put back a sound copy, or remove {path.name}: data are told by their paths then"):
        return _drop_others(pd.read_parquet(path)[[*FILE_COLUMNS]].astype(str), {})


def describe_data_difference(run: RunFolder, data: Data, splits: Sequence[str]) -> str:
    """Says which data are not those of a run; "" where they are, or where nobody can tell.

    Where a run has kept nothing of its data, they are told by their paths.

    Args:
        run: Its folder, with a configuration.
        data: As they are now.
        splits: To compare.

    Raises:
        DamagedFileError: A file of the run is damaged.
    """
    if known := read_data(run):
        return difference(known, data, splits)
    before = places(run.read_config())
    moved = [key for key in {**before, **data.places} if before.get(key) != data.places.get(key)]
    return "; ".join(f"{key} was {before.get(key)}, is {data.places.get(key)}" for key in moved)


def difference(known: Data, now: Data, splits: Sequence[str]) -> str:
    """Says in words how data differ, such as `1 file changed, first original_sequences/...`.

    Args:
        known: Those of a run.
        now: Those to compare.
        splits: Whose clips are compared.

    Returns:
        The words; "" where nothing differs of what both know.
    """
    said = []
    if known.clips is not None and now.clips is not None:
        clips = (_select_splits(known.clips, splits), _select_splits(now.clips, splits))
        both = clips[0].merge(clips[1], how="outer", on="name", suffixes=("", " now"), indicator="side")
        unlike = pd.concat([both[name] != both[f"{name} now"] for name in FILE_COLUMNS[1:]], axis=1).any(axis=1)
        for what, rows in (
            ("changed", (both["side"] == "both") & unlike),
            ("added", both["side"] == "right_only"),
            ("gone", both["side"] == "left_only"),
        ):
            if count := int(rows.sum()):
                said.append(f"{count} clip{'s' if count > 1 else ''} {what}, first {both['name'][rows].min()}")
    shared = [name for name in known.others if name in now.others]
    return "; ".join([*said, *(f"{name} changed" for name in shared if known.others[name] != now.others[name])])


def keep_data(run: RunFolder, data: Data, write: bool) -> None:
    """Notes what data a training learns by, or sees that it goes on by the same.

    Args:
        run: Its folder, with its configuration.
        data: As they are now.
        write: Whether this process is the one that writes.

    Raises:
        ValueError: The run here was begun by other data.
    """
    if run.is_started:
        refuse_other_data(run, data, TRAINING, "")
    if write and data.clips is not None and not run.is_trained and not (run.is_started and read_data(run)):
        _write_data(run, data)


def refuse_other_data(run: RunFolder, data: Data, splits: Sequence[str], more: str) -> None:
    """Ends with a sentence where data are not those that a run has used.

    Args:
        run: Its folder.
        data: As they are now.
        splits: To compare.
        more: What else may be done, behind a comma.

    Raises:
        ValueError: They are others.
    """
    if unlike := describe_data_difference(run, data, splits):
        raise ExperimentValueError(
            f"the run in {run.path} learnt by other data than there are now ({unlike}): put those back, or use another "
            f"folder (--trainer.default_root_dir){more}"
        )


def keep_tested_data(run: RunFolder, data: Data, name: str | None) -> None:
    """Notes what data a test has measured.

    Args:
        run: Its folder.
        data: Those of the test.
        name: Of other test data; None for the run's own, which stand beside those it learnt by.
    """
    if data.clips is None:
        return
    tested = _select_splits(data.clips, ["test"])
    if name:
        _write_data(run, data._replace(clips=tested), name)
    elif (known := read_data(run)) and known.clips is not None:
        _write_data(
            run, known._replace(clips=pd.concat([_select_splits(known.clips, TRAINING), tested], ignore_index=True))
        )


def _write_data(run: RunFolder, data: Data, name: str | None = None) -> None:
    """Writes what `read_data` reads."""
    run.path.mkdir(parents=True, exist_ok=True)
    others = [one_row(*other) for other in data.others.items()]
    write_parquet(pd.concat([data.clips, *others], ignore_index=True), run.file("data", name, "parquet"))


def _drop_others(files: pd.DataFrame, lying: dict[str, str]) -> Data:
    others = files[files["split"] == ""]
    return Data(files[files["split"] != ""], dict(others[["name", "video"]].itertuples(index=False)), lying)


def _select_splits(clips: pd.DataFrame, splits: Sequence[str]) -> pd.DataFrame:
    return clips[clips["split"].isin(splits)]


def _read_options(data: Mapping[str, Any]) -> dict[str, Any]:
    """Class and options that say which files are used; nothing of a data module that cannot tell."""
    path, arguments = str(data.get("class_path", "")), data.get("init_args")
    if not path.startswith(OUR_PACKAGE) or not isinstance(arguments, Mapping):
        return {}
    return {"class_path": path, **{name: arguments[name] for name in ASKED if name in arguments}}


def _look_at(asked: Mapping[str, Any]) -> pd.DataFrame | Exception | None:
    if not asked:
        return None
    options = dict(asked)
    path = options.pop("class_path")
    try:
        return FILES_OF[path](**options) if path in FILES_OF else _list_by_making(path, options)
    except (OSError, ValueError) as error:
        return error


def _list_by_making(path: str, options: Mapping[str, Any]) -> pd.DataFrame | None:
    """What a data module lists that has to be made for that."""
    from datamodules.video_data import VideoDataModule  # here, for Lightning takes seconds

    module, _, name = path.rpartition(".")
    made: Callable[..., Any] = getattr(importlib.import_module(module), name)
    data = made(**options)
    return data.files() if isinstance(data, VideoDataModule) else None
