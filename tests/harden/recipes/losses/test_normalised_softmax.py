"""Normalised softmax: its worked case, its floor, its constraints, and that norms cannot be trained."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unshaken.harden.engine.fit import fit
from unshaken.harden.recipes.losses.normalised_softmax import NormalisedSoftmax
from unshaken.models.networks.unit_head import UnitHead, find_unit_head


def head_with(weight, scale=10.0, constraint="project"):
    head = UnitHead(weight.shape[1], len(weight), scale, constraint)
    with torch.no_grad():
        head.weight.copy_(weight)
    return head


def test_the_worked_case():
    logits = head_with(torch.eye(3))(torch.tensor([[3.0, 4.0, 0.0]])).detach()
    torch.testing.assert_close(logits, torch.tensor([[6.0, 8.0, 0.0]]))
    torch.testing.assert_close(logits.softmax(1), torch.tensor([[0.11917, 0.88054, 0.00030]]), rtol=0, atol=5e-6)
    assert float(F.cross_entropy(logits, torch.tensor([1]))) == pytest.approx(0.1272, abs=5e-5)


@pytest.mark.parametrize("constraint", ["project", "reparam"])
def test_the_length_of_features_does_not_matter(constraint):
    head = UnitHead(5, 3, 10.0, constraint)
    h = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(head(h), head(7 * h))
    torch.testing.assert_close(head.weight.norm(dim=1), torch.ones(3))


def test_under_reparam_the_length_of_a_weight_does_not_matter():
    head = UnitHead(5, 3, 10.0, "reparam")
    h = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    before = head(h)
    with torch.no_grad():
        head[1].parametrizations.weight.original *= 3
    torch.testing.assert_close(head(h), before)


@pytest.mark.parametrize(
    ("scale", "classes", "floor"), [(10, 10, 1.345e-4), (10, 100, 4.055e-3), (10, 1000, 0.04392), (5, 1000, 2.041)]
)
def test_the_floor_of_the_loss_is_met_by_a_simplex(scale, classes, floor):
    simplex = torch.eye(classes, dtype=torch.float64) - 1 / classes
    head = head_with(F.normalize(simplex, dim=1), scale).double()
    loss = float(F.cross_entropy(head(simplex), torch.arange(classes)).detach())
    assert loss == pytest.approx(math.log(1 + (classes - 1) * math.exp(-scale * classes / (classes - 1))), rel=1e-5)
    assert loss == pytest.approx(floor, rel=5e-4)


@pytest.mark.parametrize(("classes", "probability", "least"), [(10, 0.99, 6.113), (1000, 0.99, 11.490)])
def test_a_probability_needs_a_scale(classes, probability, least):
    simplex = torch.eye(classes, dtype=torch.float64) - 1 / classes
    for scale, reached in ((least + 1e-3, True), (least - 1e-3, False)):
        head = head_with(F.normalize(simplex, dim=1), scale).double()
        assert bool(head(simplex[:1]).softmax(1)[0, 0] >= probability) == reached


def test_the_gradient_is_orthogonal_to_the_feature():
    h = torch.randn(6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    loss = F.cross_entropy(UnitHead(5, 3).double()(h), torch.tensor([0, 1, 2, 0, 1, 2]))
    (slope,) = torch.autograd.grad(loss, h)
    assert float((slope * h).detach().sum(1).abs().max()) < 1e-6


def test_an_embedding_layer_may_stand_before_the_head(bands):
    model = NormalisedSoftmax(embedding=5).rebuild(bands.net())
    head = find_unit_head(model.net)
    assert head.weight.shape[1] == 5
    assert NormalisedSoftmax(embedding=5).rebuild(model) is model
    torch.testing.assert_close(
        model.eval()(bands.data()[0][:3] / 255).abs().amax(1) <= 10, torch.ones(3, dtype=torch.bool)
    )


def test_classes_that_share_a_direction_are_equally_probable():
    head = head_with(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    first, second, _ = head(torch.tensor([[0.3, 0.7]])).detach().softmax(1)[0]
    assert float(first) == float(second)


@pytest.mark.parametrize("constraint", ["project", "reparam"])
def test_weights_keep_their_length_after_every_step_and_there_is_no_bias(bands, constraint, monkeypatch):
    images, labels = bands.data()
    seen, after = [], NormalisedSoftmax.after_step

    def watched(self, step):
        after(self, step)
        seen.append(find_unit_head(step.classifier.net).weight.detach().norm(dim=1))

    monkeypatch.setattr(NormalisedSoftmax, "after_step", watched)
    made = fit(bands.net(), images, labels, [NormalisedSoftmax(constraint=constraint)], bands.quick)
    assert len(seen) > 1
    assert max(float((1 - lengths).abs().max()) for lengths in seen) < 1e-6
    head = find_unit_head(made.model.net)
    assert isinstance(head[1], nn.Linear)
    assert head[1].bias is None
    assert head.scale == 10
