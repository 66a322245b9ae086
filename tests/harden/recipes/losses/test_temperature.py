"""Training at a temperature: its loss by hand, and what it does to logits."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unshaken.core import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.harden.engine.fit import fit
from unshaken.harden.recipes.adversarial.at import AdversarialTraining
from unshaken.harden.recipes.losses._teacher import refuse_probabilities
from unshaken.harden.recipes.losses.temperature import Temperature, soft_cross_entropy


def test_gradient_by_the_logits():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(1, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    q = torch.randn(1, 5, dtype=torch.float64, generator=generator).softmax(1)
    for t in (1.0, 7.0, 40.0):
        (got,) = torch.autograd.grad(soft_cross_entropy(z, q, t), z)
        torch.testing.assert_close(got, ((z / t).softmax(1) - q).detach() / t, rtol=0, atol=1e-14)


def test_the_least_value_is_the_entropy():
    z = torch.tensor([[3.0, 1.0, -2.0]], dtype=torch.float64)
    q = (z / 4).softmax(1)
    entropy = -float((q * q.log()).sum())
    assert float(soft_cross_entropy(z, q, 4.0)) == pytest.approx(entropy, abs=1e-12)
    for step in (0.1, -0.1):
        moved = z + torch.tensor([[step, 0, 0]], dtype=torch.float64)
        assert float(soft_cross_entropy(moved, q, 4.0)) > entropy


def test_at_one_with_hard_labels_it_is_ordinary_training(bands):
    images, labels = bands.data()
    plain = fit(bands.net(), images, labels, [], bands.quick)
    same = fit(bands.net(), images, labels, [Temperature(temperature=1)], bands.quick)
    for a, b in zip(plain.last.parameters(), same.last.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("power", "factor"), [(0, 1.0), (1, 40.0), (2, 1600.0)])
def test_the_power_scales_the_loss(bands, power, factor):
    z, y = torch.tensor([[80.0, 0.0]]), torch.tensor([1])
    expected = factor * math.log(1 + math.exp(2.0))
    assert bands.loss_on(Temperature(power=power), z, y) == pytest.approx(expected, rel=1e-6)
    assert bands.loss_on(Temperature(power=power), z, y, torch.tensor([[0.0, 1.0]])) == pytest.approx(
        expected, rel=1e-6
    )


def test_training_at_a_temperature_makes_large_logits(bands):
    images, labels = bands.data()
    gaps = []
    for recipes in ([], [Temperature(temperature=40)]):
        z = fit(bands.net(), images, labels, recipes, bands.quick).last(images.float() / 255)
        top = z.detach().topk(2, 1).values
        gaps.append(float((top[:, 0] - top[:, 1]).median()))
        assert float((z.argmax(1) == labels).float().mean()) > 0.9
    assert gaps[1] > 5 * gaps[0]


def test_a_network_that_ends_in_a_softmax_is_refused(bands):
    images, labels = bands.data()
    soft = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Softmax(1)))
    with pytest.raises(ModelError, match="the model to be trained gives probabilities, not logits"):
        fit(soft, images, labels, [Temperature()], bands.quick)
    refuse_probabilities(bands.net(), images[:4].float() / 255, "a net")


@pytest.mark.parametrize("values", [{"temperature": 0}, {"temperature": -1}, {"power": -1}])
def test_values_that_are_not_allowed(values):
    with pytest.raises(ParameterError):
        Temperature(**values)


def test_only_one_recipe_brings_a_loss(bands):
    images, labels = bands.data(40)
    with pytest.raises(ParameterError, match="both bring a loss"):
        fit(bands.net(), images, labels, [Temperature(), AdversarialTraining()], bands.quick)
