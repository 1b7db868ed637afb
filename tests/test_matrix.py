"""Every encoder with every decoder at every output stride, in two processes."""

import subprocess
import sys

import pytest

from tests.matrix.pairings import NAMED, STRIDES, TINY


def run(encoders, out):
    words = [sys.executable, "-W", "ignore", "-m", "tests.matrix", "--out", str(out), "--encoders", *encoders]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_every_pairing_of_tiny_encoders_works(tmp_path):
    done = run(TINY, tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{len(TINY) * 7 * len(STRIDES)} of {len(TINY) * 7 * len(STRIDES)} work (100.0%)" in done.stdout


@pytest.mark.matrix
@pytest.mark.parametrize("encoder", NAMED)
def test_every_pairing_of_a_named_encoder_works(encoder, tmp_path):
    done = run([encoder], tmp_path)
    assert done.returncode == 0, done.stderr
