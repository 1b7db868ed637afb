import cv2
import numpy as np
import pytest

from datamodules import THRESHOLDS, UNKNOWN, Clip, clips_of, forged_region, index, probe, read_masks, write_video

WIDTH, HEIGHT = 160, 128
FACE = cv2.ellipse(np.zeros((HEIGHT, WIDTH), np.uint8), (80, 66), (34, 44), 0, 0, 360, 1, cv2.FILLED)
RECTANGLE = np.zeros((HEIGHT, WIDTH), np.uint8)
RECTANGLE[24:104, 48:112] = 1


def clip_of(path, method="Deepfakes", frames=4, width=WIDTH, height=HEIGHT, dx=0):
    """A row of the index for a clip whose mask is `path`."""
    mask = probe(path)[:3] if path else (0, 0, 0)
    shown = ("a.mp4", str(path or ""), frames, width, height, 25.0)
    return Clip(0, "000_001", "000", "001", method, int(method != "original"), "c23", *shown, *mask, dx)


def rendering(colour, eyes=4):
    """A face, shaded from its left to its right side, with dark eyes."""
    shade = np.linspace(0.35, 1, WIDTH)[None, :, None] * np.array(colour)
    image = (FACE[..., None] * shade).astype(np.uint8)
    for x in (66, 94):
        cv2.ellipse(image, (x, 56), (8, 4), 0, 0, 360, (eyes, eyes, eyes), cv2.FILLED)
    return image


def silhouette():
    return np.repeat(cv2.GaussianBlur(255 * FACE, (0, 0), 4)[..., None], 3, axis=2)


CONTENT = {
    "Deepfakes": (np.repeat(255 * RECTANGLE[..., None], 3, axis=2), RECTANGLE),
    "Face2Face": (rendering((230, 230, 230)), FACE),
    "FaceSwap": (rendering((200, 90, 60)), FACE),
    "NeuralTextures": (rendering((210, 210, 210)), FACE),
    "DeepFakeDetection": (silhouette(), FACE),
}


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize(("quality", "least"), [("c23", 0.95), ("c40", 0.88)])
@pytest.mark.parametrize("method", CONTENT)
def test_what_a_method_renders_is_read_as_one_filled_region(tmp_path, method, quality, least):
    image, truth = CONTENT[method]
    write_video(tmp_path / "mask.mp4", [image] * 4, quality)
    for mask in read_masks(clip_of(tmp_path / "mask.mp4", method), range(4)):
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) == {0, 1}
        assert overlap(mask, truth) > least
        outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        assert len(outlines) == 1  # no second region, no hole


def test_a_coloured_rendering_counts_by_its_brightest_channel():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[RECTANGLE == 1] = (0, 0, 60)  # a mean of 20, a grey value of 7
    assert overlap(forged_region(image, 16), RECTANGLE) == 1


def test_a_hole_is_filled_but_the_background_is_not():
    image = 255 * np.repeat(RECTANGLE[..., None], 3, axis=2)
    image[50:70, 60:90] = 0
    np.testing.assert_array_equal(forged_region(image, 127), RECTANGLE)


@pytest.mark.parametrize("lines", [HEIGHT, 480, 720])
def test_whatever_lies_where_the_rule_is_that_of_the_whole_frame(lines):
    random = np.random.default_rng(lines)
    size = max(3, lines // 48 | 1)
    for turn in range(60):
        image = np.zeros((lines, WIDTH), np.uint8)
        for colour in random.choice([0, 1, 1], 9):
            centre, axes = random.integers(0, (WIDTH, lines)), random.integers(1, (WIDTH // 3, lines // 3))
            cv2.ellipse(image, centre.tolist(), axes.tolist(), int(random.integers(180)), 0, 360, int(colour), -1)
        image &= random.random(image.shape) < random.choice([0.9, 1])
        if turn % 3 == 0:  # a rectangle alone, from a speck on
            (x, y), (across, down) = random.integers(0, (WIDTH, lines)), random.integers(1, (WIDTH // 2, lines // 9))
            image[:], image[y : y + down, x : x + across] = 0, 1
        edge = turn % 2 * (size + 2)  # at the frame's edge, and apart from it
        image = cv2.copyMakeBorder(image[edge : lines - edge, edge : WIDTH - edge], *[edge] * 4, cv2.BORDER_CONSTANT)
        wanted = cv2.morphologyEx(image, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))
        for outline in cv2.findContours(wanted, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
            large = cv2.contourArea(outline) >= 0.0005 * wanted.size
            cv2.drawContours(wanted, [outline], -1, int(large), cv2.FILLED)
        np.testing.assert_array_equal(forged_region(np.repeat(255 * image[..., None], 3, axis=2), 127), wanted)


def test_specks_are_dropped_beside_a_face_and_alone():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[4:7, 4:7] = 255  # 9 of 20480 pixels: 0.04 %
    assert not forged_region(image, 127).any()
    image[RECTANGLE == 1] = 255
    np.testing.assert_array_equal(forged_region(image, 127), RECTANGLE)


@pytest.mark.parametrize("threshold", [16, 127])
def test_an_empty_mask_stays_empty(tmp_path, threshold):
    random = np.random.default_rng(0)
    noise = random.integers(0, 9, (4, HEIGHT, WIDTH, 3), np.uint8)
    write_video(tmp_path / "mask.mp4", noise, "c40")
    masks = read_masks(clip_of(tmp_path / "mask.mp4"), range(4), {"Deepfakes": threshold})
    assert not np.stack(list(masks)).any()
    assert not forged_region(np.zeros((HEIGHT, WIDTH, 3), np.uint8), threshold).any()


def test_a_region_at_the_frames_edge_is_kept_whole():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[60:, 100:] = 255
    np.testing.assert_array_equal(forged_region(image, 127), image[..., 0] // 255)


def test_thresholds_are_an_argument(tmp_path):
    image = np.repeat(100 * RECTANGLE[..., None], 3, axis=2)
    write_video(tmp_path / "mask.mp4", [image] * 2, "c23")
    clip = clip_of(tmp_path / "mask.mp4", frames=2)
    assert not np.stack(list(read_masks(clip, range(2)))).any()
    lower = read_masks(clip, range(2), {**THRESHOLDS, "Deepfakes": 50})
    assert all(overlap(mask, RECTANGLE) > 0.95 for mask in lower)


@pytest.mark.parametrize("frames", [[0], [1, 3], [0, 1, 2, 3]], ids=str)
def test_an_original_is_real_everywhere(frames):
    masks = list(read_masks(clip_of(None, "original"), frames))
    assert [mask.shape for mask in masks] == [(HEIGHT, WIDTH)] * len(frames)
    assert not np.stack(masks).any()


@pytest.mark.parametrize("method", ["Deepfakes", "FaceShifter"])
def test_without_a_mask_nothing_is_known_of_a_fake(method):
    masks = list(read_masks(clip_of(None, method), [0, 3]))
    assert [mask.shape for mask in masks] == [(HEIGHT, WIDTH)] * 2
    assert (np.stack(masks) == UNKNOWN).all()


@pytest.mark.parametrize("backend", ["decord", "pyav"])
def test_behind_a_masks_end_nothing_is_known(film, tmp_path, backend):
    path = film(tmp_path / "mask.mp4", frames=4, size=(WIDTH, HEIGHT), faces=(48, 24, 112, 104))
    masks = list(read_masks(clip_of(path, frames=9), [1, 3, 4, 8], backend=backend))
    assert [overlap(mask, RECTANGLE) > 0.95 for mask in masks[:2]] == [True, True]
    assert (np.stack(masks[2:]) == UNKNOWN).all()
    assert (np.stack(list(read_masks(clip_of(path, frames=9), [5, 6]))) == UNKNOWN).all()


@pytest.mark.parametrize("size", [(160, 112), (144, 128), (176, 128), (320, 256)], ids=str)
def test_of_a_mask_of_another_size_nothing_is_known(film, tmp_path, size):
    path = film(tmp_path / "mask.mp4", size=size, faces=(48, 24, 112, 104))
    (mask,) = read_masks(clip_of(path), [2])
    assert mask.shape == (HEIGHT, WIDTH)
    assert (mask == UNKNOWN).all()


def test_a_centred_crops_own_mask_fits_as_it_is(film, tmp_path):
    path = film(tmp_path / "mask.mp4", size=(WIDTH - 16, HEIGHT), faces=(40, 24, 104, 104))
    (mask,) = read_masks(clip_of(path, width=WIDTH - 16, dx=8), [2])
    assert overlap(mask, RECTANGLE[:, 8:-8]) > 0.95


def test_a_mask_of_the_uncropped_target_is_cropped_with_its_clip(film, tmp_path):
    path = film(tmp_path / "mask.mp4", size=(WIDTH, HEIGHT), faces=(48, 24, 112, 104))
    (mask,) = read_masks(clip_of(path, width=WIDTH - 16, dx=8), [2])
    assert mask.shape == (HEIGHT, WIDTH - 16)
    assert overlap(mask, RECTANGLE[:, 8:-8]) > 0.95


def test_most_masks_of_a_tree_are_faces(tree):
    seen = []
    for clip in clips_of(index(tree)):
        if clip.label:
            seen += [mask.mean() for mask in read_masks(clip, range(clip.frames))]
    assert np.mean(np.array(seen) > 0.02) >= 0.9
    assert max(seen) < 0.6
