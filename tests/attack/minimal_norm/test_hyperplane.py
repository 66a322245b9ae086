"""Against linear and quadratic programmes solved by others, and against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import brentq, linprog, minimize

from unshaken.attack.minimal_norm._hyperplane import FIRST, close_gaps, onto_hyperplane

NORMS = ("linf", "l2", "l1")
ORDER = {"linf": np.inf, "l2": 2, "l1": 1}


def least(x, w, b, norm):
    """The least norm of a move of one point, by scipy; None where the hyperplane misses the box."""
    n, gap = len(x), b - w @ x
    bounds = [(-v, 1 - v) for v in x]
    if norm == "linf":  # least t with |d_i| <= t
        rows = np.block([[np.eye(n), -np.ones((n, 1))], [-np.eye(n), -np.ones((n, 1))]])
        got = linprog(
            [0] * n + [1], A_ub=rows, b_ub=np.zeros(2 * n), A_eq=[[*w, 0]], b_eq=[gap], bounds=[*bounds, (0, None)]
        )
        return got.fun if got.status == 0 else None
    if norm == "l1":  # d = up - down
        walls = [(0, high) for _, high in bounds] + [(0, -low) for low, _ in bounds]
        got = linprog(np.ones(2 * n), A_eq=[[*w, *-w]], b_eq=[gap], bounds=walls)
        return got.fun if got.status == 0 else None
    if not (np.minimum(-w * x, w * (1 - x)).sum() <= gap <= np.maximum(-w * x, w * (1 - x)).sum()):
        return None

    def height(s):  # stationary in l2: d is s w, clipped
        return w @ np.clip(s * w, -x, 1 - x) - gap

    s = brentq(height, -1e6, 1e6, xtol=1e-13, rtol=1e-14)
    return float(np.linalg.norm(np.clip(s * w, -x, 1 - x)))


def draws(seed, n, d):
    """Points with many coordinates at a wall, normals with zeros, and gaps from none to out of reach."""
    rng = np.random.default_rng(seed)
    x = np.clip(rng.uniform(-0.5, 1.5, (n, d)), 0, 1)
    w = rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.8)
    share = rng.choice([0, 0.01, 0.3, 0.8, 0.99, 1.2], n)
    up = rng.random(n) < 0.5
    reach = np.where(up, np.maximum(-w * x, w * (1 - x)).sum(1), np.minimum(-w * x, w * (1 - x)).sum(1))
    return x, w, (w * x).sum(1) + share * reach


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("d", [1, 5, 40, 90])
def test_moves_are_as_short_as_the_solvers_and_reach_the_plane(norm, d):
    x, w, b = draws(d, 40, d)
    moves = onto_hyperplane(torch.tensor(x), torch.tensor(w), torch.tensor(b), norm).numpy()
    missed = 0
    for point, normal, offset, move in zip(x, w, b, moves, strict=True):
        best = least(point, normal, offset, norm)
        assert ((point + move >= -1e-12) & (point + move <= 1 + 1e-12)).all()
        if best is None:  # all that help at their walls
            missed += 1
            corner = np.where(normal * np.sign(offset - normal @ point) > 0, 1.0, 0.0)
            assert np.allclose((point + move)[normal != 0], corner[normal != 0])
            assert (move[normal == 0] == 0).all()
            continue
        assert abs(normal @ (point + move) - offset) <= 1e-9 * max(1, np.abs(normal).sum())
        assert np.linalg.norm(move, ORDER[norm]) == pytest.approx(best, rel=1e-6, abs=1e-9)
    assert 0 < missed < 40


def test_l2_is_what_a_general_solver_finds():
    x, w, b = draws(3, 8, 6)
    for point, normal, offset in zip(x, w, b, strict=True):
        expected = least(point, normal, offset, "l2")
        if expected is None or expected < 1e-6:
            continue
        found = minimize(
            lambda d: d @ d,
            np.zeros(6),
            jac=lambda d: 2 * d,
            bounds=[(-v, 1 - v) for v in point],
            constraints={"type": "eq", "fun": lambda d, n=normal, p=point, o=offset: n @ (p + d) - o},
            options={"ftol": 1e-14, "maxiter": 500},
        )
        row = (torch.tensor(v)[None] for v in (point, normal, offset))
        move = onto_hyperplane(*row, "l2")[0].numpy()
        assert np.linalg.norm(move) == pytest.approx(float(np.linalg.norm(found.x)), rel=1e-5)
        assert np.allclose(move, found.x, atol=1e-5)


@pytest.mark.parametrize(
    ("norm", "x", "b", "move"),
    [
        ("linf", [0.2, 0.3, 0.4], 1.5, [0.275, 0.275, -0.275]),
        ("l2", [0.2, 0.3, 0.4], 1.5, [0.55 / 3, 1.1 / 3, -0.55 / 3]),
        ("l1", [0.2, 0.3, 0.4], 1.5, [0.0, 0.55, 0.0]),
        ("linf", [0.2, 0.95, 0.4], 2.6, [0.4, 0.05, -0.4]),
        ("l2", [0.2, 0.95, 0.4], 2.6, [0.4, 0.05, -0.4]),
        ("l1", [0.2, 0.95, 0.4], 2.6, [0.8, 0.05, 0.0]),
        ("linf", [0.2, 0.3, 0.4], 0.4, [0.0, 0.0, 0.0]),  # on the plane
        ("l1", [0.2, 0.3, 0.4], 4.0, [0.8, 0.7, -0.4]),  # out of reach
    ],
)
def test_numbers_by_hand(norm, x, b, move):
    w = torch.tensor([[1.0, 2.0, -1.0]])
    got = onto_hyperplane(torch.tensor([x]), w, torch.tensor([b]), norm)
    assert torch.allclose(got, torch.tensor([move]), atol=1e-6)
    flipped = onto_hyperplane(torch.tensor([x]), -w, torch.tensor([-b]), norm)
    assert torch.allclose(flipped, torch.tensor([move]), atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_the_scale_of_the_plane_does_not_matter(norm, factor):
    x, w, b = (torch.tensor(v, dtype=torch.float32) for v in draws(5, 20, 50))
    one, other = onto_hyperplane(x, w, b, norm), onto_hyperplane(x, factor * w, factor * b, norm)
    assert torch.allclose(one, other, atol=2e-4)


@pytest.mark.parametrize("norm", NORMS)
def test_a_plane_without_a_normal_moves_nothing(norm):
    x = torch.rand(3, 7, generator=torch.Generator().manual_seed(0))
    got = onto_hyperplane(x, torch.zeros(3, 7), torch.tensor([0.0, 1.0, -1e20]), norm)
    assert torch.equal(got, torch.zeros(3, 7))


@pytest.mark.parametrize("norm", NORMS)
def test_two_points_share_a_plane_as_if_alone(norm):
    x, w, b = (torch.tensor(v) for v in draws(7, 12, 60))
    other = x.flip(0)
    gaps = torch.stack([b - (w * x).sum(1), b - (w * other).sum(1)], 1)
    both = close_gaps(torch.stack([x, other], 1), w, gaps, norm)
    assert torch.allclose(both[:, 0], onto_hyperplane(x, w, b, norm), atol=1e-12)
    assert torch.allclose(both[:, 1], onto_hyperplane(other, w, b, norm), atol=1e-12)


def test_l1_takes_ties_by_their_place_where_few_and_where_many_coordinates_move():
    d = 4 * FIRST
    w = torch.ones(2, d)
    got = onto_hyperplane(torch.zeros(2, d), w, torch.tensor([2.5, 2.5 * FIRST]), "l1")
    assert got[1].tolist() == [1.0] * int(2.5 * FIRST) + [0.0] * (d - int(2.5 * FIRST))
    assert sorted(got[0].tolist())[-3:] == [0.5, 1.0, 1.0]
    assert float(got[0].sum()) == 2.5
