"""Units of maps, tokens and vectors."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import ModelError
from unshaken.explain.units.layers import unit_axis, unit_maps


@pytest.mark.parametrize(("tokens", "side"), [(197, 14), (196, 14), (785, 28), (198, 14), (50, 7)])
def test_tokens_are_a_square_in_row_major_order(tokens, side):
    extra = tokens - side**2
    numbers = torch.arange(tokens).float()[None, :, None].expand(1, -1, 2)
    maps = unit_maps(numbers)
    assert maps.shape == (1, 2, side, side)
    assert maps[0, 0, 0, 0] == extra  # token 1 of 197 is top left
    assert maps[0, 0, 0, -1] == extra + side - 1  # token 14 is top right
    assert maps[0, 0, 1, 0] == extra + side  # token 15 begins row two


def test_maps_stay_and_vectors_have_one_place():
    maps = torch.rand(2, 3, 4, 5)
    assert unit_maps(maps) is maps
    assert unit_maps(torch.zeros(2, 3)).shape == (2, 3, 1, 1)
    assert [unit_axis(torch.zeros(s)) for s in ((2, 3, 4, 5), (2, 3), (2, 9, 3))] == [1, 1, 2]


def test_other_outputs_are_refused_with_their_shape():
    with pytest.raises(ModelError, match="conv gives 35 tokens, which are no square grid"):
        unit_maps(torch.zeros(1, 35, 4), "conv")
    with pytest.raises(ModelError, match=r"gives \[2, 3, 4, 5, 6\]"):
        unit_maps(torch.zeros(2, 3, 4, 5, 6))
