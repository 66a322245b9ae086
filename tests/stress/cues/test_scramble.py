"""Tiles by hand, the inverse to the bit, and what does not change."""

import numpy as np
import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.stress.cues.scramble import scramble, scramble_inside, tile_order

IMAGES = torch.rand(3, 3, 24, 36, generator=torch.Generator().manual_seed(0))


def test_quadrants_by_hand():
    quadrants = torch.tensor([[0.0, 1], [2, 3]]).repeat_interleave(2, 0).repeat_interleave(2, 1)[None, None]
    wanted = torch.tensor([[2.0, 3], [1, 0]]).repeat_interleave(2, 0).repeat_interleave(2, 1)[None, None]
    assert torch.equal(scramble(quadrants, np.array([2, 3, 1, 0])), wanted)


@pytest.mark.parametrize("tiles", [2, 3, 4, 6])
def test_the_inverse_order_gives_the_images_back_to_the_bit(tiles):
    order = tile_order(tiles, seed=5)
    changed = scramble(IMAGES, order)
    assert not (order == np.arange(tiles**2)).any()
    assert not torch.equal(changed, IMAGES)
    assert torch.equal(scramble(changed, np.argsort(order)), IMAGES)
    assert torch.equal(changed.flatten(2).sort(-1).values, IMAGES.flatten(2).sort(-1).values)


def test_one_tile_changes_nothing():
    assert torch.equal(scramble(IMAGES, tile_order(1)), IMAGES)


def test_what_the_tiles_do_not_divide_stays_around_the_rest():
    changed = scramble_inside(IMAGES[:, :, :23, :35], 4)
    ring = torch.ones(23, 35, dtype=torch.bool)
    ring[1:21, 1:33] = False
    assert torch.equal(changed[..., ring], IMAGES[:, :, :23, :35][..., ring])
    assert torch.equal(changed[:, :, 1:21, 1:33], scramble(IMAGES[:, :, 1:21, 1:33], tile_order(4)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scramble(IMAGES, tile_order(5)), "5 x 5 tiles do not divide images of 24 x 36 pixels"),
        (lambda: scramble(IMAGES, np.array([0, 0, 1, 2])), "must hold each number from 0 to 3 once"),
        (lambda: scramble_inside(IMAGES, 25), "images of 24 x 36 pixels cannot be cut into 25 x 25 tiles"),
    ],
)
def test_tiles_that_do_not_fit_are_one_line(call, message):
    with pytest.raises(ParameterError, match=message):
        call()
