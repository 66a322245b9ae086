"""SmoothAdv: the smoothed loss by hand, its gradient, the noises that search and learning share, and the budget."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.problem import Problem
from unshaken.certify.smoothing.smoothed_gradient import SmoothedGradient, smooth_loss
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.compose import Composition
from unshaken.harden.recipes.adversarial.smooth_adv import SmoothAdv, SmoothPGD
from unshaken.harden.recipes.augmentation.mixup import Mixup


def test_the_loss_by_hand():
    logits = torch.tensor([[[0.0, 0.0]], [[math.log(3.0), 0.0]]])
    assert smooth_loss(logits, torch.tensor([0])).item() == pytest.approx(-math.log(5 / 8), abs=1e-6)
    assert smooth_loss(logits, torch.tensor([1])).item() == pytest.approx(-math.log(3 / 8), abs=1e-6)
    mean_of_losses = -(math.log(1 / 2) + math.log(3 / 4)) / 2
    assert smooth_loss(logits, torch.tensor([0])).item() < mean_of_losses


def test_one_copy_is_the_cross_entropy(card):
    found = smooth_loss(card.clean[None], card.labels)
    assert torch.allclose(found, F.cross_entropy(card.clean, card.labels, reduction="none"), atol=1e-6)


def test_the_gradient_and_its_cost(net):
    model = net(norm=False).eval()
    x = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    noises = 0.5 * torch.randn(5, 3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(5)
    with evaluating(model):
        oracle = Oracle(model, limit=4)
        found = oracle.ask(SmoothedGradient(x, labels, noises))
    at = x.clone().requires_grad_()
    p = torch.stack([model(at + noises[:, i]).softmax(1) for i in range(3)]).mean(0)
    value = -p[torch.arange(5), labels].log()
    (gradient,) = torch.autograd.grad(value.sum(), at)
    assert torch.allclose(found.gradient, gradient, atol=1e-6)
    assert torch.allclose(found.value, value.detach(), atol=1e-5)
    assert torch.allclose(found.logits.softmax(1), p.detach(), atol=1e-5)
    assert (oracle.meter.forwards, oracle.meter.backwards) == (15, 15)
    assert found.forwards.tolist() == [3] * 5


def test_the_noises_are_shared_by_all_steps_and_by_the_learning(net, step_of, monkeypatch):
    images, labels = torch.rand(4, 1, 16, 16), torch.arange(4)
    step, seen = step_of(net(), images, labels), []
    real = SmoothPGD.ask

    def ask(search, state):
        seen.append(state.noises)
        return real(search, state)

    monkeypatch.setattr(SmoothPGD, "ask", ask)
    recipe = SmoothAdv(sigma=0.5, copies=2, eps=0.5, steps=4)
    step.adversarial = recipe.inner(step)
    assert len(seen) == 4
    assert all(torch.equal(n, seen[0]) for n in seen)
    assert float(seen[0].std()) == pytest.approx(0.5, rel=0.05)
    shown = []
    step.model = lambda x: (shown.append(x), torch.zeros(len(x), 10))[1]
    assert recipe.loss(step).item() == pytest.approx(math.log(10), abs=1e-5)
    for i in range(2):
        assert torch.allclose(shown[0][4 * i : 4 * i + 4], step.adversarial + seen[0][:, i], atol=1e-6)


def test_it_raises_the_smoothed_loss_inside_the_ball(photos, net, step_of):
    images, labels = photos[0][:20].float() / 255, photos[1][:20]
    model = net()
    step = step_of(model, images, labels)
    recipe = SmoothAdv(sigma=0.25, copies=4, eps=1.0, steps=5)
    found = recipe.inner(step)
    distance = (found - images).flatten(1).norm(dim=1)
    assert distance.max() <= 1 + 1e-5
    assert distance.min() > 0.5
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    rng = step.rng.fold("smooth-adv")
    noise = [0.25 * rng.fold(i).normal(*images.shape[1:]) for i in range(4)]
    model.eval()

    def loss(x):
        return smooth_loss(torch.stack([model(x + n) for n in noise]), labels)

    assert (loss(found) > loss(images)).all()
    assert model.net[1].num_batches_tracked == 0


def test_a_linear_model_is_pushed_along_its_weights():
    """Of two classes by a linear map the smoothed loss rises along the difference of their weights."""
    layer = torch.nn.Linear(16, 2)
    model = Classifier(torch.nn.Sequential(torch.nn.Flatten(), layer)).eval()
    x = torch.full((3, 1, 4, 4), 0.5)
    search = SmoothPGD(steps=3, rel_stepsize=1.0, random_start=False, sigma=0.3, copies=4)
    problem = Problem(Ball.of(x, torch.full((3,), 0.2), "l2"), torch.zeros(3, dtype=torch.int64), False, x[:, 0, 0, :2])
    state = search.start(problem, SampleRng.of(0, "t", ["a", "b", "c"]))
    with evaluating(model):
        state = search.tell(state, Oracle(model).ask(search.ask(state)))
    way = (layer.weight[1] - layer.weight[0]).detach()
    assert torch.allclose((state.x - x).flatten(1), (0.2 * way / way.norm()).expand(3, -1), atol=1e-5)


def test_the_radius_rises():
    recipe = SmoothAdv(eps=0.5, warmup=10)
    assert [recipe.radius(e) for e in (0, 4, 9, 20)] == pytest.approx([0.05, 0.25, 0.5, 0.5])
    assert SmoothAdv(eps=0.5).radius(0) == SmoothAdv(eps=0.5, warmup=0).radius(0) == 0.5


def test_what_does_not_go():
    with pytest.raises(ParameterError, match="leave mixing out"):
        Composition([SmoothAdv(), Mixup()])
    for bad in ("eps", "sigma", "copies", "steps", "rel_stepsize"):
        with pytest.raises(ParameterError, match=f"{bad}=0"):
            SmoothAdv(**{bad: 0})
