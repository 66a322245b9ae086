"""Adversarial training by hand, on a linear model: the corner of the box, and the loss there."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.harden.recipes.adversarial.at import AdversarialTraining


@pytest.fixture
def step(step_of):
    """Two classes, logits (w . x, -w . x); two grey images, one of each class."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    w = torch.tensor([1.0, -2.0, 3.0, -1.0])
    net[1].weight.data = torch.stack([w, -w])
    return step_of(Classifier(net).train(), torch.full((2, 1, 2, 2), 0.5), torch.tensor([0, 1]), classes=2)


def test_it_learns_from_the_worst_images_alone(step):
    recipe = AdversarialTraining(eps=0.1, steps=10)
    step.adversarial = recipe.inner(step)
    corner = 0.1 * torch.tensor([[[1.0, -1.0], [1.0, -1.0]]])
    assert torch.allclose(step.adversarial, 0.5 + torch.stack([-corner, corner]), atol=1e-6)
    # w . x is 0.5 at grey and moves by 0.1 |w|_1 = 0.7
    logits = torch.tensor([[-0.2, 0.2], [1.2, -1.2]])
    expected = float(F.cross_entropy(logits, step.labels))
    assert float(recipe.loss(step).detach()) == pytest.approx(expected, abs=1e-5)


def test_mixed_labels_are_attacked_as_they_are_mixed(step):
    """A target that lies mostly in the other class turns the direction of the attack."""
    step.targets = torch.tensor([[0.1, 0.9], [0.9, 0.1]])
    found = AdversarialTraining(eps=0.1, steps=10).inner(step)
    corner = 0.1 * torch.tensor([[[1.0, -1.0], [1.0, -1.0]]])
    assert torch.allclose(found[0], 0.5 + corner, atol=1e-6)
