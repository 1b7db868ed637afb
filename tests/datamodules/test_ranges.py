"""Numbers of a data module that nothing can use are refused by name."""

import math

import pytest

from datamodules import FaceForensicsDataModule, VideoFolderDataModule
from datamodules.crops.transforms import CropTransform

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


@pytest.mark.parametrize("level", [-1, 255])
def test_a_grey_level_that_no_pixel_can_exceed_or_all_do_is_a_sentence(level):
    with pytest.raises(ValueError, match=r"^mask_thresholds is .*wanted grey levels from 0 to 254"):
        FaceForensicsDataModule("nowhere", mask_thresholds={"Deepfakes": level})
    with pytest.raises(ValueError, match=r"^mask_threshold is .*wanted a grey level from 0 to 254"):
        VideoFolderDataModule("nowhere.csv", mask_threshold=level)


@pytest.mark.parametrize(("name", "values"), [("mean", (124, 116, 104)), ("std", (0, 1, 1)), ("std", (math.nan, 1, 1))])
def test_images_are_not_normalised_by_what_is_no_share_of_the_brightest(name, values):
    usual = {"mean": (0.5, 0.5, 0.5), "std": (1, 1, 1)}
    CropTransform(64, **usual)
    with pytest.raises(ValueError, match=rf"^{name} is \[.*\], wanted three numbers in units of 0 to 1"):
        CropTransform(64, **(usual | {name: values}))
