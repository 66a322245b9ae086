"""MI-FGSM: its accumulator by hand, equal to a loop, exact on affine models."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.problem import Problem
from unshaken.attack.gradient.mi_fgsm import MIFGSM, accumulated
from unshaken.attack.gradient.pgd import PGD
from unshaken.core import Answer, Batch, Oracle, SampleRng
from unshaken.core.errors import ParameterError

DUAL = {"linf": 1.0, "l2": 2.0, "l1": float("inf")}
FIRST, SECOND = torch.tensor([0.9, 0.1]), torch.tensor([-0.1, 0.9])


def image(values):
    return values.view(1, 1, 1, 2)


def test_the_accumulator_holds_gradients_not_signs():
    total = torch.zeros(1, 1, 1, 2)
    for gradient in (FIRST, SECOND):
        total = accumulated(total, image(gradient), 1.0)
    assert total.flatten().tolist() == pytest.approx([0.8, 1.0])
    signs = FIRST.sign() + SECOND.sign()
    assert signs.tolist() == [0.0, 2.0]  # what an accumulator of signs holds: its next step leaves a pixel where it is


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_only_the_direction_of_a_gradient_counts(scale):
    total = accumulated(image(FIRST), scale * image(SECOND), 0.5)
    assert total.flatten().tolist() == pytest.approx([0.9 / 2 - 0.1, 0.1 / 2 + 0.9])


def test_a_zero_gradient_leaves_the_accumulator():
    assert accumulated(image(FIRST), torch.zeros(1, 1, 1, 2), 1.0).flatten().tolist() == FIRST.tolist()


def test_two_steps_by_hand():
    clean = torch.full((1, 1, 1, 2), 0.5)
    ball = Ball.of(clean, torch.tensor([0.1]), "linf")
    attack = MIFGSM()
    state = attack.start(Problem(ball, torch.tensor([0]), False, torch.zeros(1, 2)), SampleRng.of(0, "mi-fgsm", ["a"]))
    points = [state.x]
    for gradient in (FIRST, SECOND):
        state = attack.tell(state, Answer(gradient=image(gradient)))
        points.append(state.x)
    assert [p.flatten().tolist() for p in points] == [
        pytest.approx(v, abs=1e-6) for v in ([0.5, 0.5], [0.51, 0.51], [0.52, 0.52])
    ]


@pytest.mark.parametrize("norm", list(DUAL))
def test_succeeds_iff_the_margin_is_below_the_dual_norm(make, norm):
    w = torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(1))
    images = 0.5 + 0.08 * (make.images(40, 1, 4, 4) - 0.5)
    raw = (images * w).flatten(1).sum(1)
    model = make.affine(w, 0.01 - float(raw.min()))
    batch = Batch(images, torch.zeros(40, dtype=torch.int64), tuple(f"s{i}" for i in range(40)))
    threshold = (raw - raw.min() + 0.01) / float(torch.linalg.vector_norm(w, DUAL[norm]))
    eps = float(threshold.quantile(0.5))
    (got,), _ = MIFGSM().attack(Oracle(model), batch, norm=norm, eps=[eps])
    clear = (threshold - eps).abs() > 1e-4 * eps
    assert int(clear.sum()) > 35
    assert torch.equal(got.fooled[clear], (threshold < eps)[clear])


def by_hand(net, x0, y, eps, steps, mu):
    """The end point of textbook MI-FGSM in linf on one image, from the clean image."""
    x, total = x0.clone(), torch.zeros_like(x0)
    for _ in range(steps):
        x = x.detach().requires_grad_(True)
        (g,) = torch.autograd.grad(F.cross_entropy(net(x), y), x)
        total = mu * total + g / g.abs().sum()
        x = (x0 + (x.detach() + eps / steps * total.sign() - x0).clamp(-eps, eps)).clamp(0, 1)
    return x


@pytest.mark.parametrize("mu", [0.0, 0.5, 1.0])
def test_ends_where_a_plain_loop_ends(make, mu):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(20, 1, 8, 8))
    (got,), _ = MIFGSM(mu=mu).attack(Oracle(net), batch, norm="linf", eps=[0.03])
    stood = (~got.fooled).nonzero().flatten().tolist()
    assert len(stood) > 5
    for i in stood:
        expected = by_hand(net, batch.images[i : i + 1], batch.labels[i : i + 1], 0.03, 10, mu)
        assert torch.allclose(got.images[i : i + 1], expected, atol=1e-6)


def test_without_momentum_it_is_pgd_from_the_image(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(20, 1, 8, 8))
    for norm, eps in (("linf", 0.03), ("l2", 0.2), ("l1", 1.0)):
        (a,), _ = MIFGSM(mu=0.0, steps=7, rel_stepsize=0.2).attack(Oracle(net), batch, norm=norm, eps=[eps])
        (b,), _ = PGD(steps=7, rel_stepsize=0.2, random_start=False).attack(Oracle(net), batch, norm=norm, eps=[eps])
        assert torch.equal(a.fooled, b.fooled)
        assert torch.allclose(a.images, b.images, atol=1e-5)


def test_a_survivor_costs_ten_gradients_and_a_look(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(20, 1, 8, 8))
    (got,), _ = MIFGSM().attack(Oracle(net), batch, norm="linf", eps=[0.005])
    stood = ~got.fooled
    assert int(stood.sum()) > 10
    assert set(zip(got.forwards[stood].tolist(), got.backwards[stood].tolist(), strict=True)) == {(11, 10)}
    assert MIFGSM().cost(10) == (10, 10)


@pytest.mark.parametrize(("values", "words"), [({"mu": -0.1}, "mu=-0.1"), ({"steps": 0}, "steps=0")])
def test_bad_parameters_are_named(values, words):
    with pytest.raises(ParameterError, match=f"^mi-fgsm: .*{words}"):
        MIFGSM(**values)
