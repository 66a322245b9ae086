"""Masks by a share of the largest value, and GrabCut on a picture whose edges are known."""

import pytest
import torch

from unshaken.explain.engine.map_masks import find_objects, masks_of_maps, refine_by_grabcut


def test_what_exceeds_the_share_is_object():
    maps = torch.tensor([[[0.0, 0.34, 0.36, 1.0]], [[-5.0, -1.0, 0.0, 0.0]], [[-9.0, 2.0, 0.5, 0.8]]])
    assert masks_of_maps(maps, 0.35).int().tolist() == [[[0, 0, 1, 1]], [[0, 0, 0, 0]], [[0, 1, 0, 1]]]


def test_grabcut_finds_the_edges_of_the_picture():
    pytest.importorskip("cv2")
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    square = (rows >= 14) & (rows < 34) & (columns >= 14) & (columns < 34)
    noise = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0)) * 0.1
    images = torch.where(
        square, torch.tensor([0.8, 0.2, 0.1]).view(3, 1, 1), torch.tensor([0.1, 0.4, 0.2]).view(3, 1, 1)
    )
    images = images + noise
    heat = torch.exp(-((rows - 22) ** 2 + (columns - 25) ** 2) / 200).expand(2, -1, -1)
    masks = masks_of_maps(heat, 0.35)
    found = refine_by_grabcut(images, heat, masks)
    assert (masks[0] == square).float().mean() < 0.95
    assert (found == square).float().mean() > 0.99
    assert torch.equal(refine_by_grabcut(images[1:], heat[1:], masks[1:]), found[1:])
    empty = torch.zeros_like(masks)
    assert torch.equal(refine_by_grabcut(images, heat, empty), empty)


def test_a_net_that_looks_at_a_corner_gives_a_mask_of_it(conv, images):
    masks, forwards, backwards = find_objects(conv, images, torch.zeros(7, dtype=torch.int64))
    assert masks.shape == (7, 20, 16)
    assert (forwards, backwards) == (7, 7)
    some = masks.any(2).any(1)
    assert bool(some.any())
    assert not bool(masks.all())
