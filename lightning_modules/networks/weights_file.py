"""An encoder's weights from a file, however whoever saved them has named and wrapped them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from safetensors.torch import load
from torch import Tensor, nn

from ..errors import ModelFileError, ModelMissingError, ModelValueError

AVERAGED = ("state_dict_ema", "model_ema", "ema", "teacher")
"""Names of what is meant where weights are kept twice, as trained and averaged; as timm has it."""

USUAL_KEYS = (
    "state_dict",
    "model",
    "model_state_dict",
    "model_state",
    "net",
    "module",
    "network",
    "encoder",
    "backbone",
)
"""Names of what is meant else, before a copy under any other name."""

PLACE_DEPTH = 4
"""Dictionaries within each other that are looked into."""


class Match(NamedTuple):
    """Which tensors of an encoder a file had.

    Attributes:
        loaded: Names of those that were loaded.
        missing: Names of those that the file lacks, left as they were.
        unused: Names of those in the file, beside the encoder's, that it has no place for, such as a classifier's.
    """

    loaded: list[str]
    missing: list[str]
    unused: list[str]

    def __str__(self) -> str:
        """One sentence on what matched."""
        total = len(self.loaded) + len(self.missing)
        rest = [
            f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
            for what, names in (("not in the file", self.missing), ("of the file not used", self.unused))
            if names
        ]
        return "; ".join([f"{len(self.loaded)} of {total} tensors loaded", *rest])


class _Find(NamedTuple):
    """Tensors of a file that may be the encoder's."""

    place: tuple[str, ...]  # keys and parts of names before theirs
    tensors: dict[str, Tensor]  # by the rest of their names
    fitting: dict[str, Tensor]  # by the encoder's names


def load_from_file(
    encoder: nn.Module, name: str, path: str, normalisation: tuple[tuple[float, ...], tuple[float, ...]]
) -> Match:
    """Loads an encoder's weights from a file: another run's checkpoint, or tensors by name as anybody saves them.

    The tensors may lie in dictionaries (`state_dict`, `model`, ...), and their names may begin with whatever modules
    the encoder was part of, such as `module.` or `network.encoder.`. Where a file holds averaged weights as well, as
    `state_dict_ema` or `teacher`, these are taken. Half precision is widened.

    The pyramid over a flat transformer is loaded as far as the file has it, for this output stride; the backbone whole.

    Args:
        encoder: An `Encoder`.
        name: Of the timm model.
        path: A checkpoint of one of these modules, or a file of tensors by name that torch or safetensors has written.
        normalisation: Mean and standard deviation that the encoder's images have.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It cannot be read.
        ValueError: It holds no tensors by name, those of another model, or more than one set that fits.
    """
    require_file(path)
    content = _read(path)
    own: dict[str, Tensor] = encoder.state_dict()
    found = _choose(_find_all(content, own), path)
    missing = sorted(own.keys() - found.fitting.keys())
    lacking = [key for key in missing if key.startswith("backbone.") and not key.endswith("num_batches_tracked")]
    if lacking:
        raise ModelValueError(
            f"encoder_checkpoint is {path}, which fits {len(found.fitting)} of {len(own)} tensors of {name!r} and not "
            f"{lacking[0]!r}{_why(lacking[0], found, own)}: it is of another model; name the encoder it is of"
        )
    trained_with = _normalisation(content)
    if trained_with not in (None, normalisation):
        raise ModelValueError(
            f"encoder_checkpoint is {path}, trained on images of mean and standard deviation {trained_with}, but "
            f"{name!r} takes {normalisation}: name the encoder it is of"
        )
    encoder.load_state_dict(found.fitting, strict=False)
    places = {_plain_name(key) for key in own}
    unused = sorted(".".join((*found.place, key)) for key in found.tensors if _plain_name(key) not in places)
    return Match(sorted(found.fitting), missing, unused)


def require_file(path: str) -> None:
    """Refuses a file that is not there."""
    if not os.path.isfile(path):
        raise ModelMissingError(
            f"encoder_checkpoint is {path}, which {'is a folder' if os.path.isdir(path) else 'does not exist'}; wanted "
            "another run's checkpoint, such as runs/table-2/resnet50-segmentation/seed0/checkpoints/best.ckpt, or a "
            "file of timm's weights"
        )


def _read(path: str) -> Any:
    """What a file holds, by its first bytes and whatever its ending."""
    wanted = (
        "wanted a checkpoint of this project, or a file of tensors by name: save the model's `state_dict()` alone, or "
        "copy the file again"
    )
    start = b""
    try:
        with open(path, "rb") as file:  # torch goes by a path's ending
            start = file.read(9)
            file.seek(0)
            if start[8:] == b"{":  # safetensors: the length of a header, and the header
                return load(file.read())
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelFileError(
            f"encoder_checkpoint is {path}, which cannot be read ({error.strerror or error})"
        ) from error
    except Exception as error:  # whatever a reader meets in a file that is none of its own
        if not start:
            what = "is empty"
        elif start.startswith((b"PK", b"\x80")) or start[8:] == b"{":
            what = "holds more than tensors or is damaged"
        else:
            what = f"holds no tensors but begins with {start!r}"
        raise ModelValueError(f"encoder_checkpoint is {path}, which {what}; {wanted}") from error


def _find_all(content: Any, own: Mapping[str, Tensor]) -> list[_Find]:
    """For every dictionary of tensors in a file, those whose names go on as the encoder's after a common beginning."""
    places = {_plain_name(key): key for key in own}
    finds = []
    for place, tensors in _dictionaries(content, ()):
        split = {key: key.split(".") for key in tensors}
        fitting: Counter[tuple[str, ...]] = Counter()
        for key, parts in split.items():
            for i in range(len(parts)):
                target = places.get(_plain_name(".".join(parts[i:])))
                if target and _fits(tensors[key], own[target]):
                    fitting[tuple(parts[:i])] += 1
        for beginning in fitting or [()]:
            inner = {
                ".".join(parts[len(beginning) :]): tensors[key]
                for key, parts in split.items()
                if tuple(parts[: len(beginning)]) == beginning and len(parts) > len(beginning)
            }
            named = {places[_plain_name(key)]: value for key, value in inner.items() if _plain_name(key) in places}
            fits = {key: value for key, value in named.items() if _fits(value, own[key])}
            finds.append(_Find(place + beginning, inner, fits))
    return finds


def _dictionaries(content: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    """The dictionaries of tensors by name in what a file holds, and the keys that lead to each."""
    if not isinstance(content, Mapping) or len(place) > PLACE_DEPTH:
        return
    tensors = {_strip_wrapper(key): value for key, value in content.items() if _is_named_tensor(key, value)}
    if tensors:
        yield place, tensors
    for key, value in content.items():
        yield from _dictionaries(value, (*place, str(key)))


def _is_named_tensor(key: Any, value: Any) -> bool:
    return isinstance(key, str) and isinstance(value, Tensor)


def _strip_wrapper(key: str) -> str:
    """A tensor's name without what `torch.compile` adds."""
    return ".".join(part for part in key.split(".") if part != "_orig_mod")


def _choose(finds: list[_Find], path: str) -> _Find:
    if not finds:
        raise ModelValueError(
            f"encoder_checkpoint is {path}, which holds no tensors by name; wanted a checkpoint of this project, or a "
            "model's `state_dict()`"
        )
    most = max(len(find.fitting) for find in finds)
    fullest = [find for find in finds if len(find.fitting) == most]
    if not most:
        return fullest[0]
    best = min(fullest, key=_order)
    for other in fullest:
        if _rank(other) == _rank(best) and not _is_same(other, best):
            one, two = (".".join(find.place) or "the top" for find in (best, other))
            raise ModelValueError(
                f"encoder_checkpoint is {path}, in which both {one} and {two} fit, and differ: save the `state_dict()` "
                "of the one that is meant alone"
            )
    return best


def _order(find: _Find) -> tuple[int, int]:
    return _rank(find), len(find.place)


def _rank(find: _Find) -> int:
    """How far what a file holds under these names is from being meant: averaged weights first."""
    if any(part in AVERAGED for part in find.place):
        return 0
    return 1 if all(part in USUAL_KEYS for part in find.place) else 2


def _is_same(one: _Find, other: _Find) -> bool:
    return all(torch.equal(value, other.fitting[key]) for key, value in one.fitting.items() if key in other.fitting)


def _fits(value: Tensor, own: Tensor) -> bool:
    return value.shape == own.shape and value.is_floating_point() == own.is_floating_point()


def _why(key: str, found: _Find, own: Mapping[str, Tensor]) -> str:
    """In what a tensor of that name differs, if there is one."""
    for name, value in found.tensors.items():
        if _plain_name(name) == _plain_name(key):
            return f" ({_describe(value)} there, wanted {_describe(own[key])})"
    return ""


def _describe(value: Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"


def _normalisation(content: Any) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """What a run's images were normalised by, where its checkpoint says so."""
    stored = content.get("normalisation") if isinstance(content, Mapping) else None
    if not isinstance(stored, Mapping) or not {"mean", "std"} <= stored.keys():
        return None
    return tuple(stored["mean"]), tuple(stored["std"])


def _plain_name(key: str) -> str:
    """A tensor's name, equal in timm's models and in the pyramids that it makes of them.

    There a stage `stages.0` is `stages_0`, and the whole model may lie under `body` or `model`.
    """
    backbone = key.removeprefix("backbone.").removeprefix("body.").removeprefix("model.")
    return backbone.replace("_", ".")
