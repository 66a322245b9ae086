"""PGD within a band of frequencies: what it adds lies there, and in the ball."""

from __future__ import annotations

import pytest
import torch

from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.problem import Problem
from unshaken.attack.gradient.band_limited import BandLimitedPGD
from unshaken.core import Batch, Classifier, Oracle, SampleRng
from unshaken.measure.robustness.frequency import energy_inside
from unshaken.models.networks.small import SmallNet
from unshaken.stress.engine.filters import band_pass


@pytest.mark.parametrize(("low", "high"), [(-1.0, 2.0), (4.0, 99.0)])
def test_it_keeps_to_its_band(low, high):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Classifier(SmallNet(3, 1, 16), mean=[0.4], std=[0.3]).eval()
    images = 0.4 + 0.2 * torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(2))
    batch = Batch(images, model(images).argmax(1), tuple("abcdef"))
    attack = BandLimitedPGD(steps=4, step_size=0.1, low=low, high=high)
    (found,), _ = attack.attack(Oracle(model), batch, norm="l2", eps=[0.5])
    delta = (found.images - batch.images)[found.distance > 0]
    assert len(delta)
    inside = energy_inside(delta, 2.0) if low < 0 else 1 - energy_inside(delta, 4.0)
    assert inside.min() > 0.999
    assert found.distance.max() <= 0.5 * (1 + 1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_goes_where_a_plain_loop_goes(make, norm):
    net = make.net(classes=3)
    net.net.rounded = False
    x0 = 0.3 + 0.4 * make.images(1, 1, 8, 8).double()
    y, eps = net(x0).argmax(1), {"linf": 0.1, "l2": 0.6}[norm]
    ball, rng = Ball.of(x0, torch.tensor([eps], dtype=torch.float64), norm), SampleRng.of(0, "pgd", ["a"])
    attack = BandLimitedPGD(steps=5, step_size=0.3, low=0.5, high=2.0)
    got = make.points(attack, net, Problem(ball, y, False, net(x0).detach()), rng)
    x = ball.project(x0 + band_pass(ball.random_point(rng) - x0, 0.5, 2.0))
    expected = [x]
    for _ in range(5):
        x = x.detach().requires_grad_(True)
        (g,) = torch.autograd.grad(torch.nn.functional.cross_entropy(net(x), y), x)
        s = g.sign() if norm == "linf" else g / g.norm()
        x = ball.project(x0 + band_pass(x.detach() + 0.3 * eps * s - x0, 0.5, 2.0))
        expected.append(x)
    assert len(got) == 6
    for a, b in zip(got, expected, strict=True):
        assert torch.allclose(a, b, atol=1e-9)
    assert float((expected[0] - expected[-1]).abs().max()) > 0.01
