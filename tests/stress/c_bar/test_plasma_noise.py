"""Plasma by complex numbers at single pixels, its colours' range, and the share of the image that is left."""

import cmath
import math

import pytest
import torch

from unshaken.core.batch import Batch
from unshaken.stress.c_bar.plasma_noise import PlasmaNoise, plasma_colours


def colours(x, y, time, iterations, sharpness, scale):
    """One place as a complex number: each bend adds `(1 + 0.3 i) (cos + i sin) / strength`."""
    z = complex(x, y) / scale
    frequency, slow, strength, shift = 1.0, 1.0, 1.0, 0.0
    for _ in range(iterations):
        bend = complex(
            math.cos(z.imag * frequency - shift + time / slow), math.sin(z.real * frequency - shift + time / slow)
        )
        z += bend * complex(1, 0.3) / strength
        frequency, shift = frequency * 1.93, shift * time * slow
        slow, strength = slow * 1.15, strength * (2.25 - sharpness)
    return [math.sin(z.real - time), math.sin((z.real + z.imag + math.sin(time)) / 2), cmath.sin(z.imag + time).real]


@pytest.mark.parametrize("iterations", [4, 6])
def test_colours_at_single_pixels(peer, iterations):
    found = plasma_colours(peer.double(), 5.0, iterations, 0.8, 4.0)
    for y, x in ((0, 0), (11, 16), (3, 9)):
        assert found[:, y, x].tolist() == pytest.approx(colours(x, y, 5.0, iterations, 0.8, 4.0))


def test_a_share_of_the_image_is_left():
    method = PlasmaNoise(truncate=False)
    dark, light = (
        method.apply(Batch(torch.full((1, 3, 20, 20), value), None, ("a",)), 5).images for value in (0.4, 0.6)
    )
    inside = (dark > 0) & (light < 1)
    assert torch.allclose((light - dark)[inside], torch.tensor(0.2 * (1 - 64 / 255)), atol=1e-5)
