"""Fog by hand: near things stay, infinitely far ones are the mean of the image."""

import torch

from unshaken.stress.common_3d.fog_3d import fog_3d


def test_near_stays_and_far_is_the_mean():
    image = torch.tensor([[[0.2, 0.8, 0.5]]], dtype=torch.float64)
    depth = torch.tensor([[1e-12, 1e3, 0.25]], dtype=torch.float64)
    found = fog_3d(image, depth, 4.0)[0, 0]
    half = float(torch.exp(torch.tensor(-1.0)))
    assert torch.allclose(found, torch.tensor([0.2, 0.5, 0.5], dtype=torch.float64))
    assert torch.allclose(
        fog_3d(image + 0.1, depth, 4.0)[0, 0, 2], torch.tensor(0.6 * half + 0.6 * (1 - half)).double()
    )
