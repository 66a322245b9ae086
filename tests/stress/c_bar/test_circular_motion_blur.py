"""Turned copies against scipy's rotation."""

import numpy as np
import pytest
from scipy.ndimage import rotate

from unshaken.stress.c_bar.circular_motion_blur import circular_motion_blur


def test_equals_scipy_s_rotations(peer):
    image = peer.double(15, 18)
    total, weights = np.zeros((15, 18, 3)), 0.0
    for i in range(21):
        t = i / 10 - 1
        total += np.exp(-2 * t**2) * rotate(peer.to_rows(image), 7.0 * t, reshape=False)
        weights += np.exp(-2 * t**2)
    assert peer.to_rows(circular_motion_blur(image, 7.0)) == pytest.approx(total / weights, abs=1e-9)
