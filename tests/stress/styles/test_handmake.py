"""The table is plain, the object stays where it was."""

import torch

from tests.stress.styles.squares import square
from unshaken.stress.styles.handmake import Handmake


def test_the_ground_becomes_a_table_and_the_object_keeps_its_place():
    batch = square(3)
    made = Handmake(grain=0.0, table=1.0).apply(batch, 5).images
    ground = made[:, :, :6].flatten(2)
    assert float(ground.std(2).max()) < 0.01
    assert len({round(float(c), 2) for c in ground[:, 0, 0]}) == 3  # a table each
    mask = (made - made[:, :, :1, :1]).abs().amax(1) > 0.1
    for one in mask:
        rows, columns = one.any(1).nonzero().flatten(), one.any(0).nonzero().flatten()
        found = torch.tensor([int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])])
        assert int((found - torch.tensor([10, 21, 10, 21])).abs().max()) <= 2


def test_grain_is_on_what_is_made_and_not_on_the_table():
    made = Handmake(bend=0.0, table=1.0).apply(square(1), 5).images[0, 0]
    assert float(made[13:19, 13:19].std()) > 0.01
    assert float(made[:6].std()) < 0.005
