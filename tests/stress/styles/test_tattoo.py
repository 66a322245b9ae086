"""Ink takes light from skin, in proportion, and leaves its tone."""

import torch

from tests.stress.styles.squares import flat, square
from unshaken.stress.styles.tattoo import Tattoo


def test_lines_are_darker_than_skin_and_of_its_tone():
    drawn = Tattoo().apply(square(), 5).images[0]
    line, skin = drawn[:, 16, 10], drawn[:, 16, 4]
    assert bool((line < 0.75 * skin).all())
    torch.testing.assert_close(line / line[0], skin / skin[0], atol=0.05, rtol=0)
    assert skin[0] > skin[1] > skin[2]


def test_a_white_image_is_bare_skin_and_tones_differ_by_sample():
    white = flat(1.0)
    many = type(white)(white.images.expand(6, -1, -1, -1), None, tuple("abcdef"))
    middle = Tattoo().apply(many, 5).images[:, :, 11:13, 11:13].mean((2, 3))
    assert float(middle[:, 0].min()) >= 0.40
    assert float(middle[:, 0].max()) <= 0.97
    assert float(middle[:, 0].std()) > 0.02
