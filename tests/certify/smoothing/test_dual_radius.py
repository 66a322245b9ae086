"""Radii of two and more smoothed parts: by hand, by brute force over directions, and the shortcuts that are wrong."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import ndtr, ndtri
from scipy.stats import norm

from unshaken.certify.smoothing.dual_radius import (
    both_radius,
    dual_radius,
    parts_radius,
    released_radius,
    two_sided_radius,
)
from unshaken.core.errors import ParameterError

WORKED = [(0.9, 0.8, 0.375327), (0.999, 0.5, 0.546281), (0.99, 0.4, 0.366458)]


def total(p, q, u, v, s, t):
    """What is left of the sum of two linear classifiers' probabilities after changes of sizes u and v."""
    return ndtr(ndtri(p) - u / s) + ndtr(ndtri(q) - v / t)


def brute(p, q, s, t, rivals=((None, None),)):
    """The shortest change, over 2,001 directions, after which a rival has as much; None: it has all the rest."""
    angle = np.linspace(0, math.pi / 2, 2001)
    u, v = np.cos(angle), np.sin(angle)
    found = []
    for one, other in rivals:

        def lead(r, one=one, other=other):
            ours = ndtr(ndtri(p) - r * u / s) + ndtr(ndtri(q) - r * v / t)
            if one is None:
                return ours - 1
            return ours - ndtr(ndtri(one) + r * u / s) - ndtr(ndtri(other) + r * v / t)

        low, high = np.zeros(2001), np.full(2001, 20.0)
        ends = lead(high) <= 0
        for _ in range(50):
            middle = (low + high) / 2
            holds = lead(middle) > 0
            low, high = np.where(holds, middle, low), np.where(holds, high, middle)
        found.append(high[ends].min())
    return min(found)


@pytest.mark.parametrize(("p", "q", "radius"), WORKED)
def test_worked_examples(p, q, radius):
    assert float(dual_radius(p, q, 0.25)) == pytest.approx(radius, abs=5e-7)


@pytest.mark.parametrize(("p", "q", "s", "t"), [*((p, q, 0.25, 0.25) for p, q, _ in WORKED), (0.97, 0.7, 0.2, 0.35)])
def test_two_linear_classifiers_attain_it(p, q, s, t):
    assert float(dual_radius(p, q, s, t)) == pytest.approx(brute(p, q, s, t), abs=2e-6)


def test_brute_force_over_2001_directions():
    assert brute(0.999, 0.5, 0.25, 0.25) == pytest.approx(0.546281, abs=1e-6)


def test_on_vectors_random_changes_hold_and_the_worst_one_does_not():
    rng, s, p, q = np.random.default_rng(0), 0.25, 0.95, 0.6
    w = [v / np.linalg.norm(v) for v in rng.standard_normal((2, 12))]
    radius = float(dual_radius(p, q, s))

    def holds(change):
        """The sum of the exact probabilities of two half-spaces under noise."""
        return total(p, q, -change[:12] @ w[0], -change[12:] @ w[1], s, s) > 1

    for change in rng.standard_normal((500, 24)):
        assert holds(change / np.linalg.norm(change) * radius * 0.999999)
    worst = -np.concatenate(w) / math.sqrt(2)
    assert holds(worst * radius * 0.999999)
    assert not holds(worst * radius * 1.000001)


def test_it_is_symmetric_monotone_and_sqrt_2_of_one_half_where_both_are_alike():
    grid = np.array([0.2, 0.4, 0.5, 0.6, 0.8, 0.95, 0.999])
    table = dual_radius(grid[:, None], grid[None], 0.3).numpy()
    assert table.shape == (7, 7)
    assert (table == table.T).all()
    assert (np.diff(table, axis=0) >= 0).all()
    assert np.diag(table) == pytest.approx(np.maximum(0, math.sqrt(2) * 0.3 * norm.ppf(grid)), abs=1e-12)
    assert (table[grid[:, None] + grid[None] < 1 - 1e-12] == 0).all()
    assert (table[grid[:, None] + grid[None] > 1 + 1e-12] > 0).all()
    assert dual_radius(0.9, 0.7, 0.2, 0.4) == dual_radius(0.7, 0.9, 0.4, 0.2)


def test_the_bounds_of_the_publications_first_figure():
    whole = norm.ppf(0.999) / math.sqrt(3072)
    halves = float(dual_radius(0.999, 0.999, 1 / math.sqrt(1536)))
    assert whole == pytest.approx(0.055755, abs=5e-7)
    assert halves == pytest.approx(0.111509, abs=1e-6)
    assert halves == pytest.approx(2 * whole, rel=1e-12)


@pytest.mark.parametrize(("p", "q", "claimed"), [(0.9, 0.8, 0.383300), (0.999, 0.5, 0.772558)])
def test_the_root_of_the_sum_of_squares_is_no_certificate(p, q, claimed):
    assert float(released_radius(p, q, 0.25)) == pytest.approx(claimed, abs=5e-7)
    u = float(dual_radius(p, q, 0.25)) * 1.001 / math.sqrt(2)
    assert math.hypot(u, u) < claimed
    assert total(p, q, u, u, 0.25, 0.25) < 1  # a change within what was claimed, and the class is lost


def test_the_root_of_the_sum_of_squares_is_never_below_and_equal_only_for_equal_sides():
    grid = np.array([0.3, 0.5, 0.7, 0.9, 0.999])
    for p, q in itertools.product(grid, grid):
        sound, claimed = float(dual_radius(p, q, 0.25)), float(released_radius(p, q, 0.25))
        if p == q:
            assert claimed == pytest.approx(sound, abs=1e-12)
        elif max(p, q) > 0.5:
            assert claimed > sound


def test_a_side_clipped_at_zero_is_no_certificate():
    claimed = 0.25 * (norm.ppf(0.99) + max(0.0, norm.ppf(0.4))) / math.sqrt(2)
    assert claimed == pytest.approx(0.411244, abs=5e-7)
    u = 0.38 / math.sqrt(2)
    assert total(0.99, 0.4, u, u, 0.25, 0.25) < 1
    assert float(dual_radius(0.99, 0.4, 0.25)) < 0.38 < claimed


def test_both_sides_must_keep_the_class():
    assert float(both_radius(0.9, 0.8, 0.25)) == pytest.approx(0.25 * norm.ppf(0.8), abs=1e-12)
    assert float(both_radius(0.9, 0.8, 0.1, 0.5)) == pytest.approx(0.1 * norm.ppf(0.9), abs=1e-12)
    assert float(both_radius(0.99, 0.4, 0.25)) == 0


def test_three_parts():
    p, s = np.array([0.9, 0.8, 0.7]), 0.25
    line = s * norm.ppf(p).sum() / math.sqrt(3)
    found = parts_radius(p, s, cells=16_000)
    assert round(line, 4) == 0.3821
    assert found == pytest.approx(0.3815, abs=1e-4)
    starts = np.random.default_rng(0).uniform(0.05, 0.5, (4, 3))
    least = min(
        minimize(
            lambda u: np.linalg.norm(u),
            u,
            bounds=[(0, None)] * 3,
            constraints={"type": "ineq", "fun": lambda u: 1.5 - ndtr(ndtri(p) - u / s).sum()},
            options={"ftol": 1e-14},
        ).fun
        for u in starts
    )
    assert found <= least < line
    assert found == pytest.approx(least, rel=3e-4)
    assert parts_radius(p, s) == pytest.approx(least, rel=8e-4)


@pytest.mark.parametrize(
    ("p", "q", "s", "t"), [(0.9, 0.8, 0.25, 0.25), (0.99, 0.4, 0.25, 0.25), (0.97, 0.7, 0.2, 0.35)]
)
def test_the_search_lies_just_below_the_closed_form_for_two_parts(p, q, s, t):
    closed = float(dual_radius(p, q, s, t))
    assert closed * (1 - 3e-4) < parts_radius([p, q], [s, t]) <= closed
    assert parts_radius([p], s) <= s * norm.ppf(p)


@pytest.mark.parametrize(("s", "t"), [(0.25, 0.25), (0.2, 0.4)])
def test_rivals_bounds_against_brute_force(s, t):
    left, right = [0.7, 0.2, 0.05], [0.6, 0.05, 0.3]
    truth = brute(0.7, 0.6, s, t, rivals=[(0.2, 0.05), (0.05, 0.3)])
    found = two_sided_radius(left, right, 0, s, t)
    assert found <= truth + 1e-9
    assert found == pytest.approx(truth, rel=1e-3)
    assert found > float(dual_radius(0.7, 0.6, s, t))


def test_a_rival_with_all_the_rest_gives_the_closed_form():
    assert two_sided_radius([0.9, 0.1], [0.8, 0.2], 0, 0.25) == pytest.approx(0.375327, abs=5e-7)
    assert two_sided_radius([0.9, 0.5], [0.8, 0.9], 0, 0.25) == pytest.approx(
        0.375327, abs=5e-7
    )  # bounds are no shares
    assert two_sided_radius([0.4, 0.3, 0.3], [0.4, 0.3, 0.3], 0, 0.25) > 0 == float(dual_radius(0.4, 0.4, 0.25))


def test_the_more_a_rival_may_have_the_smaller_the_radius():
    radii = [two_sided_radius([0.6, r], [0.7, r], 0, 0.25) for r in (0.05, 0.1, 0.2, 0.3)]
    assert radii == sorted(radii, reverse=True)
    assert len(set(radii)) == 4


def test_constant_parts():
    assert float(dual_radius(1.0, 0.3, 0.25)) == math.inf
    assert float(dual_radius(1.0, 0.0, 0.25)) == 0
    assert float(dual_radius(0.0, 0.9, 0.25)) == 0
    assert parts_radius([1.0, 1.0], 0.25) == math.inf
    assert parts_radius([0.5, 0.5], 0.25) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dual_radius(1.1, 0.5, 0.25), r"left: probabilities must lie in \[0, 1\], not 1.1"),
        (lambda: dual_radius(0.9, float("nan"), 0.25), "right: probabilities"),
        (lambda: dual_radius(0.9, 0.5, 0.0), "sigma=0 and sigma_right=0 must be finite and above 0"),
        (lambda: released_radius(0.9, 0.5, 0.1, -1.0), "sigma_right=-1"),
        (lambda: both_radius(-0.1, 0.5, 0.1), "left: probabilities"),
        (lambda: parts_radius([0.9, 0.8], [0.1, 0.0]), "one bound and one deviation above 0 a part"),
        (lambda: parts_radius([0.9, 0.8], 0.1, [[0.1]]), r"rivals' bounds must be \[B, 2\], not \[1, 1\]"),
        (lambda: parts_radius([0.9, 0.8], [0.1, 0.2, 0.3]), "one bound and one deviation above 0 a part"),
        (lambda: parts_radius([0.9, 0.8], 0.1, cells=1), "2 cells or more"),
    ],
)
def test_bad_input_is_one_line(call, message):
    with pytest.raises(ParameterError, match=message):
        call()
