"""Few levels, and lines a tenth as bright."""

import torch

from tests.stress.styles.squares import flat, square
from unshaken.stress.styles.cartoon import Cartoon


def test_levels_are_a_third_apart_and_lines_are_dark():
    drawn = Cartoon().apply(square(), 5).images[0, 0]
    assert abs(float(drawn[3, 3]) - 2 / 3) < 1 / 200  # of 0.8
    assert abs(float(drawn[16, 16]) - 1 / 3) < 1 / 200  # of 0.3
    assert float(drawn[16, 10]) < 0.07
    assert len(drawn.unique()) <= 8


def test_more_levels_are_nearer_to_the_photo():
    few, many = (Cartoon(levels=n).apply(flat(0.45), 5).images for n in (2, 64))
    assert bool((few == 0).all())
    torch.testing.assert_close(many, flat(0.45).images, atol=0.01, rtol=0)
