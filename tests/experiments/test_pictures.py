"""Overlays show frame, truth and prediction."""

import numpy as np

from experiments.evaluation.pictures import CAPTION_PX, triptych


def test_three_parts_under_a_caption_and_each_tinted_where_it_says_forged():
    image = np.full((32, 32, 3), 100, np.uint8)
    truth = np.zeros((32, 32), np.int64)
    truth[8:16, 8:16], truth[24:, 24:] = 1, 255
    probability = np.zeros((32, 32), np.float32)
    probability[16:24, 16:24] = 1
    picture = triptych(image, truth, probability, "Deepfakes 000_001 frame 3")
    assert picture.shape == (32 + CAPTION_PX, 3 * 32 + 8, 3)
    frame, true, predicted = (picture[CAPTION_PX:, start : start + 32].astype(int) for start in (0, 36, 72))
    assert (frame == 100).all()
    assert true[12, 12, 0] > true[12, 12, 2]  # red: forged
    assert true[28, 28, 2] > true[28, 28, 0]  # blue: not known
    assert (true[0, 0] == 100).all()
    assert predicted[20, 20, 0] > predicted[20, 20, 2]
    assert (predicted[12, 12] == 100).all()


def test_without_a_mask_there_are_two_parts():
    image = np.zeros((8, 8, 3), np.uint8)
    assert triptych(image, np.zeros((8, 8), int), None, "").shape == (8 + CAPTION_PX, 20, 3)
