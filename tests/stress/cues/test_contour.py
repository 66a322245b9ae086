"""Lines where the grey changes, nowhere else, in two values."""

import torch

from unshaken.stress.cues.contour import contour


def test_a_square_becomes_its_outline():
    images = torch.zeros(1, 3, 20, 20)
    images[:, :, 6:14, 6:14] = 0.7
    found = contour(images)
    assert found.unique().tolist() == [0, 1]
    lines = found[0, 0] == 0
    near = torch.zeros(20, 20, dtype=torch.bool)
    near[4:16, 4:16] = True
    near[8:12, 8:12] = False
    assert not bool((lines & ~near).any())
    assert bool(lines[10].any()) and bool(lines[:, 10].any())  # noqa: PT018


def test_an_image_of_one_grey_is_white():
    assert float(contour(torch.full((1, 1, 12, 12), 0.3)).min()) == 1


def test_higher_thresholds_draw_fewer_lines():
    images = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    few, many = (int((contour(images, low=x, high=2 * x) == 0).sum()) for x in (0.4, 0.1))
    assert few < many
