"""Lines against scikit-image's anti-aliased ones, and the 8-bit steps of their overlay."""

import numpy as np
import pytest
import torch
from skimage.draw import line_aa

from unshaken.stress.c_bar.lines import draw_lines, line_cover


@pytest.mark.parametrize(
    ("start", "end"), [((-3, 2), (20, 30)), ((5, -9), (6, 40)), ((-8, 11), (30, 9)), ((4, 4), (4, 9))]
)
def test_equals_scikit_image_but_for_the_caps(peer, start, end):
    image = peer.double(16, 24)
    theirs = np.zeros((16, 24))
    for row, column, value in zip(*line_aa(*start, *end), strict=True):
        if 0 <= row < 16 and 0 <= column < 24:
            theirs[row, column] = value
    apart = np.abs(line_cover(image, start, end).numpy() - theirs)
    assert np.sort(apart.ravel())[:-2].max() < 1e-9  # at either end it may stop a pixel earlier


def test_a_later_line_lies_over_an_earlier_one():
    image = torch.ones(1, 9, 9, dtype=torch.float64)
    drawn = draw_lines(image, [((4, -5), (4, 20)), ((-5, 4), (20, 4))])[0] * 255
    assert drawn[4].round().tolist() == drawn[:, 4].round().tolist() == [128] * 9
    assert drawn[0, 0] == 255
