"""sigma-zero: the fewest values on affine models, and steps equal to autograd and torch's own Adam."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.problem import Problem
from unshaken.attack.minimal_norm.sigma_zero import SigmaZero
from unshaken.core import Batch, Classifier, Oracle, SampleRng
from unshaken.core.errors import ParameterError


def run(attack, model, batch, eps=math.inf, **options):
    return attack.attack(Oracle(model), batch, norm="l0", eps=[eps], **options)[0][0]


@pytest.mark.parametrize("targets", [None, [1, 1]])
def test_the_fewest_values_of_an_affine_model_are_found(make, targets):
    """From 0.5 a value moves the logits by half its weight, so a margin of 3.2 takes those of weight 4 and 3."""
    weights = torch.tensor([3.0, -4.0, 0.5, -0.25, 0.1, 1.0]).view(1, 2, 3)
    model = make.affine(weights, 3.2 - 0.5 * weights.sum().item())
    batch = Batch(torch.full((2, 1, 2, 3), 0.5), torch.tensor([0, 0]), ("a", "b"))
    aim = None if targets is None else torch.tensor(targets)
    got = run(SigmaZero(), model, batch, targets=aim)
    assert got.fooled.tolist() == [True, True]
    assert got.distance.tolist() == [2.0, 2.0]
    assert ((got.images[0] - 0.5).abs() > 0).flatten().tolist() == [True, True, False, False, False, False]
    assert run(SigmaZero(), model, batch, 2, targets=aim).fooled.all()
    assert not run(SigmaZero(), model, batch, 1, targets=aim).fooled.any()


def test_an_example_that_changes_every_value_counts(make):
    """The margin is 1.8 and each of the two values takes at most 1 from it."""
    weights = torch.full((1, 1, 2), 2.0)
    batch = Batch(torch.full((1, 1, 1, 2), 0.5), torch.tensor([0]), ("a",))
    got = run(SigmaZero(), make.affine(weights, 1.8 - 2.0), batch)
    assert got.distance.tolist() == [2.0]


class ByHand:
    """The publication's loop on one sample, by autograd and torch's Adam and schedule of rates."""

    def __init__(self, net, x0, y, steps, targeted):
        self.net, self.x0, self.y, self.targeted, self.tau = net, x0.double(), y, targeted, 0.3
        self.delta = torch.zeros_like(self.x0, requires_grad=True)
        self.adam = torch.optim.Adam([self.delta], lr=1.0)
        self.rates = torch.optim.lr_scheduler.CosineAnnealingLR(self.adam, steps, eta_min=0.1)
        self.best = math.inf

    def step(self):
        z = self.net(self.x0 + self.delta)[0]
        gap = z[self.y] - torch.cat([z[: self.y], z[self.y + 1 :]]).max()
        gap = -gap if self.targeted else gap
        square = self.delta.square()
        loss = gap.clamp(min=0) + (square / (square + 1e-3)).mean()
        if gap < 0:
            self.best = min(self.best, int((self.delta != 0).sum()))
        self.adam.zero_grad()
        loss.backward()
        self.delta.grad /= self.delta.grad.abs().max().clamp(min=1e-12)
        self.adam.step()
        self.rates.step()
        with torch.no_grad():
            self.delta.copy_((self.x0 + self.delta).clamp(0, 1) - self.x0)
            self.tau = min(max(self.tau + (0.01 if gap < 0 else -0.01) * self.rates.get_last_lr()[0], 0), 1)
            self.delta[self.delta.abs() < self.tau] = 0


@pytest.mark.parametrize("targeted", [False, True])
def test_each_step_is_that_of_the_publication(make, targeted):
    net = make.net(classes=4)
    net.net.rounded = False
    images = make.images(8, 1, 8, 6)
    with torch.no_grad():
        net.net.head.bias -= net(images).mean(0)
    batch, attack = make.batch(net, images), SigmaZero(steps=12)
    labels = (batch.labels + 1) % 4 if targeted else batch.labels
    ball = Ball.of(images.double(), torch.full((8,), math.inf), "l0")
    problem = Problem(ball, labels, targeted, net(images))
    hands = [ByHand(net, x, y, 12, targeted) for x, y in zip(images.split(1), labels.tolist(), strict=True)]
    *points, found = make.points(attack, net, problem, SampleRng.of(0, "sigma-zero", batch.ids))
    for x in points:
        assert torch.allclose(x, torch.cat([hand.x0 + hand.delta.detach() for hand in hands]), atol=1e-6)
        for hand in hands:
            hand.step()
    fooled = [i for i, hand in enumerate(hands) if hand.best < math.inf]
    assert len(fooled) > 3
    assert ball.distance(found)[fooled].tolist() == [hands[i].best for i in fooled]


def test_rows_do_not_depend_on_the_batch(make):
    net, images = make.net(classes=3), make.images(5, 1, 8, 6)
    batch, attack = make.batch(net, images), SigmaZero(steps=15)
    together = run(attack, net, batch)
    alone = [run(attack, net, batch[torch.tensor([i])]) for i in (3, 0)]
    for one, i in zip(alone, (3, 0), strict=True):
        assert torch.equal(one.images[0], together.images[i])


@pytest.mark.parametrize("values", [{"steps": 0}, {"lr": 0}, {"sigma": 0}, {"threshold": 1.1}, {"threshold_rate": 0}])
def test_parameters_are_checked(values):
    with pytest.raises(ParameterError, match=next(iter(values))):
        SigmaZero(**values)


def test_a_budget_is_a_count(make):
    net = make.net()
    with pytest.raises(ParameterError, match=r"l0 eps=0\.0313725 counts changed values: give a whole number"):
        run(SigmaZero(), net, make.batch(net, make.images(1, 1, 8, 6)), 8 / 255)


def test_a_flat_model_is_not_broken():
    class Flat(torch.nn.Module):
        def forward(self, x):
            return torch.tensor([[1.0, 0.0]]).expand(len(x), 2) + 0 * x.sum()

    batch = Batch(torch.rand(2, 1, 3, 3), torch.zeros(2, dtype=torch.int64), ("a", "b"))
    got = run(SigmaZero(steps=4), Classifier(Flat()).eval(), batch)
    assert not got.fooled.any()
    assert got.images.isfinite().all()
