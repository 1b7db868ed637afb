"""Joins the audit of a data folder to what the tables need, as their YAML rows say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from datamodules.clips.index import FOLDERS, FOUR_METHODS
from datamodules.doctor import Part, run
from datamodules.doctor.parts import parts_for

from .config.layers import apply_changes, changes_of_test, read_settings
from .config.rows import TABLES, all_rows

DEFAULTS = {"methods": FOUR_METHODS, "compression": "c23", "faces": "masks"}
"""Those of `FaceForensicsDataModule`, which takes seconds to import."""

PIXEL_FREE = "lightning_modules.ClassificationModule"
"""The model that needs no masks, where its crops need none either."""


def doctor(arguments: Sequence[str]) -> int:
    """Examines a folder for all tables; returns the exit status."""
    return run(arguments, read_needs(TABLES), "python -m experiments doctor")


def read_needs(folder: Path) -> dict[str, list[Part]]:
    """Reads what each table needs out of its rows, `_base.yaml` and `base.yaml`, and the data module's defaults.

    Args:
        folder: Holds `base.yaml` and the tables' folders.

    Returns:
        By table, its parts in order, each once.
    """
    tables: dict[str, list[Part]] = {}
    for row in sorted(all_rows(folder)):
        parts = tables.setdefault(row.table, [])
        parts += [part for part in _needs_of_row(read_settings(row.files)) if part not in parts]
    return {
        name: sorted(parts, key=lambda part: ("splits", "videos", "masks").index(part.what))
        for name, parts in tables.items()
    }


def _needs_of_row(settings: Mapping[str, Any]) -> Iterator[Part]:
    data = DEFAULTS | settings.get("data", {}).get("init_args", {})
    masks = data["faces"] == "masks" or settings.get("model", {}).get("class_path") != PIXEL_FREE
    for quality in FOLDERS if data["compression"] == "mixed" else [data["compression"]]:
        yield from parts_for(data["methods"], quality, masks)
    for test in (settings.get("tests") or {}).values():
        if not test.get("optional"):
            yield from _needs_of_row(apply_changes({**settings, "tests": {}}, changes_of_test(test)))
