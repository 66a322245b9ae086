"""Rings without waves are a sawtooth of the distance; with waves they follow the formula at single pixels."""

import math

import pytest
import torch

from unshaken.stress.c_bar.cocentric_sine_waves import sine_rings


def test_rings_without_waves_repeat_every_width(peer):
    rings = sine_rings(peer.double(1, 21), (0.0, 0.0), 0.0, 0.0, 4.0)[0]
    assert torch.allclose(rings[:8], torch.tensor([0, 0.25, 0.5, 0.75] * 2, dtype=torch.float64) - 0.5)


def test_waved_rings_at_single_pixels(peer):
    rings = sine_rings(peer.double(), (3.5, 9.25), 3.3, 2.0, 2.5)
    for y, x in ((0, 0), (11, 16), (3, 9), (7, 2)):
        waved = math.hypot(x - 9.25, y - 3.5) + 2 * math.sin(3.3 * math.atan2(x - 9.25, y - 3.5))
        assert float(rings[y, x]) == pytest.approx((waved % 2.5) / 2.5 - 0.5)
