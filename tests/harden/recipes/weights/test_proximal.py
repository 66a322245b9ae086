"""The proximal penalty by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core import Classifier
from unshaken.core.errors import ParameterError
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.weights.proximal import Proximal


def test_half_mu_times_the_squared_distance(step_of):
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)))
    recipe, memory = Proximal(mu=0.5), {}
    recipe.begin(type("S", (), {"model": model, "memory": memory})())
    images, labels = torch.zeros(4, 1, 28, 28), torch.arange(4)
    step = step_of(model, images, labels, memory={"proximal": memory})
    assert float(recipe.penalty(step).detach()) == 0
    with torch.no_grad():
        model.net[1].bias.add_(torch.arange(10.0))
        model.net[1].weight[3, 5] += 2
    penalty = recipe.penalty(step)
    assert float(penalty.detach()) == pytest.approx(0.25 * (285 + 4))
    (slope,) = torch.autograd.grad(penalty, [model.net[1].bias])
    assert slope.tolist() == pytest.approx([0.5 * i for i in range(10)])


def test_a_large_penalty_keeps_the_weights_where_they_were(photos):
    start = nn.Linear(784, 10)
    gaps = []
    for mu in (0.0, 20.0):
        model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)))
        model.net[1].load_state_dict(start.state_dict())
        training = Training(epochs=2, lr=0.02, batch_size=32, held_out=10, check_images=1, weight_decay=0.0)
        fitted = fit(model, *photos, [Proximal(mu=mu)], training)
        gaps.append(float((fitted.last.net[1].weight - start.weight).detach().norm()))
    assert gaps[1] < 0.5 * gaps[0]
    with pytest.raises(ParameterError, match="mu="):
        Proximal(mu=-1)
