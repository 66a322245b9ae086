"""Triplet loss by hand and by brute force, and what its training leaves alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.layers import last_layer
from unshaken.harden.recipes.losses.triplet import Triplet, triplet


def brute(features, labels, margin, semi_hard):
    """All triplets, one by one."""
    u, losses = F.normalize(features, dim=1), []
    n = len(labels)
    for a in range(n):
        for p in range(n):
            for other in range(n):
                if a != p and labels[a] == labels[p] and labels[a] != labels[other]:
                    near, far = ((u[a] - u[i]).square().sum() for i in (p, other))
                    if near - far + margin > 0 and (not semi_hard or far > near):
                        losses.append(near - far + margin)
    return torch.stack(losses).mean()


def test_a_triplet_by_hand():
    """d(a, p) = 2, d(a, n) = 0 and the other way round from p, where d(p, n) = 2: 2.2 and 0.2."""
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
    assert float(triplet(features, torch.tensor([0, 0, 1]))) == pytest.approx((2.2 + 0.2) / 2)


@pytest.mark.parametrize("semi_hard", [False, True])
def test_it_is_the_mean_over_all_triplets(semi_hard):
    g = torch.Generator().manual_seed(0)
    features, labels = torch.randn(9, 4, generator=g), torch.arange(9) % 3
    expected = brute(features, labels, 0.5, semi_hard)
    torch.testing.assert_close(triplet(features, labels, 0.5, semi_hard=semi_hard), expected)


def test_a_batch_of_one_class_has_no_loss_and_no_gradient():
    features = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = triplet(features, torch.zeros(4, dtype=torch.int64))
    (slope,) = torch.autograd.grad(loss, features)
    assert float(loss.detach()) == float(slope.abs().max()) == 0


def test_the_last_layer_is_left_as_it_was_and_the_rest_learns(bands):
    images, labels = bands.data()
    start = bands.net()
    before = {k: v.clone() for k, v in start.net.state_dict().items()}
    made = fit(start, images, labels, [Triplet()], bands.quick)
    head = last_layer(made.last.net)
    after = made.last.net.state_dict()
    assert torch.equal(after[f"{head}.weight"], before[f"{head}.weight"])
    assert any(not torch.equal(after[k], before[k]) for k in after if not k.startswith(head) and k.endswith("weight"))
    assert made.last.net.get_submodule(head).weight.requires_grad
