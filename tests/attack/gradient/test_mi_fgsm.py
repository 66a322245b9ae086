"""MI-FGSM: its accumulator by hand, equal to a loop, exact on affine models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import norm as normal

from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.problem import Problem
from unshaken.attack.gradient.mi_fgsm import MIFGSM, accumulated, gaussian_kernel, shrink, smooth
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


def test_the_kernel_is_that_of_scipy_and_a_smoothed_point_is_the_kernel():
    side = normal.pdf(np.linspace(-3, 3, 7))
    expected = np.outer(side, side) / np.outer(side, side).sum()
    assert np.allclose(gaussian_kernel(7), expected)
    point = torch.zeros(1, 2, 9, 9)
    point[0, 1, 4, 4] = 1
    found = smooth(point, 7)
    assert torch.allclose(found[0, 1, 1:8, 1:8], torch.from_numpy(expected).float())
    assert not found[0, 0].any()


@pytest.mark.parametrize(("sizes", "places"), [((9, 11), (1, 1)), ((10, 12), (0, 0)), ((9, 12), (0, 0))])
def test_a_shrunk_image_is_that_of_interpolation_and_padding(sizes, places):
    images = torch.rand(2, 3, 10, 12)
    small = F.interpolate(images, sizes, mode="bilinear", align_corners=False)
    below, right = 10 - sizes[0] - places[0], 12 - sizes[1] - places[1]
    expected = F.pad(small, (places[1], right, places[0], below))
    found = shrink(images, torch.tensor([sizes] * 2), torch.tensor([places] * 2))
    assert torch.allclose(found, expected, atol=1e-5)


def transferable(net, x0, y, eps, steps, scales, neighbours, kernel):
    """The published loop with SI, VT and TI in linf on one image; the neighbours are drawn as the attack draws them."""
    x, total, variance = x0.clone(), torch.zeros_like(x0), torch.zeros_like(x0)
    rng = SampleRng.of(0, "mi-fgsm", ["s0"])

    def slope(point):
        g = torch.zeros_like(point)
        for i in range(scales):
            z = point.clone().requires_grad_(True)
            g += torch.autograd.grad(F.cross_entropy(net(z / 2**i), y), z)[0] / scales
        return g

    for t in range(steps):
        own = slope(x)
        g = own + variance
        weights = gaussian_kernel(kernel).float().view(1, 1, kernel, kernel)
        g = torch.cat([F.conv2d(g[:, c : c + 1], weights, padding="same") for c in range(g.shape[1])], 1)
        total = total + g / g.abs().sum()
        around = []
        for n in range(1, neighbours + 1):
            drawn = rng.fold("neighbour").fold(torch.tensor([t * (1 + neighbours) + n]))
            around.append(slope(x + 1.5 * eps * drawn.uniform(*x0.shape[1:], low=-1, high=1)))
        variance = torch.stack(around).mean(0) - own if around else variance
        x = (x0 + (x + eps / steps * total.sign() - x0).clamp(-eps, eps)).clamp(0, 1)
    return x


@pytest.mark.parametrize(("scales", "neighbours", "kernel"), [(3, 0, 1), (1, 2, 1), (1, 0, 5), (2, 2, 3)])
def test_transferable_gradients_are_those_of_the_published_loops(make, scales, neighbours, kernel):
    net = make.net(classes=3, channels=2)
    images = make.images(1, 2, 8, 8)
    labels = net(images).argmax(1)
    attack = MIFGSM(steps=4, rel_stepsize=0.25, scales=scales, neighbours=neighbours, kernel=kernel)
    ball = Ball.of(images, torch.tensor([0.03]), "linf")
    state = attack.start(Problem(ball, labels, False, net(images)), SampleRng.of(0, "mi-fgsm", ["s0"]))
    oracle, asked = Oracle(net), 0
    while not attack.done(state).all():
        state, asked = attack.tell(state, oracle.ask(attack.ask(state))), asked + 1
    assert asked == attack.cost(3)[0] == 4 * scales * (1 + neighbours)
    expected = transferable(net, images, labels, 0.03, 4, scales, neighbours, kernel)
    assert ((state.x - expected).abs() < 1e-5).float().mean() > 0.97  # a sign may turn on a gradient of about 0


def test_a_diverse_gradient_is_that_through_the_shrunk_copy(make):
    """By autograd through the shrinking, in the place of its adjoint."""
    net = make.net(classes=3)
    images = make.images(6, 1, 12, 10)
    attack = MIFGSM(diversity=0.5, smallest=0.7)
    ball = Ball.of(images, torch.full((6,), 0.1), "linf")
    batch = make.batch(net, images)
    state = attack.start(Problem(ball, batch.labels, False, net(images)), SampleRng.of(0, "mi-fgsm", batch.ids))
    query = attack.ask(state)
    unchanged = [bool(torch.allclose(a, b, atol=1e-5)) for a, b in zip(query.points, images, strict=True)]
    assert 0 < sum(unchanged) < 6
    x = images.clone().requires_grad_(True)
    loss = F.cross_entropy(net(attack._shrunk(state, x)), batch.labels, reduction="none").sum()
    (expected,) = torch.autograd.grad(loss, x)
    after = attack.tell(state, Oracle(net).ask(query))
    length = expected.flatten(1).abs().sum(1).view(-1, 1, 1, 1)
    assert torch.allclose(after.momentum, expected / length, atol=1e-6)


def test_what_a_sample_draws_is_its_own(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(6, 1, 8, 8))
    attack = MIFGSM(steps=3, diversity=0.7, scales=2, neighbours=2, kernel=3)
    (whole,), _ = attack.attack(Oracle(net), batch, norm="l2", eps=[0.1])
    order = torch.tensor([4, 2, 0])
    (some,), _ = attack.attack(Oracle(net, limit=2), batch[order], norm="l2", eps=[0.1])
    assert torch.allclose(some.images, whole.images[order], atol=1e-6)
    assert not torch.equal(whole.images, batch.images)


@pytest.mark.parametrize(
    ("values", "words"),
    [({"kernel": 4}, "give an odd number, such as 5"), ({"diversity": 1.1}, "diversity"), ({"scales": 0}, "scales")],
)
def test_bad_parameters_of_transferable_gradients_are_named(values, words):
    with pytest.raises(ParameterError, match=words):
        MIFGSM(**values)
