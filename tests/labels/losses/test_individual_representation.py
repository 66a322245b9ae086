"""The distance of representations to those that no label has touched, and its gradient."""

from __future__ import annotations

import torch

from unshaken.labels.losses.individual_representation import individual_representation


def test_by_hand():
    features, frozen = torch.tensor([[1.0, 2.0], [0.0, 3.0]]), torch.tensor([[1.0, 0.0], [3.0, 3.0]])
    assert individual_representation(features, frozen).item() == (4 + 9) / 2
    assert individual_representation(frozen, frozen).item() == 0


def test_its_gradient_is_twice_the_difference_over_the_batch():
    g = torch.Generator().manual_seed(0)
    features, frozen = torch.randn(5, 3, generator=g, requires_grad=True), torch.randn(5, 3, generator=g)
    individual_representation(features, frozen).backward()
    assert torch.allclose(features.grad, 2 * (features.detach() - frozen) / 5, atol=1e-6)
