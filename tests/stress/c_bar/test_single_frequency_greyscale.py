"""The plane wave, pixel by pixel, and the amplitude of an image of the middle grey."""

import math

import pytest
import torch

from unshaken.core.batch import Batch
from unshaken.stress.c_bar.single_frequency_greyscale import SingleFrequencyGreyscale, plane_wave


def test_the_wave_at_each_pixel(peer):
    wave = plane_wave(peer.double(5, 7), torch.tensor([0.7, -1.9], dtype=torch.float64), 1.1)
    for y, x in ((0, 0), (4, 0), (0, 6), (3, 5)):
        assert float(wave[y, x]) == pytest.approx(math.sin(0.7 * x - 1.9 * y + 1.1))


def test_the_amplitude_is_19_6_levels_a_strength_and_equal_in_all_channels():
    grey = Batch(torch.full((1, 3, 64, 96), 0.5), None, ("a",))
    changed = SingleFrequencyGreyscale(truncate=False).apply(grey, 1).images[0] - 0.5
    assert torch.equal(changed[0], changed[2])
    assert float(changed.abs().max()) == pytest.approx(19.6 / 255, rel=0.02)
