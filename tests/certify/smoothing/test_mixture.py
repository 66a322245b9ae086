"""The arithmetic of a mixture of probabilities, and its parts."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.special import ndtr, ndtri
from torch import nn

from unshaken.certify.smoothing.mixture import (
    MixtureNet,
    check_weight,
    lipschitz_radius,
    margin_needed,
    mixed,
    normalised,
    parts_of,
    sharp_radius,
    smooth_lipschitz,
    smoothing_radius,
)
from unshaken.core import Classifier
from unshaken.core.errors import ParameterError

G = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64).log()
H = torch.tensor([[0.1, 0.6, 0.3]], dtype=torch.float64).log()


def test_by_hand():
    half = mixed(G, H, 0.5)[0]
    assert half[:2].tolist() == pytest.approx([math.log(0.4)] * 2)
    assert round(half[0].item(), 5) == -0.91629
    assert [round(v, 5) for v in mixed(G, H, 0.6)[0].tolist()] == [-1.07881, -0.82098, -1.51413]
    assert [round(v, 5) for v in mixed(G, H, 0.8)[0].tolist()] == [-1.51413, -0.65393, -1.34707]


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_it_is_the_mixture_of_the_softmaxes(alpha):
    generator = torch.Generator().manual_seed(0)
    g, h = (3 * torch.randn(40, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    found = mixed(g, h, alpha, scale_accurate=1.7, scale_robust=0.3)
    wanted = (1 - alpha) * (1.7 * g).softmax(1) + alpha * (0.3 * h).softmax(1)
    assert torch.allclose(found.exp(), wanted)
    assert torch.allclose(found.exp().sum(1), torch.ones(40, dtype=torch.float64))
    assert torch.equal(found.argmax(1), wanted.argmax(1))
    per_image = mixed(g, h, torch.full((40,), alpha, dtype=torch.float64), scale_accurate=1.7, scale_robust=0.3)
    assert torch.allclose(per_image, found)


def test_the_ends_are_the_two_alone():
    g, h = 5 * torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(1))
    assert torch.equal(mixed(g, h, 0.0, scale_accurate=2.0), (2 * g).log_softmax(1))
    assert torch.equal(mixed(g, h, 1.0, scale_robust=0.5), (0.5 * h).log_softmax(1))
    both = mixed(g, h, torch.tensor([0.0, 1.0] * 4 + [0.0]))
    assert torch.equal(both[0], g.log_softmax(1)[0])
    assert torch.equal(both[1], h.log_softmax(1)[1])


def test_gradients_survive_where_probabilities_are_zero():
    g = torch.tensor([[300.0, 0.0, 0.0]], requires_grad=True)
    h = torch.tensor([[250.0, 0.0, -50.0]], requires_grad=True)
    alpha = torch.tensor([0.0], requires_grad=True)
    assert (0.5 * g.softmax(1) + 0.5 * h.softmax(1)).log()[0, 1].item() == -math.inf  # the log of the sum
    mixed(g, h, 0.5)[0, 1].backward()
    for one in (g, h):
        assert bool(one.grad.isfinite().all())
        assert float(one.grad.abs().sum()) > 0.5 or one is g
    mixed(g.detach(), h.detach(), alpha)[0, 0].backward()
    assert bool(alpha.grad.isfinite().all())


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_a_weight_outside_is_refused(alpha):
    with pytest.raises(ParameterError, match="must lie in"):
        check_weight(alpha, "mixture")


def test_a_weight_at_either_end_is_taken():
    assert [check_weight(a, "mixture") for a in (0.0, 0.3, 1.0)] == [0.0, 0.3, 1.0]


def test_parts_answer_as_the_networks_themselves():
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(3).get_state())
        nets = [Classifier(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), mean=[m], std=[0.5]) for m in (0.1, 0.4)]
    whole = Classifier(MixtureNet(*nets, alpha=0.7, scale_accurate=2.0))
    images = torch.rand(5, 1, 3, 4, generator=torch.Generator().manual_seed(0))
    parts = parts_of(whole)
    assert torch.equal(parts.accurate(images), nets[0](images))
    assert torch.equal(parts.robust(images), nets[1](images))
    assert (parts.least_alpha, parts.scale_accurate, parts.weights) == (0.7, 2.0, None)
    assert parts_of(nets[0]) is None
    wanted = 0.3 * (2 * nets[0](images)).softmax(1) + 0.7 * nets[1](images).softmax(1)
    assert torch.allclose(whole(images).exp(), wanted, atol=1e-6)


def test_the_accurate_one_may_look_at_larger_images():
    seen = []

    class Watch(nn.Module):
        def forward(self, x):
            seen.append(tuple(x.shape))
            return x.mean((2, 3)).repeat(1, 2)

    net = MixtureNet(Watch(), Watch(), alpha=0.5, side=12)
    net(torch.zeros(2, 1, 4, 4))
    assert seen == [(2, 1, 12, 12), (2, 1, 4, 4)]
    same = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    assert torch.equal(MixtureNet(nn.Identity(), Watch(), alpha=0.5, side=12).accurate_logits(same), same)
    net(torch.zeros(2, 1, 12, 4))
    assert seen[2] == (2, 1, 12, 12)  # one side fits, the other does not


def test_images_as_a_net_sees_them():
    images = torch.full((1, 1, 2, 2), 0.7)
    assert torch.equal(normalised(Classifier(nn.Identity()), images), images)
    seen = normalised(Classifier(nn.Identity(), mean=[0.5], std=[0.4]), images)
    assert seen.flatten().tolist() == pytest.approx([0.5] * 4)


def test_weights_are_the_same_for_all_where_they_do_not_vary():
    net = MixtureNet(nn.Identity(), nn.Identity(), alpha=0.7)
    assert net.weights(torch.zeros(3, 1, 2, 2)).tolist() == pytest.approx([0.7] * 3)
    assert (net.least_alpha, net.varies) == (0.7, False)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((0.95, 0.03, 0.67, 1.0), (0.26787, 0.53575, 0.36708, 1.09541)),
        ((0.9, 0.05, 0.8, 0.5), (0.18800, 0.37599, 0.32229, 0.56963)),
        ((0.99, 0.005, 0.6, 0.25), (0.04987, 0.09974, 0.06043, 0.36903)),
        ((0.95, 0.03, 1.0, 1.0), (0.57652, 1.15305, 1.76282, 1.76282)),
    ],
)
def test_radii_by_hand(given, expected):
    y, i, alpha, sigma = given
    found = (
        lipschitz_radius(y, i, alpha, smooth_lipschitz(sigma, "published")),
        lipschitz_radius(y, i, alpha, smooth_lipschitz(sigma)),
        smoothing_radius(y, i, alpha, sigma),
        sharp_radius(y, i, alpha, sigma),
    )
    assert [round(float(v), 5) for v in found] == list(expected)
    assert all(v.dtype == torch.float64 for v in found)


@pytest.mark.parametrize(
    ("alpha", "expected"), [(0.5, 1.0), (0.6, 0.6667), (0.76, 0.3158), (0.84, 0.1905), (0.99, 0.0101), (1.0, 0.0)]
)
def test_margin_needed(alpha, expected):
    assert round(margin_needed(alpha), 4) == expected


@pytest.mark.parametrize("alpha", [0.49, -0.1, 1.01, float("nan")])
def test_no_certificate_below_one_half(alpha):
    for find in (smoothing_radius, sharp_radius):
        with pytest.raises(ParameterError, match=r"alpha in \[0\.5, 1\]"):
            find(0.9, 0.1, alpha, 1.0)
    with pytest.raises(ParameterError, match=r"alpha in \[0\.5, 1\]"):
        lipschitz_radius(0.9, 0.1, alpha, 1.0)


@pytest.mark.parametrize("wrong", [-0.01, 1.01, float("nan")])
def test_logits_are_refused(wrong):
    with pytest.raises(ParameterError, match="probabilities in"):
        sharp_radius(wrong, 0.1, 0.8, 1.0)
    with pytest.raises(ParameterError, match="probabilities in"):
        lipschitz_radius(0.9, torch.tensor([0.1, wrong]), 0.8, 1.0)


def grid():
    values = np.linspace(0.001, 0.999, 23)
    pairs = np.array([(y, i) for y, i in itertools.product(values, values) if y + i <= 1])
    return torch.from_numpy(pairs[:, 0]), torch.from_numpy(pairs[:, 1])


@pytest.mark.parametrize("alpha", [0.5, 0.55, 0.7, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("sigma", [0.12, 1.0])
def test_order_of_the_radii(alpha, sigma):
    y, i = grid()
    sharp, published = sharp_radius(y, i, alpha, sigma), smoothing_radius(y, i, alpha, sigma)
    steep = lipschitz_radius(y, i, alpha, smooth_lipschitz(sigma))
    assert bool((sharp >= published - 1e-9).all())
    assert bool((sharp >= steep - 1e-9).all())
    none = y - i <= (1 - alpha) / alpha
    for found in (sharp, published, steep):
        assert float(found[none].sum()) == 0
        assert bool((found >= 0).all())
    if alpha < 1:
        assert bool((sharp[y - i > 1.001 * (1 - alpha) / alpha] > 0).all())
    else:
        usual = sigma / 2 * (ndtri(y.numpy()) - ndtri(i.numpy()))
        assert sharp.numpy() == pytest.approx(np.maximum(usual, 0), abs=1e-9)
        assert published.numpy() == pytest.approx(np.maximum(usual, 0), abs=1e-12)


def test_more_noise_more_weight_more_margin_more_radius():
    base = float(sharp_radius(0.9, 0.05, 0.8, 0.5))
    assert float(sharp_radius(0.9, 0.05, 0.8, 1.0)) == pytest.approx(2 * base)
    assert float(sharp_radius(0.9, 0.05, 0.85, 0.5)) > base
    assert float(sharp_radius(0.91, 0.05, 0.8, 0.5)) > base
    assert float(sharp_radius(0.9, 0.06, 0.8, 0.5)) < base


def test_ends():
    inf = float("inf")
    assert sharp_radius(1.0, 0.0, torch.tensor(0.6).item(), 1.0).item() == inf
    assert sharp_radius(1.0, 0.0, 0.5, 1.0).item() == 0  # a sure g ties with a sure h
    # h_y = 1 stays 1 at any distance; the other rises to 1 - (1 - a)/a = 1/3
    expected = ndtri(1 / 3) - ndtri(0.03)
    assert sharp_radius(1.0, 0.03, 0.6, 1.0).item() == pytest.approx(expected, abs=1e-6)
    assert sharp_radius(0.0, 1.0, 0.8, 1.0).item() == 0


def half_spaces(p_top, p_other, sigma, x):
    """Smoothed indicators of `{z < a}` and `{z > b}` on a line, at x: the two that fall and rise the fastest."""
    a, b = sigma * ndtri(p_top), -sigma * ndtri(p_other)
    return ndtr((a - x) / sigma), ndtr((x - b) / sigma)


@pytest.mark.parametrize(("y", "i", "alpha", "sigma"), [(0.95, 0.03, 0.67, 1.0), (0.9, 0.05, 0.8, 0.5)])
def test_the_sharp_radius_holds_and_is_the_largest(y, i, alpha, sigma):
    radius = sharp_radius(y, i, alpha, sigma).item()
    assert half_spaces(y, i, sigma, 0.0) == pytest.approx((y, i))
    for x, holds in ((radius * (1 - 1e-6), True), (radius * (1 + 1e-6), False)):
        top, other = half_spaces(y, i, sigma, x)
        mixture = np.array([alpha * top, alpha * other + (1 - alpha)])  # g is sure of the other class
        assert bool(mixture[0] > mixture[1]) is holds


def test_twice_the_sharp_lipschitz_radius_is_false():
    """The constant of a [0, 1]-valued smoothed function is reached: a smaller one certifies what is false."""
    sigma, y, i, alpha = 1.0, 0.5 + 0.2, 0.5 - 0.2, 1.0
    radius = lipschitz_radius(y, i, alpha, smooth_lipschitz(sigma)).item()
    top, other = half_spaces(y, i, sigma, radius)
    assert top > other
    top, other = half_spaces(y, i, sigma, lipschitz_radius(y, i, alpha, smooth_lipschitz(sigma) / 2).item())
    assert top < other


def test_a_weight_that_depends_on_the_image_needs_the_smallest():
    """At x the gate says 0.95, a little farther 0.55: the radius of 0.95 is false, that of 0.55 is not."""
    sigma, high, low = 1.0, 0.95, 0.55
    top, other = half_spaces(0.97, 0.02, sigma, 0.0)
    false_radius = sharp_radius(top, other, high, sigma).item()
    true_radius = sharp_radius(top, other, low, sigma).item()
    assert 0 < true_radius < false_radius

    def wins(x):
        alpha = high if abs(x) < 0.05 else low  # the gate opens as soon as the image moves
        y, i = half_spaces(0.97, 0.02, sigma, x)
        return alpha * y > alpha * i + (1 - alpha)

    assert wins(0.0)
    assert not wins(0.9 * false_radius)
    assert all(wins(x) for x in np.linspace(-true_radius, true_radius, 101)[1:-1])


def test_mixed_logits_have_no_margin_argument():
    """With logits in the place of probabilities a sure g overrules any margin of h."""
    alpha, h = 0.9, np.array([8.0, 0.0, 0.0])
    g = np.array([0.0, 200.0, 0.0])
    p = np.exp(h) / np.exp(h).sum()
    assert p[0] - p[1] > margin_needed(alpha)
    q = np.exp(g - g.max()) / np.exp(g - g.max()).sum()
    assert ((1 - alpha) * q + alpha * p).argmax() == 0
    assert ((1 - alpha) * g + alpha * h).argmax() == 1
