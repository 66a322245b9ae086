"""Lines along the dark side of an edge, and nowhere else."""

import torch

from tests.stress.styles.squares import flat, square
from unshaken.stress.styles.sketch import Sketch


def test_a_dark_square_gets_a_line_inside_its_border():
    drawn = Sketch().apply(square(), 5).images[0, 0]
    assert drawn.unique().tolist() == [0, 1]
    assert drawn[16, 10] == drawn[16, 21] == drawn[10, 16] == 0
    assert drawn[16, 16] == drawn[16, 3] == drawn[16, 8] == 1


def test_an_image_of_one_grey_is_white():
    assert bool((Sketch().apply(flat(), 5).images == 1).all())


def test_a_severity_is_a_fifth_of_the_way():
    batch = square()
    for severity in (1, 3):
        mixed = torch.lerp(batch.images, Sketch().apply(batch, 5).images, severity / 5)
        torch.testing.assert_close(Sketch().apply(batch, severity).images, mixed, atol=1 / 255, rtol=0)
