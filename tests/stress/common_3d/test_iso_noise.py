"""Sensor noise: its variance is that of the photons and of the amplifier; a black image has the second alone."""

import pytest
import torch

from unshaken.core.rng import SampleRng
from unshaken.stress.common_3d.iso_noise import IsoNoise

STREAM = SampleRng.of(0, "iso_noise", ["a"])


@pytest.mark.parametrize("severity", [1, 5])
def test_variances_add(severity):
    sigma = 0.7 * (0.08, 0.12, 0.18, 0.26, 0.38)[severity - 1]
    changed = IsoNoise().corrupt(torch.full((1, 1, 200, 200), 0.4), sigma, STREAM)
    assert float(changed.var()) == pytest.approx(0.4 / 25 + sigma**2, rel=0.05)
    assert float(changed.mean()) == pytest.approx(0.4, abs=0.01)


def test_black_has_the_amplifier_s_noise_alone():
    black = IsoNoise().corrupt(torch.zeros(1, 1, 200, 200), 0.1, STREAM)
    assert float(black.std()) == pytest.approx(0.1, rel=0.02)
