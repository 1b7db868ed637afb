"""A detector that sees no picture: AUROC without ties by a plain loop; what crops let through comes later."""

import numpy as np
import pytest

from experiments.geometry import auroc_without_ties


def test_ties_are_left_out():
    random = np.random.default_rng(0)
    label, score = random.integers(0, 2, 60), random.integers(0, 8, 60) / 8
    apart = [f > r for f in score[label == 1] for r in score[label == 0] if f != r]
    assert auroc_without_ties(score, label) == pytest.approx(np.mean(apart))


def test_where_all_are_tied_nothing_is_told():
    assert auroc_without_ties(np.full(4, 0.3), np.array([0, 1, 0, 1])) == 0.5
