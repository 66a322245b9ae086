"""Filled holes: known pixels stay, constants and their surroundings are continued, and no sample counts for another."""

import pytest
import torch

from unshaken.stress.engine.fill_holes import fill_holes


def hole(height, width, rows, columns):
    mask = torch.zeros(1, 1, height, width, dtype=torch.bool)
    mask[..., rows, columns] = True
    return mask


def test_known_pixels_stay_and_the_hole_is_as_its_surroundings():
    images = torch.rand(1, 3, 17, 23, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.6
    mask = hole(17, 23, slice(3, 14), slice(5, 20))
    spoilt = torch.where(mask, torch.zeros_like(images), images)
    filled = fill_holes(spoilt, mask)
    inside = mask.expand_as(images)
    assert torch.equal(filled[~inside], images[~inside])
    assert 0.6 <= float(filled[inside].min()) <= float(filled[inside].max()) <= 0.8
    assert torch.equal(fill_holes(images, mask), filled)  # whatever was there


def test_a_constant_is_continued_and_no_hole_changes_nothing():
    images = torch.full((1, 1, 9, 8), 0.5)
    mask = hole(9, 8, slice(None, 8), slice(None))
    assert torch.allclose(fill_holes(torch.where(mask, 0.9, images), mask), images, atol=1e-6)
    assert torch.equal(fill_holes(images, torch.zeros_like(mask)), images)


def test_left_and_right_fill_their_own_side():
    images = torch.zeros(1, 1, 16, 32)
    images[..., 16:] = 1
    filled = fill_holes(images, hole(16, 32, slice(4, 12), slice(4, 28)))
    assert float(filled[..., 4:12, 5].max()) < 0.2 < 0.8 < float(filled[..., 4:12, 26].min())


@pytest.mark.parametrize("rows", [slice(0, 1), slice(1, 3)])
def test_a_sample_is_filled_as_alone(rows):
    images = torch.rand(3, 3, 13, 11, generator=torch.Generator().manual_seed(1))
    masks = torch.rand(3, 1, 13, 11, generator=torch.Generator().manual_seed(2)) < 0.6
    assert torch.equal(fill_holes(images, masks)[rows], fill_holes(images[rows], masks[rows]))
