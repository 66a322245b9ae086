"""The board without a turn by hand, turned by its own definition, and the grey of covered cells."""

import math

import pytest
import torch

from unshaken.core.batch import Batch
from unshaken.stress.c_bar.checkerboard_cutout import CheckerboardCutout, covered_cells


def test_a_board_that_is_not_turned(peer):
    covered = torch.ones(9, 9, dtype=torch.bool)
    covered[1, 1] = False
    cells = covered_cells(peer.double(8, 12), 0.0, 4.0, covered)
    expected = torch.tensor([[1, 0, 1], [0, 0, 0]], dtype=torch.bool).repeat_interleave(4, 0).repeat_interleave(4, 1)
    assert torch.equal(cells, expected)


def test_a_turned_board_at_each_pixel(peer):
    covered = torch.rand(20, 20, generator=torch.Generator().manual_seed(0)) < 0.6
    cells = covered_cells(peer.double(), 2.2, 3.1, covered)
    for y in range(12):
        for x in range(17):
            row = (math.cos(2.2) * y + math.sin(2.2) * x) / 3.1
            column = (-math.sin(2.2) * y + math.cos(2.2) * x) / 3.1
            black = math.floor(row % 2) == math.floor(column % 2)
            assert bool(cells[y, x]) == (black and bool(covered[int(row), int(column)])), (y, x)


@pytest.mark.parametrize("severity", [1, 5])
def test_covered_pixels_are_grey_and_about_half_of_the_share(severity):
    white = Batch(torch.ones(24, 1, 32, 32), None, tuple(map(str, range(24))))
    changed = CheckerboardCutout().apply(white, severity).images
    assert set((changed * 255).round().unique().tolist()) <= {128.0, 255.0}
    assert float((changed < 1).float().mean()) == pytest.approx(severity / 20, abs=0.06)
