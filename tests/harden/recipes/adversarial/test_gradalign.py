from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.adversarial.fgsm_rs import FgsmRs
from unshaken.harden.recipes.adversarial.gradalign import GradAlign, gradalign_weight, misalignment


def test_misalignment_by_hand():
    first = torch.tensor([[1.0, 0], [1, 1]]).view(2, 1, 1, 2)
    second = torch.tensor([[0.0, 2], [3, 3]]).view(2, 1, 1, 2)
    assert misalignment(first, second).item() == pytest.approx(0.5)


def test_a_linear_two_class_model_is_aligned(step_of):
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    images, labels = torch.rand(8, 1, 4, 4), torch.randint(0, 2, (8,))
    step = step_of(Classifier(net), images, labels, classes=2)
    assert GradAlign(eps=0.2, weight=1.0).penalty(step).item() == pytest.approx(0, abs=1e-5)
    assert step.figures["alignment"] == pytest.approx(1, abs=1e-5)


def test_it_has_a_gradient_by_the_weights_and_the_weight_of_eps(photos, net, step_of):
    model = net().train()
    images, labels = photos[0][:8].float() / 255, photos[1][:8]
    found = GradAlign(eps=8 / 255).penalty(step_of(model, images, labels))
    (slope,) = torch.autograd.grad(found, model.net[0].weight, retain_graph=True)
    assert slope.abs().max() > 0
    plain = GradAlign(eps=8 / 255, weight=1.0).penalty(step_of(model, images, labels))
    assert found.item() == pytest.approx(0.2 * plain.item(), rel=1e-4)
    assert gradalign_weight(16 / 255) == pytest.approx(2.0)


def test_the_alignment_is_a_curve_of_the_run(photos, net):
    recipes = [FgsmRs(eps=0.1), GradAlign(eps=0.1)]
    made = fit(net(), *photos, recipes, Training(epochs=2, batch_size=32, check_images=8))
    assert all(-1 <= c["alignment"] <= 1 for c in made.progress.curves)


def test_statistics_stay(photos, net, step_of):
    model = net().train()
    before = model.net[1].running_mean.clone()
    GradAlign().penalty(step_of(model, photos[0][:8].float() / 255, photos[1][:8]))
    assert torch.equal(model.net[1].running_mean, before)
