"""Discs against their definition, one pixel after the other; what lies outside them stays."""

import cmath
import math

import pytest
import torch

from unshaken.stress.c_bar.pinch_and_twirl import pinch_and_twirl


def test_equals_the_definition(peer):
    image = peer.double(13, 17)
    angles = torch.tensor([[0.9, -0.9, 0.4], [-0.2, 1.5, 0.3]], dtype=torch.float64)

    def place(y, x):
        row, column = int(y // 5), int(x // 5)
        if row > 1 or column > 2:
            return y, x
        z = complex(y - row * 5 - 2.5, x - column * 5 - 2.5)
        d = abs(z) / 2.5
        if d > 1:
            return y, x
        z *= math.sin(math.pi * d / 2) ** -0.34 * cmath.exp(1j * float(angles[row, column]) * (1 - d) ** 2)
        return row * 5 + 2.5 + z.real, column * 5 + 2.5 + z.imag

    ours = pinch_and_twirl(image, 5, 0.34, angles)
    assert peer.to_rows(ours) == pytest.approx(peer.pixel_by_pixel(peer.to_rows(image), place), abs=1e-9)
    assert torch.allclose(ours[:, 10:], image[:, 10:])


def test_without_pinch_and_twirl_nothing_moves(peer):
    image = peer.double()
    assert torch.allclose(pinch_and_twirl(image, 4, 0.0, torch.zeros(3, 4, dtype=torch.float64)), image)
