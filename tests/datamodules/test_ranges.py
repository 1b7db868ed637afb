"""Numbers of a data module that nothing can use are refused by name."""

import math

import pytest

from datamodules import FaceForensicsDataModule, VideoFolderDataModule

OUT_OF_RANGE = [
    ("size", 0),
    ("size", -1),
    ("batch_size", 0),
    ("batch_size", -4),
    ("frames_per_clip", 0),
    ("eval_frames_per_clip", 0),
    ("num_workers", -1),
    ("prefetch", 0),
    ("open_clips", 0),
    ("pool", 0),
    ("margin", 0),
    ("margin", math.nan),
    ("cache_gb", -1),
    ("seed", -1),
]


@pytest.mark.parametrize("kind", [FaceForensicsDataModule, VideoFolderDataModule])
@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE)
def test_a_number_out_of_range_is_a_sentence(kind, name, value):
    with pytest.raises(ValueError, match=rf"^{name} is {value}, wanted "):
        kind("nowhere", **{name: value})
