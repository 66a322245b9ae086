import numpy as np
import pytest
import torch

from unshaken.report.figures.scene_pictures import COVER, NOTHING, colour_of, lay_over


def test_a_mask_covers_its_image_by_a_share():
    mask = np.array([[0, 3], [254, 255]], np.uint8)
    found = lay_over(torch.zeros(1, 2, 2), mask)
    assert found.shape == (3, 2, 2)
    for place, k in {(0, 0): 0, (0, 1): 3}.items():
        assert found[:, *place].tolist() == pytest.approx([COVER * c for c in colour_of(k)], abs=1e-6)
    assert found[:, 1, 0].tolist() == found[:, 1, 1].tolist() == pytest.approx([COVER * c for c in NOTHING], abs=1e-6)


def test_a_large_image_becomes_as_small_as_its_mask():
    assert lay_over(torch.rand(3, 40, 80), np.zeros((10, 20), np.uint8)).shape == (3, 10, 20)
    assert lay_over(torch.rand(3, 10, 20), np.zeros((10, 20), np.uint8)).shape == (3, 10, 20)


def test_colours_of_the_first_classes_are_far_apart():
    colours = np.array([colour_of(k) for k in range(8)])
    distances = np.abs(colours[:, None] - colours[None]).sum(-1)
    assert distances[~np.eye(8, dtype=bool)].min() > 0.2
