"""Ensembles by hand: mean probabilities, copies with fresh weights, and attacks carried from member to member."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unshaken.core import Batch, Classifier
from unshaken.core.classifier import View
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.core.search_copy import search_copy
from unshaken.harden.engine.ensemble import (
    Ensemble,
    alike,
    apart,
    ensemble,
    mean_prediction,
    members_of,
    redrawn,
    summed_cross_entropy,
    transferability,
    with_members,
)
from unshaken.harden.recipes.ensembles.ensemble_at import EnsembleAT
from unshaken.models.networks.small import SmallCNN


def linear(weights, name="linear"):
    """`z = W x` on images of as many pixels as W has columns."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(len(weights[0]), len(weights), bias=False))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor(weights))
    return Classifier(net, name=name).eval()


def test_the_mean_of_probabilities_by_hand():
    mean = mean_prediction(torch.tensor([[2.0, 0.0], [0.0, 1.0]]))
    assert mean.exp().tolist() == pytest.approx([0.574869, 0.425131], abs=1e-6)
    assert mean.tolist() == pytest.approx([-0.553613, -0.855359], abs=1e-6)
    assert float(mean.exp().sum()) == pytest.approx(1)


def test_certain_members_give_no_logarithm_of_zero():
    mean = mean_prediction(torch.tensor([[0.0, -500.0], [0.0, -500.0]]))
    assert mean.tolist() == pytest.approx([0.0, -500.0])
    assert mean_prediction(torch.tensor([[0.0, -500.0], [-500.0, 0.0]])).tolist() == pytest.approx([-math.log(2)] * 2)


def test_one_member_keeps_its_logits():
    alone = ensemble([linear([[2.0, 0.0], [0.0, 3.0]])])
    assert alone(torch.ones(1, 1, 1, 2)).tolist() == [[2.0, 3.0]]


def test_members_answer_together_and_apart():
    both = ensemble([linear([[1.0], [0.0]]), linear([[0.0], [1.0]])])
    images = torch.tensor([2.0, 3.0]).view(2, 1, 1, 1)
    assert both.net.predictors(images).tolist() == [[[2, 0], [0, 2]], [[3, 0], [0, 3]]]
    with both.net.apart():
        split = both(torch.stack([images, images + 10]))
    assert split.tolist() == [[[2, 0], [3, 0]], [[0, 12], [0, 13]]]
    assert both(images).shape == (2, 2)


def test_logits_may_be_averaged_in_the_place_of_probabilities():
    members = [linear([[1.0], [0.0]]), linear([[0.0], [3.0]])]
    images = torch.tensor([2.0, 3.0]).view(2, 1, 1, 1)
    assert Ensemble(members, average="logits")(images).tolist() == [[1, 3], [1.5, 4.5]]
    both = ensemble(members)
    assert torch.allclose(both(images).exp(), both.net.predictors(images).softmax(2).mean(1), atol=1e-6)


def test_one_layer_alone_may_be_drawn_anew():
    member = Classifier(SmallCNN(classes=3, channels=1))
    other = redrawn(member, 1, layer="head")
    assert not torch.equal(other.net.head.weight, member.net.head.weight)
    rest = {k: v for k, v in member.net.state_dict().items() if not k.startswith("head")}
    assert all(torch.equal(other.net.state_dict()[k], v) for k, v in rest.items())


def test_it_is_folded_for_a_search():
    member = Classifier(SmallCNN(classes=3, channels=1), mean=[0.3], std=[0.2]).eval()
    both = ensemble([member, redrawn(member, 1)]).eval()
    quick = search_copy(both, torch.rand(2, 1, 12, 12))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in quick.modules())


def test_what_cannot_answer_together_is_refused():
    with pytest.raises(ModelError, match="needs a member"):
        Ensemble([])
    one, other = linear([[1.0], [0.0]]), linear([[1.0], [0.0]])
    other.classes = ("cat", "dog")
    with pytest.raises(ModelError, match="differ in their classes"):
        ensemble([one, other])
    other = Classifier(one.net, name="other", view=View(4, 4))
    with pytest.raises(ModelError, match="differ in their classes or views"):
        ensemble([one, one, other])
    with pytest.raises(ModelError, match="is a single network"):
        members_of(one)


def test_fresh_weights_follow_the_seed_and_leave_the_model():
    member = Classifier(SmallCNN(classes=3, channels=1), mean=[0.3], std=[0.2])
    before = member.net.head.weight.clone()
    state = torch.get_rng_state()
    one, same, other = redrawn(member, 1), redrawn(member, 1), redrawn(member, 2)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(member.net.head.weight, before)
    assert torch.equal(one.net.head.weight, same.net.head.weight)
    assert not torch.equal(one.net.head.weight, other.net.head.weight)
    assert one.mean.item() == pytest.approx(0.3)


def test_transfer_between_linear_members_by_hand():
    # the first two look at the first pixel, the third at the second one: class 0 above 1/2
    first = [[1.0, 0.0], [-1.0, 0.0]]
    second = [[0.0, 1.0], [0.0, -1.0]]
    nets = [Shifted(linear(w)) for w in (first, first, second)]
    model = ensemble([Classifier(n).eval() for n in nets])
    images = torch.tensor([[0.55, 0.55], [0.9, 0.9], [0.45, 0.45], [0.2, 0.9]]).view(4, 1, 1, 2)
    batch = Batch(images, torch.tensor([0, 0, 1, 0]), ("a", "b", "c", "d"))
    found = transferability(model, batch, eps=0.1)
    assert found.batch.ids == ("a", "b", "c")  # the first members get the last image wrong
    two = 2 / 3  # two of three images lie within 0.1 of the border
    expected = [[two, two, 0, two], [two, two, 0, two], [0, 0, two, 0]]
    assert found.rates.tolist() == [pytest.approx(row) for row in expected]
    assert found.off_diagonal == pytest.approx(2 * two / 6)
    assert float((found.images - images[:3]).abs().max()) <= 0.1 * (1 + 1e-6)
    with pytest.raises(DataError, match="none that all members get right"):
        transferability(model, batch[slice(3, 4)], eps=0.1)


class Shifted(nn.Module):
    """Looks at x - 1/2, ten times as large."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(10 * (x - 0.5))


def test_what_a_recipe_rebuilds_holds_what_a_kept_model_is_loaded_into():
    """A kept model has its mean and deviation outside, and the weights of the net: both must say all."""

    def single(seed):
        return redrawn(
            Classifier(SmallCNN(classes=3, channels=1), mean=[0.3], std=[0.2], classes=("a", "b", "c")), seed
        )

    trained = EnsembleAT(members=2).rebuild(single(1)).eval()
    loaded = EnsembleAT(members=2).rebuild(single(2)).eval()
    images = torch.rand(3, 1, 12, 12)
    assert not torch.allclose(trained(images), loaded(images))
    loaded.net.load_state_dict(trained.net.state_dict())
    assert torch.allclose(trained(images), loaded(images))
    assert trained.classes == ("a", "b", "c")
    alone = torch.stack([m(images) for m in members_of(trained)], 1)
    assert torch.allclose(mean_prediction(alone), trained(images), atol=1e-5)
    shown = (images - 0.3) / 0.2
    assert torch.allclose(alone, trained.net.predictors(shown), atol=1e-5)


IMAGES = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def head(member):
    return member.net[-1].weight


def test_the_model_is_the_first_member_and_the_others_are_all_different(net):
    model = net()
    made = members_of(with_members(model, 3))
    assert torch.equal(head(made[0]), head(model))
    assert len({tuple(head(m).flatten()[:5].tolist()) for m in made}) == 3
    again = members_of(with_members(net(), 3))
    assert all(torch.equal(head(a), head(b)) for a, b in zip(made, again, strict=True))
    other = net()
    with torch.no_grad():
        head(other).mul_(2)
    assert not torch.equal(head(members_of(with_members(other, 2))[1]), head(made[1]))


def test_pretrained_members_differ_in_their_last_layer_alone(net):
    first, second = members_of(with_members(net(), 2, pretrained=True))
    assert torch.equal(first.net[0].weight, second.net[0].weight)
    assert not torch.equal(head(first), head(second))


def test_an_ensemble_stays_as_it_is_and_one_member_is_too_few(net, step_of):
    both = with_members(net(), 2)
    assert with_members(both, 5) is both
    assert len(members_of(with_members(net(), 4))) == 4
    alone = step_of(ensemble([net()]), IMAGES, torch.arange(4))
    with pytest.raises(ParameterError, match="an ensemble of 1 member has no diversity"):
        EnsembleAT().begin(type("Setup", (), {"model": alone.classifier})())
    EnsembleAT().begin(type("Setup", (), {"model": both})())


def test_a_pass_is_counted_for_each_member(net, step_of):
    """The loop counts as many as it is handed: three members; the other nine of 3 x 4 images are counted here."""
    model = with_members(net(), 3).eval()
    step = step_of(model, IMAGES, torch.arange(4))
    with torch.no_grad():
        logits = alike(step, IMAGES)
    assert (step.inner.meter.forwards, step.inner.meter.backwards) == (9, 0)
    shown = torch.stack([IMAGES, IMAGES + 0.1, IMAGES * 0.5])
    found = apart(step, shown)
    assert (step.inner.meter.forwards, step.inner.meter.backwards) == (18, 9)
    for i, member in enumerate(members_of(model)):
        assert torch.allclose(logits[i], member(IMAGES), atol=1e-5)
        assert torch.allclose(found[i], member(shown[i]), atol=1e-5)
    total = sum(torch.nn.functional.cross_entropy(z, step.labels) for z in found)
    assert torch.allclose(summed_cross_entropy(found, step.labels), total)
