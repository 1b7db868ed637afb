"""The batch: the contract between what reads the data and what learns from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor  # for the reader alone: what decodes does without torch, which takes 500 MB a process

CANVAS_MARGIN = 1.3
"""Margin of the crop in which pixel metrics are computed, whatever a network was shown."""

CANVAS_SIZE = 256
"""Side of that crop once it is resized, in pixels."""


class Batch(TypedDict):
    """What a loader yields.

    The canvas is in the batches of an evaluation (validation, test, predict) and not in those of a training. It is the
    same whatever crop, size and labels are trained on, so what is measured on it can be compared.

    Attributes:
        image: float32 (B, 3, H, W), RGB, normalised by the mean and standard deviation of the encoder's weights.
        mask: int64 (B, H, W), 0 real, 1 forged, 255 not known. A frame wholly 255 still counts for frame and video.
        label: int64 (B,), 0 real, 1 fake.
        method: int64 (B,), position in `METHODS`; not there where a clip was made by none of them. A self-blended fake
            keeps clip, frame and box of its original.
        clip: int64 (B,), row of the index, so that four fakes of one pair are four clips.
        frame: int64 (B,), position in the clip.
        box: float32 (B, 4), x0 y0 x1 y1 of the crop in pixels of the video frame.
        canvas: int64 (B, 256, 256), official truth in the crop at margin 1.3: 0 real, 1 forged, 255 not known; resized
            by nearest, as `mask` is.
        canvas_box: float32 (B, 4), x0 y0 x1 y1 of that crop in pixels of the video frame.
        canvas_own: int64 (B, 256, 256), the truth in that crop by the row's own labels, 0 real, 1 forged, 255 not
            known; there only where these are not the official ones.
    """

    image: Tensor
    mask: Tensor
    label: Tensor
    method: NotRequired[Tensor]
    clip: Tensor
    frame: Tensor
    box: Tensor
    canvas: NotRequired[Tensor]
    canvas_box: NotRequired[Tensor]
    canvas_own: NotRequired[Tensor]


Sample = dict[str, NDArray[Any]]
"""What decoding processes make: a `Batch` without its first axis, or several stacked, in NumPy. Image and masks are
still bytes, see `CropTransform`, all else has a batch's types."""


def stack_batches(samples: Iterator[Sample], size: int, place: Callable[[Sample], Sample]) -> Iterator[Sample]:
    """Stacks samples.

    Args:
        samples: Whose arrays have the same shapes.
        size: Of a batch; the last may be smaller.
        place: Gives, by the first sample of a batch, the arrays it is written to, each with `size` rows.
    """
    for first in samples:
        arrays, count = place(first), 0
        for sample in chain([first], islice(samples, size - 1)):
            for name, value in sample.items():
                arrays[name][count] = value
            count += 1
        yield {name: array[:count] for name, array in arrays.items()}
