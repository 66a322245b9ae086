"""FMN: exact on affine models, equal to steps written by hand, and nearer with more steps."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.attack.engine.ball import Ball, project_l1
from unshaken.attack.engine.problem import Problem
from unshaken.attack.minimal_norm.fmn import FMN
from unshaken.core import Batch, Classifier, Oracle, SampleRng
from unshaken.core.errors import ParameterError

P = {"linf": math.inf, "l2": 2.0, "l1": 1.0}


def run(attack, model, batch, norm, **options):
    return attack.attack(Oracle(model), batch, norm=norm, eps=[math.inf], **options)[0][0]


@pytest.mark.parametrize(("norm", "distance"), [("linf", 0.1), ("l2", 0.7 / 5), ("l1", 0.7 / 4)])
@pytest.mark.parametrize("targets", [None, [1]])
def test_the_margin_of_an_affine_model_is_found(make, norm, distance, targets):
    """The margin at the image is 0.7, and the weights are (3, -4): 0.7 over their dual norm is the distance."""
    model = make.affine(torch.tensor([3.0, -4.0]).view(1, 1, 2), 0.7 - 0.5 * 3 + 0.5 * 4)
    batch = Batch(torch.full((1, 1, 1, 2), 0.5), torch.tensor([0]), ("a",))
    aim = None if targets is None else torch.tensor(targets)
    got = run(FMN(step_size=0.1, steps=80), model, batch, norm, targets=aim)
    assert got.fooled.tolist() == [True]
    assert distance <= got.distance.item() < distance * 1.01


def next_by_hand(net, x0, y, x, eps, best, step, norm, steps):
    """One step of the publication on one sample, in float64: the next point and radius, and the best norm so far."""
    rate = (1 + math.cos(math.pi * step / steps)) / 2
    alpha, gamma = 0.01 + 0.99 * rate, 0.001 + 0.049 * rate
    point = x.clone().requires_grad_(True)
    z = net(point)[0]
    loss = torch.cat([z[:y], z[y + 1 :]]).max() - z[y]
    (g,) = torch.autograd.grad(loss, point)
    x0, delta, g = x0.double(), x.double() - x0.double(), g.double()
    size, worst = delta.flatten().norm(P[norm]).item(), torch.maximum(x0, 1 - x0).flatten().norm(P[norm]).item()
    known = best
    if int(z.argmax()) != y:
        known = min(size, worst if best is None else best)
        eps = min(eps * (1 - gamma), known)
    elif best is not None:
        eps = eps * (1 + gamma)
    else:
        eps = size + abs(loss.item()) / g.flatten().norm({"linf": 1, "l2": 2, "l1": math.inf}[norm]).item()
    eps = min(eps, worst)
    delta = delta + alpha * g / g.norm()
    if norm == "linf":
        delta = delta.clamp(-eps, eps)
    elif norm == "l2":
        delta = delta * min(1.0, eps / delta.norm().item())
    else:
        delta = project_l1(x0, delta, torch.tensor([eps]))
    return (x0 + delta).clamp(0, 1), eps, known


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_each_step_is_that_of_the_publication(make, norm):
    """From where the attack is; over many steps the two part, for the radius lies at the boundary itself."""
    net = make.net(classes=4)
    images = make.images(8, 1, 8, 6)
    with torch.no_grad():
        net.net.head.bias -= net(images).mean(0)
    batch, attack, oracle = make.batch(net, images), FMN(steps=9), Oracle(net)
    ball = Ball.of(images, torch.full((8,), math.inf), norm)
    state = attack.start(Problem(ball, batch.labels, False, net(images)), SampleRng.of(0, "fmn", batch.ids))
    for step in range(9):
        after = attack.tell(state, oracle.ask(attack.ask(state)))
        for i, y in enumerate(batch.labels.tolist()):
            best = state.best.norm[i].item() if state.best.found[i] else None
            x, eps, known = next_by_hand(
                net, images[i : i + 1], y, state.x[i : i + 1], state.eps[i].item(), best, step, norm, 9
            )
            assert torch.allclose(after.x[i : i + 1].double(), x, atol=2e-6)
            assert after.eps[i].item() == pytest.approx(eps, rel=1e-5)
            assert bool(after.best.found[i]) == (known is not None)
            assert known is None or after.best.norm[i].item() == pytest.approx(known, rel=1e-5)
        state = after
    assert int(state.best.found.sum()) > 4


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_more_steps_find_nearer_examples(make, norm):
    net = make.net(classes=5, channels=3)
    images = make.images(10, 3, 8, 8)
    with torch.no_grad():
        net.net.head.bias -= net(images).mean(0)
    batch = make.batch(net, images)
    few, many = (run(FMN(steps=n), net, batch, norm) for n in (5, 40))
    assert int(many.fooled.sum()) >= 9  # towards a curved boundary the radius may grow without end
    both = few.fooled & many.fooled
    assert many.distance[both].median() < few.distance[both].median()
    assert torch.equal(net(many.images).argmax(1) != batch.labels, many.fooled)


@pytest.mark.parametrize("values", [{"gamma": 0}, {"gamma": 1}, {"steps": 0}, {"step_size": 0}])
def test_parameters_are_checked(values):
    with pytest.raises(ParameterError, match=next(iter(values))):
        FMN(**values)


def test_a_flat_model_is_not_broken():
    class Flat(torch.nn.Module):
        def forward(self, x):
            return torch.tensor([[1.0, 0.0]]).expand(len(x), 2) + 0 * x.sum()

    batch = Batch(torch.rand(2, 1, 3, 3), torch.zeros(2, dtype=torch.int64), ("a", "b"))
    got = run(FMN(steps=4), Classifier(Flat()).eval(), batch, "l2")
    assert not got.fooled.any()
    assert got.images.isfinite().all()
