"""Random noise: as large as the budget, drawn anew by each draw, and no stronger than the model's linear bound."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.attack import RandomNoise
from unshaken.core import Classifier


@pytest.mark.parametrize(("norm", "order"), [("linf", float("inf")), ("l2", 2), ("l1", 1)])
def test_the_change_has_the_norm_of_the_budget(norm, order):
    images = torch.full((5, 3, 6, 6), 0.5)
    net = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(108, 3)))
    with torch.no_grad():
        net.net[1].weight.zero_()
        net.net[1].bias.copy_(torch.tensor([1.0, 0, 0]))
    found = RandomNoise().perturb(net, images, torch.zeros(5, dtype=torch.long), norm=norm, eps=0.1)
    assert not found.fooled.any()
    change = torch.linalg.vector_norm((found.images - images).flatten(1).double(), order, dim=1)
    torch.testing.assert_close(change, torch.full((5,), 0.1, dtype=torch.float64), rtol=1e-5, atol=0)
    if norm == "linf":
        assert ((found.images - images).abs() > 0.0999).all()
    assert len(found.images.flatten(1).unique(dim=0)) == 5, "each image has noise of its own"


def test_more_draws_break_more_and_one_draw_is_the_first_of_many():
    net = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).requires_grad_(False))
    net.net[1].weight.copy_(torch.ones(2, 16) * torch.tensor([[1.0], [-1.0]]))
    net.net[1].bias.copy_(torch.tensor([-8.0, 8.0]))  # class 0 where the sum of the pixels is above 8
    images = torch.full((200, 1, 4, 4), 0.52)
    labels = torch.zeros(200, dtype=torch.long)  # noise has to lower the sum by 0.32, of which 0.2 a value is drawn
    one, many = (RandomNoise(draws=k).perturb(net, images, labels, eps=0.2).fooled for k in (1, 8))
    assert (one <= many).all()
    assert one.sum() < many.sum() < 200
