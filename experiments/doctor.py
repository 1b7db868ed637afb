"""Joins the audit of a data folder to what the tables need, as their YAML rows say."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from datamodules import FaceForensicsDataModule
from datamodules.clips.index import FOLDERS
from datamodules.doctor import Part, run
from datamodules.doctor.parts import parts_for
from lightning_modules import ClassificationModule

from .config.layers import read_yaml

HERE = Path(__file__).parent / "tables"
DEFAULTS = {
    name: parameter.default for name, parameter in inspect.signature(FaceForensicsDataModule).parameters.items()
}
PIXEL_FREE = f"lightning_modules.{ClassificationModule.__name__}"
"""The model that needs no masks, where its crops need none either."""


def doctor(arguments: Sequence[str]) -> int:
    """Examines a folder for all tables; returns the exit status."""
    return run(arguments, needs(HERE), "python -m experiments doctor")


def needs(folder: Path) -> dict[str, list[Part]]:
    """Reads what each table needs out of its rows, `_base.yaml` and `base.yaml`, and the data module's defaults.

    Args:
        folder: Holds `base.yaml` and the tables' folders.

    Returns:
        By table, its parts in order, each once.
    """
    tables: dict[str, list[Part]] = {}
    base = _read(folder / "base.yaml")
    for row in sorted(folder.glob("*/*.yaml")):
        if row.stem == "_base":
            continue
        settings = _joined(_joined(base, _read(row.with_name("_base.yaml"))), _read(row))
        parts = tables.setdefault(row.parent.name, [])
        parts += [part for part in _of_row(settings) if part not in parts]
    return {
        name: sorted(parts, key=lambda part: ("splits", "videos", "masks").index(part.what))
        for name, parts in tables.items()
    }


def _of_row(settings: Mapping[str, Any]) -> Iterator[Part]:
    data = DEFAULTS | settings.get("data", {}).get("init_args", {})
    masks = data["faces"] == "masks" or settings.get("model", {}).get("class_path") != PIXEL_FREE
    for quality in FOLDERS if data["compression"] == "mixed" else [data["compression"]]:
        yield from parts_for(data["methods"], quality, masks)
    for test in (settings.get("tests") or {}).values():
        if not test.get("optional"):
            yield from _of_row(_joined({**settings, "tests": {}}, {k: v for k, v in test.items() if k != "optional"}))


def _read(path: Path) -> dict[str, Any]:
    return dict(read_yaml(path)) if path.exists() else {}


def _joined(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lays settings over others as the command line does: mappings are joined, all else is replaced, `key+` appends."""
    joined = dict(below)
    for key, value in above.items():
        name = str(key).removesuffix("+")
        if name != key:
            joined[name] = [*joined.get(name, []), *(value if isinstance(value, list) else [value])]
        elif isinstance(value, dict) and isinstance(joined.get(name), dict):
            joined[name] = _joined(joined[name], value)
        else:
            joined[name] = value
    return joined
