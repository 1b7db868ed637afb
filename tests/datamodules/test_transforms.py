import numpy as np
import pytest
import torch

from datamodules import CropTransform

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PLAIN = CropTransform(32, MEAN, STD)
AUGMENTING = CropTransform(32, MEAN, STD, augment=True)
KEYS = [(0, 0, clip, frame) for clip in range(6) for frame in range(6)]


def crop(side=32):
    """Bright and forged on the left, dark and real on the right; the last quarter's truth is not known."""
    image = np.full((side, side, 3), 30, np.uint8)
    mask = np.zeros((side, side), np.uint8)
    image[:, : side // 2] = 220
    mask[:, : side // 2] = 1
    mask[:, side * 3 // 4 :] = 255
    return image, mask


def test_nobody_was_asked_for_a_newer_release_on_import():
    from albumentations import check_version  # here, so that datamodules is the first to import it

    assert check_version.opener is None


def finished(transform, image, mask, key):
    image, mask = map(torch.from_numpy, transform(image, mask, key))
    batch = transform.finish({"image": image, "mask": mask})
    return batch["image"], batch["mask"]


def test_bytes_travel():
    image, mask = PLAIN(*crop(90), KEYS[0])
    assert (image.shape, image.dtype) == ((3, 32, 32), np.uint8)
    assert (mask.shape, mask.dtype) == ((32, 32), np.uint8)


def test_shapes_and_types_are_those_of_a_batch():
    image, mask = finished(PLAIN, *crop(90), KEYS[0])
    assert (image.shape, image.dtype) == ((3, 32, 32), torch.float32)
    assert (mask.shape, mask.dtype) == ((32, 32), torch.int64)
    assert image.is_contiguous()


def test_normalisation_is_exact():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    wanted = (image / 255 - MEAN) / STD
    got, _ = finished(PLAIN, image, np.zeros((32, 32), np.uint8), KEYS[0])
    np.testing.assert_allclose(got.numpy(), wanted.transpose(2, 0, 1), atol=1e-5)


@pytest.mark.parametrize("side", [8, 21, 77, 300])
@pytest.mark.parametrize("transform", [PLAIN, AUGMENTING], ids=["plain", "augmenting"])
def test_a_mask_holds_no_value_between_its_values(transform, side):
    for key in KEYS[:6]:
        assert set(transform(*crop(side), key)[1].ravel().tolist()) == {0, 1, 255}


def test_image_and_mask_move_together():
    flipped = 0
    for key in KEYS:
        image, mask = AUGMENTING(*crop(), key)
        bright_left = bool(image[:, :, :8].mean() > image[:, :, -8:].mean())
        forged_left = bool((mask[:, :8] == 1).all())
        assert bright_left == forged_left
        flipped += not forged_left
    assert len(KEYS) / 4 < flipped < len(KEYS) * 3 / 4


def test_a_look_depends_on_the_key_and_nothing_else():
    picture, mask = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8), crop(40)[1]
    first = [AUGMENTING(picture, mask, key)[0] for key in KEYS]
    np.random.seed(5)
    torch.manual_seed(5)
    other = CropTransform(32, MEAN, STD, augment=True)
    again = {key: other(picture, mask, key)[0] for key in KEYS[::-1]}
    assert all(np.array_equal(image, again[key]) for image, key in zip(first, KEYS, strict=True))


def test_steps_are_drawn_apart():
    picture = np.tile(np.linspace(60, 180, 32).astype(np.uint8)[None, :, None], (32, 1, 3))
    plain = finished(PLAIN, picture, picture[..., 0], KEYS[0])[0]
    seen = {(False, False): 0, (False, True): 0, (True, False): 0, (True, True): 0}
    for epoch in range(200):
        image, _ = finished(AUGMENTING, picture, picture[..., 0], (0, epoch, 0, 0))
        flipped = bool(image[0, 0, 0] > image[0, 0, -1])
        seen[flipped, not torch.allclose(image.flip(-1) if flipped else image, plain, atol=1e-4)] += 1
    # the picture is grey, so only the flip, in half of them, and brightness, in half of them, show
    assert seen == {key: pytest.approx(200 / 4, abs=20) for key in seen}


@pytest.mark.parametrize("position", range(4), ids=["seed", "epoch", "clip", "frame"])
def test_every_part_of_the_key_gives_another_look(position):
    picture, mask = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8), crop(40)[1]
    looks = []
    for value in range(12):
        key = [3, 3, 3, 3]
        key[position] = value
        looks.append(AUGMENTING(picture, mask, key)[0].tobytes())
    assert len(set(looks)) >= 6


def test_without_augmentation_the_key_changes_nothing():
    looks = {PLAIN(*crop(), key)[0].tobytes() for key in KEYS}
    assert len(looks) == 1


def test_augmentation_is_light_and_leaves_its_input_alone():
    picture, mask = crop()
    kept = picture.copy(), mask.copy()
    for key in KEYS:
        image, _ = finished(AUGMENTING, picture, mask, key)
        shown = image.numpy().transpose(1, 2, 0) * STD + MEAN
        assert abs(shown.mean() - picture.mean() / 255) < 0.2
    np.testing.assert_array_equal((picture, mask[..., None].repeat(3, 2)), (kept[0], kept[1][..., None].repeat(3, 2)))
