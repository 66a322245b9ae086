"""Contrast against its definition worked by hand."""

import torch

from unshaken.stress.corruptions.contrast import contrast


def test_pulls_towards_the_mean_of_each_channel():
    images = torch.tensor([[[[0.0, 1.0]], [[0.2, 0.4]]]])
    assert torch.allclose(contrast(images, 0.5), torch.tensor([[[[0.25, 0.75]], [[0.25, 0.35]]]]))


def test_a_constant_image_is_a_fixed_point():
    images = torch.full((1, 3, 4, 4), 0.3)
    assert torch.allclose(contrast(images, 0.05), images)
