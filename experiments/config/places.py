"""Where the files that a configuration names lie: a matter of the disk, which says nothing about what they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datamodules.faces.tracks import SOURCES

OUR_PACKAGE = "datamodules."
"""Beginning of the class paths of data modules whose files are told by what they hold, see `data_used`."""

OF_DATA = ("root", "splits", "csv")
"""Options of those data modules that say where files lie, and nothing else."""


def drop_places(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without the paths of files that are told by what they hold; it is not changed.

    Args:
        config: Resolved, or a part of one.
    """
    rest = dict(config)
    if _is_ours(config):
        arguments = {key: value for key, value in config["data"]["init_args"].items() if key not in OF_DATA}
        if arguments.get("faces", "masks") not in SOURCES:
            arguments["faces"] = "a file"
        rest["data"] = {**config["data"], "init_args": arguments}
    if _encoder_checkpoint(config):
        model = config["model"]
        rest["model"] = {**model, "init_args": {**model["init_args"], "encoder_checkpoint": "a file"}}
    return rest


def places(config: Mapping[str, Any]) -> dict[str, str]:
    """The paths that `drop_places` leaves out, by dotted key, as the disk has them: however they are spelt."""
    found: dict[str, Any] = {}
    if _is_ours(config):
        arguments = config["data"]["init_args"]
        found = {name: arguments.get(name) for name in OF_DATA}
        if found["root"] and not found["splits"]:
            found["splits"] = Path(found["root"], "splits")
        if arguments.get("faces", "masks") not in SOURCES:
            found["faces"] = arguments["faces"]
    paths = {f"data.init_args.{name}": path for name, path in found.items() if path}
    if given := _encoder_checkpoint(config):
        paths["model.init_args.encoder_checkpoint"] = given
    return {key: os.path.realpath(path) for key, path in paths.items()}


def _is_ours(config: Mapping[str, Any]) -> bool:
    data = config.get("data") or {}
    return str(data.get("class_path", "")).startswith(OUR_PACKAGE) and isinstance(data.get("init_args"), Mapping)


def _encoder_checkpoint(config: Mapping[str, Any]) -> Any:
    arguments = (config.get("model") or {}).get("init_args")
    return arguments.get("encoder_checkpoint") if isinstance(arguments, Mapping) else None
