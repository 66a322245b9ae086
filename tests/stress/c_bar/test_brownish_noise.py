"""Spectral noise: a deviation of one, the sum of its waves by hand, and more power at low frequencies."""

import math

import numpy as np
import pytest
import torch

from unshaken.core.batch import Batch
from unshaken.core.rng import SampleRng
from unshaken.stress.c_bar.brownish_noise import BrownishNoise, brown, draw_phases, spectral_noise


@pytest.mark.parametrize("shape", [(6, 6), (5, 5), (4, 7), (5, 8)])
def test_the_sum_of_waves(shape):
    height, width = shape
    phases = draw_phases(SampleRng.of(0, "brown", ["a"]), height, width)
    n, total = min(shape), np.zeros(shape)
    for v, u in np.ndindex(height, width):
        amplitude = 1 / (((v - height / 2) * n / height) ** 2 + ((u - width / 2) * n / width) ** 2 + 1)
        for y, x in np.ndindex(height, width):
            turn = (v + height // 2) * y / height + (u + width // 2) * x / width
            total[y, x] += amplitude * math.cos(2 * math.pi * turn + float(phases[v, u]))
    assert spectral_noise(phases, brown).numpy() == pytest.approx(total / total.std(), abs=1e-9)


def test_the_deviation_is_6_4_levels_a_strength_and_channels_differ():
    grey = Batch(torch.full((1, 3, 48, 64), 0.5), None, ("a",))
    changed = BrownishNoise(truncate=False).apply(grey, 1).images[0].double() - 0.5
    assert changed.std((1, 2), correction=0).tolist() == pytest.approx([6.4 * 2.5 / 255] * 3, rel=0.1)
    assert not torch.equal(changed[0], changed[1])
