"""Entropy and its gradients at values known by quadrature elsewhere; draws against the single Gaussian's law."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.attack.viewpoint.mixture import ViewMixture, entropy, entropy_slopes, mixture_rows, read_mixtures
from unshaken.core.errors import ParameterError
from unshaken.core.part import Condition
from unshaken.core.rng import SampleRng
from unshaken.data.viewpoint.object_set import ViewBox
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

UNIT = ViewBox((1,) * 6, (0,) * 6)
FIRST = torch.tensor([True, False, False, False, False, False])


def mixture(mu, sigma, components=1, per_dim=False):
    return ViewMixture(*(torch.full((1, components, 6), float(v)) for v in (mu, sigma)), per_dim)


@pytest.mark.parametrize(
    ("mu", "sigma", "a", "expected"),
    [
        (0, 0.1, 1, -0.893597),
        (0, 0.1, 180, 4.299360),
        (1, 0.1, 1, -1.755423),
        (0, 1, 1, 0.669804),
    ],
)
def test_entropy_of_one_gaussian(mu, sigma, a, expected):
    found = entropy(mixture(mu, sigma), ViewBox((a,) * 6, (0,) * 6), FIRST)
    assert float(found) == pytest.approx(expected, abs=2e-6)


def test_entropy_slopes_are_its_derivatives():
    rng = SampleRng.of(0, "entropy", ["a"])
    for mu, sigma, by_mu, by_sigma in [(0.0, 0.1, 0.0, 9.801962), (1.0, 0.1, -1.516808, None)]:
        r = rng.normal(400_000).double()
        slopes = entropy_slopes(mu + sigma * r, r, torch.tensor(sigma).double())
        assert float(slopes[0].mean()) == pytest.approx(by_mu, abs=2e-3)
        if by_sigma is not None:
            assert float(slopes[1].mean()) == pytest.approx(by_sigma, abs=2e-3)
    step = 1e-4
    change = entropy(mixture(1 + step, 0.1), UNIT, FIRST) - entropy(mixture(1 - step, 0.1), UNIT, FIRST)
    assert float(change) / (2 * step) == pytest.approx(-1.516808, abs=2e-3)


def test_equal_components_have_the_law_of_one_and_add_their_number_to_the_entropy():
    one, five = mixture(0.3, 0.2), mixture(0.3, 0.2, 5)
    rng = SampleRng.of(0, "draw", ["a"])
    assert torch.allclose(one.draw(rng, 50)[0], five.draw(rng, 50)[0])
    assert float(entropy(five, UNIT) - entropy(one, UNIT)) == pytest.approx(math.log(5))
    apart = mixture(0.3, 0.2, 5, per_dim=True)
    assert float(entropy(apart, UNIT) - entropy(one, UNIT)) == pytest.approx(6 * math.log(5))


def test_components_are_drawn_once_a_view_or_for_each_coordinate():
    wide = ViewMixture(torch.arange(3.0).view(1, 3, 1).expand(2, 3, 6), torch.full((2, 3, 6), 1e-3))
    rng = SampleRng.of(3, "draw", ["a", "b"])
    u, k = wide.draw(rng, 200)
    assert torch.equal(u.round().long(), k)
    assert bool((k == k[..., :1]).all())
    assert k[..., 0].flatten().bincount().min() > 90  # of 400 draws of three
    apart = wide.replace(per_dim=True).draw(rng, 200)[1]
    assert not bool((apart == apart[..., :1]).all())
    assert torch.equal(wide[1:].draw(rng[1:], 200)[0], u[1:])  # whatever the batch


BOX = ViewBox((5, 180, 30, 0.5, 0.1, 0.1), (0, 0, 50, 4, 0, 0))
FIGURES = {"entropy": torch.tensor([1.0, 2.0]), "fitness": torch.tensor([0.5, 0.25]), "renders": torch.tensor([7, 8])}


def saved(place, condition="gmvfool", per_dim=False):
    mixture = ViewMixture(torch.arange(24.0).view(2, 2, 6), torch.full((2, 2, 6), 0.125), per_dim)
    part = mixture_rows(Condition(condition, "gmvfool"), ("a", "b"), mixture, BOX, **FIGURES)
    RunDir(place).write_rows(table_of(part), "view_mixtures", condition, 0)
    return mixture, table_of(part).to_pylist()


def test_a_row_a_component(tmp_path):
    _, rows = saved(tmp_path)
    assert [(r["id"], r["component"], r["weight"]) for r in rows] == [
        ("a", 0, 0.5), ("a", 1, 0.5), ("b", 0, 0.5), ("b", 1, 0.5),
    ]  # fmt: skip
    assert [r["mu"][0] for r in rows] == [0, 6, 12, 18]
    assert [(r["entropy"], r["fitness"], r["renders"]) for r in rows] == [(1, 0.5, 7)] * 2 + [(2, 0.25, 8)] * 2
    assert (rows[0]["half"], rows[0]["centre"]) == (list(BOX.a), list(BOX.b))


@pytest.mark.parametrize("per_dim", [False, True])
def test_they_are_read_in_the_order_that_is_asked_for(tmp_path, per_dim):
    mixture, _ = saved(tmp_path, per_dim=per_dim)
    found = read_mixtures(str(tmp_path), ["b", "a"], BOX)
    assert torch.equal(found.mu, mixture.mu.flip(0))
    assert torch.equal(found.sigma, mixture.sigma)
    assert found.per_dim is per_dim
    assert read_mixtures(str(tmp_path), ["b"], BOX).mu.shape == (1, 2, 6)


def test_what_does_not_fit_is_refused(tmp_path):
    saved(tmp_path)
    with pytest.raises(ParameterError, match="2 objects have no mixture there, such as 'c'"):
        read_mixtures(str(tmp_path), ["a", "c", "d"], BOX)
    for other in (ViewBox(BOX.a, (0, 0, 51, 4, 0, 0)), ViewBox((4, *BOX.a[1:]), BOX.b)):
        with pytest.raises(ParameterError, match="give that box"):
            read_mixtures(str(tmp_path), ["a"], other)
    saved(tmp_path, "viewfool")
    with pytest.raises(ParameterError, match="it has gmvfool, viewfool"):
        read_mixtures(str(tmp_path), ["a"], BOX)
