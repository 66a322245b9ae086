"""The search inside a training step: its end points, what it counts, and the model as it was left."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.attack.gradient.fgsm import FGSM
from unshaken.core.classifier import Classifier
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.inner import Inner


def linear():
    """Two classes on either side of `x . w = 0`, w = (1, -1, 1, -1)."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    w = torch.tensor([1.0, -1.0, 1.0, -1.0])
    net[1].weight.data = torch.stack([w, -w])
    return Classifier(net).train()


IMAGES = torch.full((3, 1, 2, 2), 0.5)
RNG = SampleRng.of(0, "test", ["a", "b", "c"])


@pytest.mark.parametrize("copied", [True, False])
def test_every_image_ends_at_the_corner_that_raises_its_loss(copied):
    """Class 0 falls along -sign(w), class 1 along sign(w); a sample that is wrong already moves on all the same."""
    model = linear()
    inner = Inner(model, IMAGES[:2], copied=copied)
    found = inner.find(FGSM(), IMAGES, torch.tensor([0, 1, 1]), RNG, norm="linf", eps=0.1)
    corner = 0.1 * torch.tensor([[[1.0, -1.0], [1.0, -1.0]]])
    expected = 0.5 + torch.stack([-corner, corner, corner])
    assert torch.allclose(found, expected, atol=1e-6)
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert inner.meter.backwards == 3


def test_each_image_may_have_a_radius_of_its_own():
    inner = Inner(linear(), IMAGES[:2])
    eps = torch.tensor([0.0, 0.1, 0.2])
    found = inner.find(FGSM(), IMAGES, torch.zeros(3, dtype=torch.int64), RNG, norm="linf", eps=eps)
    assert (found - IMAGES).abs().amax((1, 2, 3)).tolist() == pytest.approx(eps.tolist(), abs=1e-6)


def test_logits_are_of_the_weights_as_they_are_now():
    model = linear()
    inner = Inner(model, IMAGES[:2])
    with torch.no_grad():
        model.net[1].weight.mul_(3)
        expected = model(IMAGES)
    assert torch.allclose(inner.logits(IMAGES), expected)
    assert inner.meter.forwards == 3
