"""What W&B has written of runs on disk: their folders, in the order in which they were made, and what these hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import ExperimentValueError

STEP = "trainer/global_step"
"""What W&B draws curves over, by Lightning's custom: optimiser steps."""

LOG_BLOCK = 32768
"""A file is divided into blocks of so many bytes, and a piece of a record lies inside one."""

HEADER = 7
"""Bytes before the first piece of a file, and before every piece: checksum (4), length (2), kind (1)."""

WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4
"""Kinds of pieces."""


def files_of(folder: Path, run_id: str | None = None) -> list[Path]:
    """The `.wandb` files below a folder, the oldest first.

    Args:
        folder: Of one run, or of many.
        run_id: Of the run that is asked for; by default all.
    """
    found = folder.rglob(f"wandb/*run-*-{run_id or '*'}/run-*.wandb")
    return sorted(found, key=lambda path: (_start(path), path))


def id_of(file: Path) -> str:
    """The id of the run that a `.wandb` file belongs to."""
    return file.stem.removeprefix("run-")


def _start(file: Path) -> str:
    """When it was, as W&B names the folder: `offline-run-20261125_221504-<id>`, or `run-...` where it was online."""
    return file.parent.name.partition("run-")[2].partition("-")[0]


def records(file: Path) -> Iterator[Any]:
    """The records (`wandb_internal_pb2.Record`) of a `.wandb` file, as far as they were written.

    W&B has a reader of its own, but none that Python can call. The file is a LevelDB log.

    Raises:
        ValueError: It is no such file.
    """
    yield from (record for _, record in _read_records(file))


def whole_bytes(file: Path) -> int:
    """Where the last record ends that was written whole; what follows is the beginning of one, if anything.

    Raises:
        ValueError: It is no such file.
    """
    return max((end for end, _ in _read_records(file)), default=HEADER)


def _read_records(file: Path) -> Iterator[tuple[int, Any]]:
    """Every record, and where it ends."""
    from google.protobuf.message import DecodeError  # here, for they take a second
    from wandb.proto import wandb_internal_pb2

    data = file.read_bytes()
    if not b":W&B".startswith(data[:4]):
        raise ExperimentValueError(
            f"{file} begins with {data[:4]!r}, but W&B's files with b':W&B': remove it, or copy it again"
        )
    position, parts = HEADER, b""
    while position + HEADER <= len(data):
        if LOG_BLOCK - position % LOG_BLOCK < HEADER:  # too little left for a piece: the block is filled with zeros
            position += LOG_BLOCK - position % LOG_BLOCK
            continue
        length, kind = int.from_bytes(data[position + 4 : position + 6], "little"), data[position + 6]
        piece = data[position + HEADER : position + HEADER + length]
        if not WHOLE <= kind <= LAST or len(piece) < length:  # what a killed process has not finished
            return
        parts = piece if kind in (WHOLE, FIRST) else parts + piece
        position += HEADER + length
        if kind in (WHOLE, LAST):
            record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]  # made when the module is imported
            try:
                record.ParseFromString(parts)
            except DecodeError as error:
                raise ExperimentValueError(
                    f"{file} is damaged at byte {position}: remove it, or copy it again"
                ) from error
            yield position, record


def read_rows(file: Path) -> Iterator[dict[str, Any]]:
    """The rows that were logged, `_step` among their keys."""
    for record in records(file):
        if record.WhichOneof("record_type") == "history":
            row = _to_plain(record.history.item)
            yield {**row, "_step": record.history.step.num}


def read_start(file: Path) -> Any:
    """What a run was begun as (`wandb_internal_pb2.RunRecord`), its names and tags; None where that was not written."""
    return next((record.run for record in records(file) if record.WhichOneof("record_type") == "run"), None)


def is_offline(file: Path) -> bool:
    """Whether it was written offline, and is to be sent."""
    return file.parent.name.startswith("offline-run-")


def is_complete(file: Path) -> bool:
    """Whether the process that wrote it came to the end; not so while it runs, or where it was killed."""
    return any(record.WhichOneof("record_type") == "exit" for record in records(file))


def config(file: Path) -> dict[str, Any]:
    """The configuration as it was at the end."""
    found: dict[str, Any] = {}
    for record in records(file):
        kind = record.WhichOneof("record_type")
        updates = {"run": record.run.config, "config": record.config}.get(kind)
        _put(found, updates.update if updates is not None else ())
    return found


def summary(file: Path) -> dict[str, Any]:
    """The summary as it was at the end, what the rows say of it included."""
    found: dict[str, Any] = {}
    for record in records(file):
        if record.WhichOneof("record_type") == "summary":
            _put(found, record.summary.update)
    return found


class LoggedRows:
    """Which row of a run's history an optimiser step is, `_step` in W&B: rows only ever rise, over all processes.

    Args:
        begun: Rows that are there.
        done: The last optimiser step of which something is there; a training that goes on from an earlier checkpoint
            repeats those before it, and they are left out.
    """

    def __init__(self, begun: int = 0, done: int = 0) -> None:
        self.begun = begun
        self.done = done
        self.since = ""
        """When the oldest file was begun, as W&B names folders."""
        self.cut = False
        """Whether of rows behind those that are there W&B has lost some, for the process was killed that logged them
        offline; not known of one that logged online."""
        self._unsure = False
        self._held: set[str] = set()
        self._ahead: int | None = None

    def add(self, file: Path) -> None:
        """Counts the rows of a file as there; what a killed process logged online W&B may lack, so it is repeated."""
        self.since = min(self.since or _start(file), _start(file))
        offline, complete, trained = is_offline(file), is_complete(file), False
        kept = offline or complete
        for row in read_rows(file):
            self.begun = max(self.begun, row["_step"] + 1)
            step = row.get(STEP, 0)
            trained |= step > 0
            if kept and step >= self.done:
                self._held = row.keys() | (self._held if step == self.done else set())
                self.done = step
        self._unsure = not kept or (self._unsure and not trained)
        self.cut = offline and not self._unsure and (not complete or (self.cut and not trained))

    def missing_from(self, step: int, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """What of an optimiser step's metrics is not there; the epoch is said anew beside what is not."""
        if step < self.done:
            return {}
        held = self._held if step == self.done else set()
        return {key: value for key, value in metrics.items() if key == "epoch" or key not in held}

    def of(self, step: int) -> int | None:
        """The row of an optimiser step, None for one that is done.

        Of the last step that is done a part may lack, so it is no row that is there, but the next one; from there on
        rows are ahead of steps by one.
        """
        if step < self.done:
            return None
        if self._ahead is None:
            self._ahead = max(0, self.begun - step)
        return step + self._ahead


def _to_plain(items: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    _put(found, items)
    return found


def _put(found: dict[str, Any], items: Any) -> None:
    """Sets the values of items, those of a picture or a table inside the one of its key."""
    for item in items:
        *outer, last = item.nested_key or [item.key]
        place = found
        for key in outer:
            place = place.setdefault(key, {})
        place[last] = json.loads(item.value_json)
