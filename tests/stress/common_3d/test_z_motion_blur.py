"""Forward motion: the centre stays, the nearest plane grows by the stated share, a far one by less."""

import torch

from unshaken.stress.common_3d._moving import forwards


def test_places_draw_together_around_the_centre():
    near = torch.full((5, 9), 0.3, dtype=torch.float64)
    rows, columns = forwards(near, 0.5, 0.25, 1.0)
    assert rows[:, 0].tolist() == [1, 1.5, 2, 2.5, 3]
    assert columns[0].tolist() == [1, 1.75, 2.5, 3.25, 4, 4.75, 5.5, 6.25, 7]
    near[:, 8] = 0.6
    assert float(forwards(near, 0.5, 0.25, 1.0)[1][0, 8]) == 4 + 4 * (1 - 0.125)
