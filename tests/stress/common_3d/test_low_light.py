"""Darkening by hand; the noise of few photons; an image without contrast turns black."""

import pytest
import torch

from unshaken.core import Batch
from unshaken.stress.common_3d.low_light import LowLight, darken


def test_stretched_squared_and_scaled():
    images = torch.tensor([[[[0.2, 0.4, 0.6]]], [[[0.5, 0.5, 0.5]]]])
    expected = torch.tensor([[[[0.0, 0.1, 0.4]]], [[[0.0, 0.0, 0.0]]]])
    assert torch.allclose(darken(images, 0.4), expected)


def test_the_noise_of_120_photons_and_the_amplifier():
    images = torch.full((1, 1, 200, 200), 1.0)
    images[..., 0] = 0
    changed = LowLight(truncate=False).apply(Batch(images, None, ("a",)), 3).images[..., 1:]
    assert float(changed.mean()) == pytest.approx(0.4, abs=0.002)
    assert float(changed.var()) == pytest.approx(0.4 / 120 + 0.018**2, rel=0.05)
