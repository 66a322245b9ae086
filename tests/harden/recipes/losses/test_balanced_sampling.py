"""Balanced sampling: weights by hand, and how often classes are drawn."""

from __future__ import annotations

import pytest
import torch

from unshaken.data.resident import order
from unshaken.harden.engine.recipe import Setup
from unshaken.harden.recipes.losses.balanced_sampling import BalancedSampling


def weights_of(recipe, net, rows, labels, samples):
    images, memory = torch.zeros(len(rows), 1, 8, 8), {}
    evaluate = lambda read: (rows, labels, read(images))  # noqa: E731
    recipe.begin(Setup(net(), images[:2], 3, 0, 1, 1, memory, lambda n: (images[:n], labels[:n]), samples, evaluate))
    return recipe.sampling(memory)


def test_weights_by_hand(net):
    rows, labels = torch.tensor([4, 0, 2, 5]), torch.tensor([1, 1, 1, 0])
    assert weights_of(BalancedSampling(), net, rows, labels, 6).tolist() == pytest.approx(
        [1 / 3, 0, 1 / 3, 0, 1 / 3, 1]
    )
    root = weights_of(BalancedSampling(power=0.5), net, rows, labels, 6)
    assert (root[5] / root[4]).item() == pytest.approx(3**0.5)
    assert weights_of(BalancedSampling(power=0), net, rows, labels, 6).tolist() == [1, 0, 1, 0, 1, 1]


def test_classes_are_drawn_as_often(net):
    labels = torch.tensor([0] * 3600 + [1] * 300 + [2] * 100)
    rows = torch.arange(4000)
    drawn = order(rows.numpy(), 0, 0, "order", weights_of(BalancedSampling(), net, rows, labels, 4000))
    shares = torch.bincount(labels[torch.from_numpy(drawn)], minlength=3) / 4000
    assert shares.tolist() == pytest.approx([1 / 3] * 3, abs=0.03)
