"""The ball: projections, random points, directions, and what counts as inside."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import kstest

from unshaken.attack.engine.ball import NORMS, Ball, check_budgets, project_l1
from unshaken.core import SampleRng
from unshaken.core.errors import ParameterError

DUAL = {"linf": 1.0, "l2": 2.0, "l1": float("inf")}
ORDER = {"linf": float("inf"), "l2": 2.0, "l1": 1.0}


def ball_of(clean, eps, norm):
    return Ball.of(clean, torch.full((len(clean),), eps), norm)


def images(n=6, side=5, seed=0):
    return torch.rand(n, 1, side, side, generator=torch.Generator().manual_seed(seed))


def length(delta, norm):
    return torch.linalg.vector_norm(delta.double().flatten(1), ORDER[norm], dim=1)


# Projections.


@pytest.mark.parametrize(
    ("x", "delta", "expected"),
    [
        ((0.5, 0.5, 0.5, 0.9), (0.4, -0.3, 0.1, 0.5), (0.25, -0.15, 0, 0.1)),
        ((0.5, 0.5, 0.5, 0.5), (0.4, -0.3, 0.1, 0), (0.3, -0.2, 0, 0)),
        ((0.5, 0.5, 0.5, 0.5), (0.1, -0.1, 0.1, 0), (0.1, -0.1, 0.1, 0)),  # inside already
        ((1.0, 0.0, 0.5, 0.5), (0.4, -0.4, 0.1, 0), (0, 0, 0.1, 0)),  # at the walls
    ],
)
def test_l1_projection_by_hand(x, delta, expected):
    x, delta = (torch.tensor(v).view(1, 1, 2, 2) for v in (x, delta))
    got = project_l1(x, delta, torch.tensor([0.5])).flatten()
    assert got.tolist() == pytest.approx(list(expected), abs=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l1"])
@pytest.mark.parametrize("seed", range(6))
def test_projection_is_the_nearest_point(norm, seed):
    rng = np.random.default_rng(seed)
    clean, point, eps = rng.random(5), rng.random(5) * 1.6 - 0.3, 0.35
    if norm == "linf":
        cut, start = [], clean
        bounds = [(max(0, c - eps), min(1, c + eps)) for c in clean]
        nearest = minimize(lambda z: ((z - point) ** 2).sum(), start, bounds=bounds, tol=1e-12).x
    else:  # delta = p - q with p, q >= 0 makes the l1 ball smooth
        cut = [{"type": "ineq", "fun": lambda v: eps - v.sum()}]
        bounds = [(0, 1 - c) for c in clean] + [(0, c) for c in clean]
        found = minimize(
            lambda v: ((clean + v[:5] - v[5:] - point) ** 2).sum(),
            np.zeros(10),
            bounds=bounds,
            constraints=cut,
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        ).x
        nearest = clean + found[:5] - found[5:]
    ball = ball_of(torch.from_numpy(clean).float().view(1, 1, 1, 5), eps, norm)
    got = ball.project(torch.from_numpy(point).float().view(1, 1, 1, 5)).flatten()
    assert got.tolist() == pytest.approx(nearest.tolist(), abs=2e-4)


def test_l2_projection_by_hand():
    clean = torch.full((1, 1, 1, 2), 0.5)
    got = ball_of(clean, 0.25, "l2").project(torch.tensor([0.8, 0.9]).view(1, 1, 1, 2))
    assert got.flatten().tolist() == pytest.approx([0.65, 0.7], abs=1e-6)  # (.3, .4) has length .5: halved
    edge = torch.tensor([0.95, 0.5]).view(1, 1, 1, 2)
    assert ball_of(edge, 0.25, "l2").project(edge + torch.tensor([0.3, 0.4])).flatten().tolist() == pytest.approx(
        [1.0, 0.7], abs=1e-6
    )


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("eps", [1e-3, 0.01, 0.1, 1.0, 8.0])
@pytest.mark.parametrize("side", [5, 64])
def test_projection_is_inside_by_the_strict_rule_and_idempotent(norm, eps, side):
    clean = images(8, side, seed=3)
    clean[0], clean[1] = 0, 1
    ball = ball_of(clean, eps, norm)
    far = clean + 3 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(4))
    once = ball.project(far)
    assert bool((length(once.double() - clean.double(), norm) <= eps * (1 + 1e-6)).all())
    assert bool(((once >= 0) & (once <= 1)).all())
    assert bool(ball.contains(once).all())
    assert torch.allclose(ball.project(once), once, atol=1e-6, rtol=0)


@pytest.mark.parametrize("norm", NORMS)
def test_projection_uses_the_whole_budget(norm):
    clean = images(8, 16).mul(0.2).add(0.4)  # walls are far
    ball = ball_of(clean, 0.05, norm)
    far = clean + torch.randn(clean.shape, generator=torch.Generator().manual_seed(4))
    n = clean[0].numel()
    pixels = {"linf": 1, "l2": math.sqrt(n), "l1": n}[norm] * 2**-23  # each is rounded, and once more inwards
    length = 0.05 * n * 2**-24  # the float32 sum of n squares
    assert bool((ball.distance(ball.project(far)) >= 0.05 - pixels - length).all())


def test_linf_bounds_are_rounded_inwards():
    clean = torch.rand(1, 1, 300, 300, generator=torch.Generator().manual_seed(5))
    for eps in (8 / 255, 0.1, 1e-3, 0.3):
        ball = ball_of(clean, eps, "linf")
        radius = torch.tensor(eps)
        for wall in (ball.lower, ball.upper):
            assert bool(((wall - clean).abs() <= radius).all())
            inner = (wall > 0) & (wall < 1)
            assert bool(((wall - clean).abs()[inner] >= radius - 1.2e-7).all())


# What counts as inside.


@pytest.mark.parametrize("norm", NORMS)
def test_contains_allows_rounding_and_no_more(norm):
    clean = torch.full((1, 1, 1, 4), 0.5, dtype=torch.float64)
    direction = {"linf": torch.ones(4), "l2": torch.ones(4) / 2, "l1": torch.tensor([0.0, 1, 0, 0])}[norm]
    ball = ball_of(clean, 0.1, norm)
    for factor, inside in ((1 - 1e-3, True), (1 + 5e-7, True), (1 + 2e-6, False), (1 + 1e-3, False)):
        x = clean + 0.1 * factor * direction.double()
        assert bool(ball.contains(x)) is inside, factor


def test_contains_refuses_pixels_outside_the_box_and_nan():
    clean = torch.tensor([0.99, 0.5]).view(1, 1, 1, 2)
    ball = ball_of(clean, 0.1, "linf")
    assert not bool(ball.contains(torch.tensor([1.0000001, 0.5]).view(1, 1, 1, 2)))
    assert not bool(ball.contains(torch.tensor([float("nan"), 0.5]).view(1, 1, 1, 2)))
    assert bool(ball.contains(clean))


def test_distance_by_hand():
    clean, x = torch.full((1, 1, 1, 2), 0.5), torch.tensor([0.8, 0.1]).view(1, 1, 1, 2)
    for norm, expected in (("linf", 0.4), ("l2", 0.5), ("l1", 0.7)):
        assert float(ball_of(clean, 1.0, norm).distance(x)) == pytest.approx(expected, abs=1e-7)


# Random points.


def draws(norm, eps, shape, n=4000):
    clean = torch.full((n, *shape), 0.5)
    ball = ball_of(clean, eps, norm)
    x = ball.random_point(SampleRng.of(0, "ball", [str(i) for i in range(n)]))
    assert bool(ball.contains(x).all())
    return ball, x


def test_linf_point_is_uniform():
    _, x = draws("linf", 0.2, (1, 1, 3))
    for pixel in (x - 0.5).flatten(1).T:
        assert kstest(pixel.numpy(), "uniform", args=(-0.2, 0.4)).pvalue > 1e-4


@pytest.mark.parametrize("d", [1, 3, 12])
def test_l2_point_has_the_radius_law_of_the_ball(d):
    ball, x = draws("l2", 0.3, (1, 1, d))
    assert kstest((ball.distance(x) / 0.3).numpy() ** d, "uniform").pvalue > 1e-4
    assert float((x - 0.5).mean()) == pytest.approx(0, abs=4 * 0.3 / math.sqrt(4000 * d))


@pytest.mark.parametrize("d", [1, 3, 12])
def test_l1_point_is_uniform_in_the_ball(d):
    ball, x = draws("l1", 0.3, (1, 1, d))
    ratio = (ball.distance(x) / 0.3).numpy()
    assert kstest(ratio**d, "uniform").pvalue > 1e-4  # the radius law, of which the mean d / (d + 1) follows
    assert ratio.mean() == pytest.approx(d / (d + 1), abs=0.01)
    assert (x - 0.5).abs().mean(0).flatten().numpy() == pytest.approx(0.3 / (d + 1), rel=0.1)


class Extreme(SampleRng):
    """Draws of the lowest value that a uniform can take."""

    def fold(self, step):
        return self

    def uniform(self, *shape, low=0.0, high=1.0):
        return torch.full((len(self.keys), *shape), low)


def test_an_extreme_draw_gives_a_finite_point():
    clean = torch.full((2, 1, 4, 4), 0.5)
    for norm in ("linf", "l1"):
        ball = ball_of(clean, 0.3, norm)
        assert bool(ball.contains(ball.random_point(Extreme(torch.zeros(2, dtype=torch.int64)))).all())


def test_points_near_the_wall_stay_in_the_box():
    for norm in NORMS:
        clean = torch.zeros(50, 1, 4, 4)
        x = ball_of(clean, 2.0, norm).random_point(SampleRng.of(1, "wall", [str(i) for i in range(50)]))
        assert bool(((x >= 0) & (x <= 1)).all())


# Directions.


@pytest.mark.parametrize("norm", NORMS)
def test_farthest_point_attains_the_dual_norm(norm):
    clean = images(4, 6).mul(0.2).add(0.4)
    w = torch.randn(4, 1, 6, 6, generator=torch.Generator().manual_seed(2))
    gain = ((ball_of(clean, 0.05, norm).farthest(w) - clean) * w).flatten(1).sum(1)
    best = 0.05 * torch.linalg.vector_norm(w.flatten(1), DUAL[norm], dim=1)
    assert torch.allclose(gain, best, rtol=1e-4)


def test_l1_farthest_shares_ties():
    clean = torch.full((1, 1, 1, 4), 0.5)
    got = ball_of(clean, 0.2, "l1").farthest(torch.tensor([2.0, -2.0, 1.0, 0.0]).view(1, 1, 1, 4))
    assert got.flatten().tolist() == pytest.approx([0.6, 0.4, 0.5, 0.5])


def test_l1_steepest_leaves_out_walls_and_small_entries():
    x = torch.tensor([1.0, 0.0, 0.5, 0.5]).view(1, 1, 1, 4)
    gradient = torch.tensor([9.0, -8.0, 3.0, -1.0]).view(1, 1, 1, 4)
    ball = ball_of(x, 0.2, "l1")
    assert ball.steepest(gradient, x, quantile=0.75).flatten().tolist() == [0, 0, 1, 0]
    assert ball.steepest(gradient, x, quantile=0.5).flatten().tolist() == [0, 0, 0.5, -0.5]
    assert ball.steepest(-gradient, x, quantile=0.5).flatten().tolist() == [-0.5, 0.5, 0, 0]


@pytest.mark.parametrize("norm", NORMS)
def test_a_zero_gradient_moves_nothing(norm):
    clean = images(2)
    ball = ball_of(clean, 0.1, norm)
    zero = torch.zeros_like(clean)
    assert torch.equal(ball.steepest(zero, clean), zero)
    assert torch.equal(ball.farthest(zero), clean)


# Points on the sphere.


def sphere(norm, eps, shape=(1, 4, 5), n=400, clean=0.5):
    images = torch.full((n, *shape), clean)
    ball = ball_of(images, eps, norm)
    rng = SampleRng.of(0, "ball", [str(i) for i in range(n)])
    x = ball.sphere_point(rng)
    assert bool(ball.contains(x).all())
    return ball, x, rng


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_sphere_point_has_norm_eps(norm):
    ball, x, _ = sphere(norm, 0.2)
    assert ball.distance(x).tolist() == pytest.approx([0.2] * 400, rel=1e-5)
    delta = (x - 0.5).flatten(1)
    assert bool(((delta.abs() >= 0.2 - 1e-6).sum(1) == 1).all()) is (norm == "linf")  # one pixel alone is at the wall
    assert float(delta.mean()) == pytest.approx(0, abs=0.01)


def test_linf_sphere_point_is_a_uniform_draw_over_its_largest_entry():
    _, x, rng = sphere("linf", 0.2)
    drawn = rng.fold("sphere").uniform(1, 4, 5, low=-1, high=1)
    expected = 0.5 + 0.2 * drawn / drawn.abs().amax((1, 2, 3), keepdim=True)
    assert torch.allclose(x, expected, atol=1e-6)


def test_l1_sphere_point_is_projected_noise():
    ball, x, rng = sphere("l1", 0.6)
    noise = rng.fold("sphere").normal(1, 4, 5)
    assert ball.distance(x).tolist() == pytest.approx([0.6] * 400, rel=1e-5)
    assert torch.allclose(x - 0.5, project_l1(ball.clean, noise, ball.eps), atol=1e-6)
    changed = (x != 0.5).flatten(1).sum(1)
    assert float(changed.double().mean()) < 10  # of 20: the projection of normal noise is sparse


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("clean", [0.0, 0.95])
def test_sphere_points_near_a_wall_stay_in_the_box(norm, clean):
    ball, x, _ = sphere(norm, 0.3, clean=clean)
    assert bool(((x >= 0) & (x <= 1)).all())
    assert bool((ball.distance(x) <= 0.3 * (1 + 1e-6)).all())


@pytest.mark.parametrize("norm", NORMS)
def test_a_budget_of_zero_is_the_image(norm):
    _, x, _ = sphere(norm, 0.0, n=3)
    assert bool((x == 0.5).all())


# Regions: some pixels free, all others as they are.


def region():
    clean = images(5, 4)
    mask = torch.zeros(5, 1, 4, 4, dtype=torch.bool)
    mask[:, :, 1:3, 1:3] = True
    return clean, mask, Ball.region(clean, mask)


def test_points_of_a_region_change_pixels_under_the_mask_only():
    clean, mask, ball = region()
    rng = SampleRng.of(0, "ball", [str(i) for i in range(5)])
    for x in (
        ball.random_point(rng),
        ball.sphere_point(rng),
        ball.project(clean + torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))),
    ):
        assert bool(ball.contains(x).all())
        assert torch.equal(x[~mask], clean[~mask])
        assert float((x - clean)[mask].abs().max()) > 0.3
    free = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    assert torch.equal(ball.project(free), torch.where(mask, free, clean))


def test_a_region_contains_no_change_elsewhere_and_nothing_outside_the_box():
    clean, _, ball = region()
    for place, value, inside in (((1, 1), 1.0, True), ((1, 1), 1.001, False), ((0, 0), None, False)):
        x = clean.clone()
        x[0, 0][place] = clean[0, 0, 0, 0] + 1e-4 if value is None else value
        assert ball.contains(x).tolist() == [inside, True, True, True, True]


def test_directions_and_distances_in_a_region():
    clean, mask, ball = region()
    g = torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
    assert torch.equal(ball.steepest(g, clean), g.sign())
    far = ball.farthest(g)
    assert torch.equal(far[mask], (g[mask] > 0).float())
    assert torch.equal(far[~mask], clean[~mask])
    assert torch.equal(ball.distance(far), (far.double() - clean.double()).abs().flatten(1).amax(1))


def test_in_l1_a_hundredth_of_the_coordinates_is_moved_by_default():
    gradient = torch.arange(1.0, 301).view(1, 1, 15, 20)
    clean = torch.full_like(gradient, 0.5)
    step = ball_of(clean, 0.2, "l1").steepest(gradient, clean).flatten()
    assert step.nonzero().flatten().tolist() == [297, 298, 299]
    assert float(step.sum()) == pytest.approx(1)


@pytest.mark.parametrize("norm", NORMS)
def test_a_step_goes_along_the_entries_that_are_numbers(norm):
    clean = torch.full((2, 1, 1, 3), 0.5)
    gradient = torch.tensor([[math.nan, 2.0, 0.0], [math.inf, -math.inf, math.nan]]).view(2, 1, 1, 3)
    ball = ball_of(clean, 0.1, norm)
    assert ball.steepest(gradient, clean, quantile=0.5).flatten(1).tolist() == [[0, 1, 0], [0, 0, 0]]
    assert ball.farthest(gradient).flatten(1).tolist() == [pytest.approx([0.5, 0.6, 0.5]), [0.5, 0.5, 0.5]]


NORMS = ("linf", "l2")


def test_budgets_are_finite_and_not_below_0():
    assert check_budgets("some", NORMS, "l2", (0.5, 0.0)) == [0.5, 0.0]
    for eps in (-0.1, math.inf, math.nan, -math.inf):
        with pytest.raises(ParameterError, match="must be a finite number >= 0"):
            check_budgets("some", NORMS, "l2", (0.5, eps))
    assert check_budgets("some", NORMS, "l2", (0.5, math.inf), minimal=True) == [0.5, math.inf]
    for eps in (-0.1, math.nan, -math.inf):
        with pytest.raises(ParameterError, match="must be a finite number >= 0"):
            check_budgets("some", NORMS, "l2", (eps,), minimal=True)
    for norm in ("l1", None):
        with pytest.raises(ParameterError, match="is not one of linf, l2"):
            check_budgets("some", NORMS, norm, (0.5,))
    with pytest.raises(ParameterError, match="give eps"):
        check_budgets("some", NORMS, "l2", ())


def test_without_norms_there_is_one_budget_and_none_is_given():
    assert check_budgets("some", (), None, ()) == [math.inf]
    with pytest.raises(ParameterError, match="has no eps"):
        check_budgets("some", (), None, (0.1,))
