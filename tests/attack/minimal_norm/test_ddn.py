"""DDN: exact on affine models, and equal to a loop written by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from unshaken.attack.minimal_norm.ddn import DDN
from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.errors import ParameterError


def run(attack, model, batch, **options):
    return attack.attack(Oracle(model), batch, norm="l2", eps=[math.inf], **options)[0][0]


@pytest.mark.parametrize("targets", [None, [1]])
def test_the_margin_of_an_affine_model_is_found(make, targets):
    """The margin at the image is 0.7, and the weights are (3, -4): the distance is 0.7 / 5."""
    model = make.affine(torch.tensor([3.0, -4.0]).view(1, 1, 2), 0.7 - 0.5 * 3 + 0.5 * 4)
    batch = Batch(torch.full((1, 1, 1, 2), 0.5), torch.tensor([0]), ("a",))
    aim = None if targets is None else torch.tensor(targets)
    got = run(DDN(steps=120, gamma=0.03), model, batch, targets=aim)
    assert got.fooled.tolist() == [True]
    assert 0.14 <= got.distance.item() < 0.14 * 1.03


def by_hand(net, x0, y, steps, levels=None, gamma=0.05):
    """The algorithm of the publication on one sample."""
    delta, eps, best_norm = torch.zeros_like(x0), 1.0, math.inf
    worst = torch.maximum(x0, 1 - x0).norm().item()
    for i in range(steps):
        x = (x0 + delta).requires_grad_(True)
        z = net(x)
        (g,) = torch.autograd.grad(F.cross_entropy(z, torch.tensor([y])), x)
        fooled = int(z.argmax()) != y
        if fooled:
            best_norm = min(best_norm, delta.norm().item())
        alpha = 0.01 + 0.99 * (1 + math.cos(math.pi * i / steps)) / 2
        delta = delta + alpha * g / g.norm()
        eps = min(eps * (1 - gamma if fooled else 1 + gamma), worst)
        x = (x0 + eps * delta / delta.norm()).clamp(0, 1)
        if levels:
            x = (x * (levels - 1)).round() / (levels - 1)
        delta = x - x0
    return best_norm


@pytest.mark.parametrize("levels", [None, 64])
def test_equals_a_loop_by_hand(make, levels):
    net = make.net(classes=4)
    images = make.images(8, 1, 8, 6)
    with torch.no_grad():
        net.net.head.bias -= net(images).mean(0)
    batch = make.batch(net, images)
    got = run(DDN(steps=15, levels=levels), net, batch)
    expected = [by_hand(net, x, y, 15, levels) for x, y in zip(images.split(1), batch.labels.tolist(), strict=True)]
    assert got.fooled.tolist() == [e < math.inf for e in expected]
    assert int(got.fooled.sum()) > 4
    assert got.distance.tolist() == pytest.approx(expected, rel=1e-3)
    if levels:
        steps = got.images[got.fooled] * (levels - 1)
        assert torch.allclose(steps, steps.round(), atol=1e-4)


def test_a_flat_model_is_not_broken():
    class Flat(torch.nn.Module):
        def forward(self, x):
            return torch.tensor([[1.0, 0.0]]).expand(len(x), 2) + 0 * x.sum()

    model = Classifier(Flat()).eval()
    batch = Batch(torch.rand(2, 1, 3, 3), torch.zeros(2, dtype=torch.int64), ("a", "b"))
    attack = DDN(steps=4)
    got = run(attack, model, batch)
    assert not got.fooled.any()
    assert got.images.isfinite().all()


@pytest.mark.parametrize("values", [{"gamma": 0}, {"gamma": 1}, {"steps": 0}, {"first_norm": 0}, {"levels": 1}])
def test_parameters_are_checked(values):
    with pytest.raises(ParameterError, match=next(iter(values))):
        DDN(**values)
