"""Ripples against their definition, one pixel after the other."""

import math

import pytest
import torch

from unshaken.stress.c_bar.ripple import ripple


@pytest.mark.parametrize("channels", [1, 3])
def test_equals_the_definition(peer, channels):
    image = peer.double(channels=channels)
    waves = torch.tensor([3.1, 4.7], dtype=torch.float64)
    ours = ripple(image, 1.3, waves, torch.tensor([1.0, 4.0], dtype=torch.float64))
    theirs = peer.pixel_by_pixel(
        peer.to_rows(image),
        lambda y, x: (
            y + 1.3 * math.sin(2 * math.pi * y / 3.1 + 1),
            x + 1.3 * math.sin(2 * math.pi * x / 4.7 + 4),
        ),
    )
    assert peer.to_rows(ours) == pytest.approx(theirs, abs=1e-9)
