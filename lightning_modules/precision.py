"""What becomes of a batch where a Trainer computes in another precision than float32 throughout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def convert_images_alone(trainer: Any) -> None:
    """Has a Trainer convert of a batch what the network sees, `image`, and nothing else.

    Lightning converts every float: in bfloat16 the coordinates of a box beyond 256 are no whole numbers any more.

    Args:
        trainer: Whatever its precision.
    """
    plugin = trainer.precision_plugin
    if not isinstance(plugin.convert_input, _ImagesAlone):
        plugin.convert_input = _ImagesAlone(plugin.convert_input)


class _ImagesAlone:
    """Converts a batch, or an image by itself.

    Args:
        convert: How the Trainer does it.
    """

    def __init__(self, convert: Callable[[Any], Any]) -> None:
        self.convert = convert

    def __call__(self, data: Any) -> Any:
        if isinstance(data, dict) and "image" in data:
            return {**data, "image": self.convert(data["image"])}
        return self.convert(data)
