"""Against exact distances of affine nets, and step by step against the formulas in float64."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq, linprog, minimize
from torch import nn

from tests.covering import covering
from unshaken.attack.engine.attack_run import AttackRun, Phase, run_budget
from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.problem import Problem
from unshaken.attack.engine.verdict import initial_result
from unshaken.attack.minimal_norm.fab import FAB, FIRST, Crossing, close_gaps
from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.rng import SampleRng

NORMS = ("linf", "l2", "l1")
ORDER = {"linf": np.inf, "l2": 2, "l1": 1}


def onto_hyperplane(x, w, b, norm):
    """The least moves d with `w.(x + d) = b`, one point a normal."""
    return close_gaps(x[:, None], w, (b - (w * x).sum(1))[:, None], norm)[:, 0]


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


ORDERS = {"linf": math.inf, "l2": 2, "l1": 1}
DUAL = {"linf": 1, "l2": 2, "l1": math.inf}
STEP = 1e-5
"""Most that float32 moves a pixel in one step of 64 pixels: sums of 64 products of numbers up to about 1."""


class Linear(nn.Module):
    """Logits `W x + b`."""

    def __init__(self, weight, bias):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.tensor(weight)), torch.tensor(bias)

    def forward(self, x):
        return x.flatten(1) @ self.weight.T + self.bias


class Rescaled(nn.Module):
    """Another net's logits, `factor z + shift`."""

    def __init__(self, net, factor, shift):
        super().__init__()
        self.net, self.factor, self.shift = net, factor, shift

    def forward(self, x):
        return self.factor * self.net(x) + self.shift


def three_classes():
    """The card's two-pixel net and its image, of class 0."""
    net = Classifier(Linear([[1.0, 0.0], [-1.0, 1.0], [0.0, -2.0]], [0.2, 0.0, 0.1]), name="three").eval()
    return net, Batch(torch.tensor([0.6, 0.5]).view(1, 1, 1, 2), torch.tensor([0]), ("a",))


def nearest(net, batch, norm, reach=None, **parameters):
    (found,), _ = FAB(**parameters).attack(Oracle(net), batch, norm=norm, eps=[math.inf], targets=reach)
    return found


# A step of one sample, in numpy but for the net.


def shortest(x, w, gap, norm):
    """The least move that closes a gap inside the box, by bisection on its size, or one coordinate after the other."""
    towards = np.sign(w) * np.sign(gap)
    room = np.where(towards > 0, 1 - x, np.where(towards < 0, x, 0))
    size, gap = np.abs(w), abs(gap)
    if norm == "l1":
        move = np.zeros_like(x)
        for i in np.argsort(-size, kind="stable"):
            if gap > 0 and size[i] > 0:
                move[i] = min(room[i], gap / size[i])
                gap -= size[i] * move[i]
        return towards * move
    rate = np.ones_like(size) if norm == "linf" else size
    low, high = 0.0, 1e9
    for _ in range(300):
        middle = (low + high) / 2
        low, high = (middle, high) if size @ np.minimum(middle * rate, room) < gap else (low, middle)
    return towards * np.minimum(high * rate, room)


def next_points(net, clean, label, x, norm, rivals):
    """Where a step from x may lead, in float64: the class is that of least `|f| / |w|`, or one as near."""
    x0, x = clean.double().numpy().ravel(), x.double().numpy().ravel()
    planes = []
    for k in rivals:
        point = torch.tensor(x, dtype=torch.float32).view(1, *clean.shape).requires_grad_(True)
        z = net(point)[0]
        lead = z[k] - z[label]
        (g,) = torch.autograd.grad(lead, point)
        f, w = float(lead.detach()), g.double().numpy().ravel()
        planes.append((abs(f) / np.linalg.norm(w, DUAL[norm]), f, w))
    least = min(p[0] for p in planes)
    for far, f, w in planes:
        if far > least * (1 + 1e-4):
            continue
        b = w @ x - f
        d1, d2 = shortest(x, w, b - w @ x, norm), shortest(x0, w, b - w @ x0, norm)
        n1, n2 = np.linalg.norm(d1, ORDERS[norm]), np.linalg.norm(d2, ORDERS[norm])
        alpha = min(n1 / (n1 + n2), 0.1)
        yield np.clip((x + 1.05 * d1) * (1 - alpha) + (x0 + 1.05 * d2) * alpha, 0, 1)


def walked(net, batch, norm, **parameters):
    """The points `[T, N, C, H, W]` that FAB tests, every second forward pass; and what it found."""
    seen = []
    clean = net(batch.images).detach()
    handle = net.net.register_forward_pre_hook(lambda _m, x: seen.append(x[0].detach().clone()))
    found = FAB(**parameters).attack(Oracle(net), batch, norm=norm, eps=[math.inf], clean=clean)[0][0]
    handle.remove()
    looks = 2 * (parameters["steps"] * parameters.get("targets", 1) + 1)
    return torch.stack(seen[:looks:2]), found


def check_walk(net, clean, label, points, norm, rivals):
    """Each point follows from the one before it, whose rounding it inherits: so none adds up along the way."""
    for before, after in itertools.pairwise(points):
        with torch.no_grad():
            fooled = int(net(before[None]).argmax()) != label
        start = clean + 0.9 * (before - clean) if fooled else before
        got = after.double().numpy().ravel()
        assert min(np.abs(got - x).max() for x in next_points(net, clean, label, start, norm, rivals)) < STEP


def check_found(net, clean, label, points, norm, distance):
    """The distance is that of the nearest of the points which fool; infinite where none does."""
    with torch.no_grad():
        fooled = net(points).argmax(1) != label
    sizes = torch.linalg.vector_norm((points - clean).double().flatten(1), ORDERS[norm], dim=1)
    assert float(distance) == pytest.approx(min(sizes[fooled].tolist(), default=math.inf), rel=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_each_step_goes_where_the_formulas_say(make, norm):
    net = make.net(classes=8)
    batch = make.batch(net, make.images(6, 1, 8, 8))
    points, found = walked(net, batch, norm, steps=15, candidates=7)
    for i, label in enumerate(batch.labels.tolist()):
        rivals = [k for k in range(8) if k != label]
        assert torch.equal(points[0, i], batch.images[i])
        check_walk(net, batch.images[i], label, points[:, i], norm, rivals)
        check_found(net, batch.images[i], label, points[:, i], norm, found.distance[i])
    assert int(found.fooled.sum()) > 3


@pytest.mark.parametrize("norm", NORMS)
def test_fab_t_runs_towards_each_rival_in_turn_and_keeps_the_nearest(make, norm):
    net = make.net(classes=4)
    batch = make.batch(net, make.images(4, 1, 8, 8, seed=3))
    points, found = walked(net, batch, norm, steps=10, targeted=True, targets=2)
    for i, label in enumerate(batch.labels.tolist()):
        clean = batch.images[i]
        first, second = net(clean[None])[0].argsort(descending=True)[1:3].tolist()
        check_walk(net, clean, label, points[:11, i], norm, [first])
        # The second run begins at the clean image, which needs no test.
        check_walk(net, clean, label, torch.cat([clean[None], points[11:, i]]), norm, [second])
        check_found(net, clean, label, points[:, i], norm, found.distance[i])


# Distances known by hand.


@covering("norm, way", NORMS, [[{}], [{"targeted": True}], [{"restarts": 2}]])
def test_exact_distance_of_affine_nets(make, norm, way):
    w = torch.randn(1, 6, 5, generator=torch.Generator().manual_seed(1))
    images = 0.4 + 0.2 * make.images(12, 1, 6, 5)
    if norm == "l1":
        w[0, 2, 3] = 4.0  # one pixel, with room enough, does it
    bias = 0.3 - float((images * w).flatten(1).sum(1).min())
    net = make.affine(w, bias)
    batch = Batch(images, torch.zeros(12, dtype=torch.int64), tuple(map(str, range(12))))
    margin = (images * w).flatten(1).sum(1) + bias
    exact = margin / torch.linalg.vector_norm(w, DUAL[norm])
    inside = exact < 0.4  # the wall is not met
    found = nearest(net, batch, norm, **way)
    assert int(inside.sum()) > 2
    assert bool(found.fooled[inside].all())
    ratio = (found.distance / exact)[inside]
    assert float(ratio.min()) >= 1 - 1e-5
    assert float(ratio.max()) <= 1.01


@pytest.mark.parametrize(("norm", "exact"), [("l2", 0.9 / math.sqrt(5)), ("linf", 0.3)])
def test_distance_of_the_three_class_net(norm, exact):
    net, batch = three_classes()
    found = nearest(net, batch, norm)
    assert float(found.distance) == pytest.approx(exact, rel=0.01)
    assert float(found.distance) >= exact * (1 - 1e-6)
    assert found.logits.argmax(1).tolist() == [1]


@pytest.mark.parametrize(("norm", "exact"), [("l2", 0.5 / math.sqrt(5)), ("linf", 0.5 / 3)])
@pytest.mark.parametrize("way", [{}, {"targeted": True}])
def test_a_class_to_be_reached_is_reached(norm, exact, way):
    """Class 2 where z = (0.8, -0.1, 0.3), so that its boundary x_1 + 2 x_2 = 1.1 to class 0 is 0.5 away."""
    net, batch = three_classes()
    net.net.bias[2] = 1.3
    found = nearest(net, batch, norm, reach=torch.tensor([2]), **way)
    assert found.logits.argmax(1).tolist() == [2]
    assert exact * (1 - 1e-6) <= float(found.distance) <= exact * 1.01


@covering("norm, way", NORMS, [[{}], [{"targeted": True}]])
def test_scale_and_shift_of_logits_do_not_matter(make, norm, way):
    net = make.net(classes=4)
    batch = make.batch(net, make.images(8, 1, 8, 8))
    one = nearest(net, batch, norm, steps=10, **way)
    other = nearest(Classifier(Rescaled(net.net, 8.0, 3.0), name="r").eval(), batch, norm, steps=10, **way)
    assert torch.equal(one.fooled, other.fooled)
    assert torch.allclose(one.distance, other.distance, rtol=1e-3)


# Restarts, budgets, costs.


@pytest.mark.parametrize("norm", NORMS)
def test_restarts_begin_at_half_the_best_norm_or_half_of_eps(make, norm):
    clean = torch.full((3, 1, 6, 6), 0.5)
    eps = torch.tensor([0.2, 0.05, math.inf])
    problem = Problem(Ball.of(clean, eps, norm), torch.zeros(3, dtype=torch.int64), False, torch.zeros(3, 4))
    attack = FAB(steps=4, restarts=2)
    state = attack.start(problem, SampleRng.of(0, "fab", ["a", "b", "c"]))
    state = state.replace(step=torch.tensor([4, 4, 4]), distance=torch.tensor([0.1, 0.1, math.inf]))
    begin = attack.ask(state).begin
    reach = torch.tensor([0.05, 0.025, {"linf": 0.15, "l2": 0.5, "l1": 2.5}[norm]])
    assert torch.allclose(torch.linalg.vector_norm((begin - clean).flatten(1), ORDERS[norm], dim=1), reach, rtol=1e-4)
    assert not torch.allclose(begin[0] - clean[0], 2 * (begin[1] - clean[1]), atol=1e-3)
    assert torch.equal(attack.ask(state.replace(step=torch.tensor([3, 3, 3]))).begin, clean)


def test_more_restarts_never_find_a_farther_example(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(20, 1, 8, 8))
    one, three = (nearest(net, batch, "l2", steps=6, restarts=r) for r in (1, 3))
    assert bool((three.distance <= one.distance * (1 + 1e-6)).all())
    assert bool((three.distance < one.distance * (1 - 1e-6)).any())


@pytest.mark.parametrize(
    "parameters",
    [
        {"steps": 5},
        {"steps": 5, "candidates": 1},
        {"steps": 4, "restarts": 3},
        {"steps": 3, "targeted": True},
        {"steps": 3, "targeted": True, "targets": 2, "restarts": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("classes", [2, 5])
def test_cost_is_what_is_spent(make, parameters, classes):
    net = make.net(classes=classes)
    batch = make.batch(net, make.images(5, 1, 8, 8))
    seen = [0, 0]
    oracle = Oracle(net)
    clean = oracle.exact(batch.images)
    attack = FAB(**parameters)
    attack_run = AttackRun(oracle, batch, batch.labels, False, "linf", 0, clean)
    before = oracle.meter.forwards
    found = attack_run.run(Phase(attack, "fab"), torch.arange(5), math.inf, early=False)
    seen = [oracle.meter.forwards - before - 5, oracle.meter.backwards]  # each once more, in the last look
    forwards, backwards = attack.cost(classes)
    assert [forwards * 5, backwards * 5] == seen
    assert int(found.forwards.sum()) - 5 == seen[0]


@pytest.mark.parametrize("way", [{}, {"targeted": True, "targets": 2}, {"restarts": 2}])
def test_patience_spares_passes_where_nothing_nearer_comes(make, way):
    net = make.affine(torch.tensor([[[1.0, -2.0], [0.5, 1.0]]]), -0.1)
    batch = Batch(torch.full((2, 1, 2, 2), 0.5), torch.zeros(2).long(), ("a", "b"))
    exact = 0.15 / math.sqrt(6.25)
    found = nearest(net, batch, "l2", patience=5, **way)
    runs = 2 if "restarts" in way else 1  # one rival only
    # Step 1 crosses the boundary; 5 or a few more later a run ends: far from 100 steps.
    assert 2 * 6 * runs <= int(found.forwards.max()) <= 2 * 30 * runs
    assert torch.allclose(found.distance, torch.full_like(found.distance, exact), rtol=0.01)
    off, never = (nearest(net, batch, "l2", steps=20, patience=p, **way) for p in (0, 20))
    assert torch.equal(off.images, never.images)
    assert torch.equal(off.forwards, never.forwards)


@pytest.mark.parametrize("way", [{}, {"targeted": True}])
def test_under_a_budget_it_ends_at_the_first_success_inside(make, way):
    net = make.net(classes=4)
    batch = make.batch(net, make.images(20, 1, 8, 8))
    free = nearest(net, batch, "linf", steps=10, **way)
    eps = float(free.distance.median()) * 1.02
    oracle = Oracle(net)
    clean = oracle.exact(batch.images)
    attack_run = AttackRun(oracle, batch, batch.labels, False, "linf", 0, clean)
    start = initial_result(batch.images, clean, batch.labels, False)
    found = run_budget(attack_run, [Phase(FAB(steps=10, **way), "fab")], start, eps)
    assert torch.equal(found.fooled, free.distance <= eps)
    assert bool((found.distance[found.fooled] <= eps * (1 + 1e-6)).all())
    assert int(found.forwards[found.fooled].max()) < int(found.forwards[~found.fooled].min())
    assert 5 <= int(found.fooled.sum()) < 20


def test_more_candidates_than_classes_and_targets_are_cut(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(4, 1, 8, 8))
    for few, many in (({"candidates": 2}, {"candidates": 50}), ({"targets": 2}, {"targets": 50})):
        way = {"steps": 5, "targeted": "targets" in few}
        one, other = nearest(net, batch, "l2", **few, **way), nearest(net, batch, "l2", **many, **way)
        assert torch.equal(one.images, other.images)


def test_a_flat_net_is_survived(make):
    """No gradient at all: the point stays where it is, and nothing fools."""
    net = Classifier(Linear([[0.0, 0.0], [0.0, 0.0]], [1.0, 0.0]), name="flat").eval()
    batch = Batch(
        torch.rand(3, 1, 1, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(3).long(), tuple("abc")
    )
    for norm in NORMS:
        found = nearest(net, batch, norm, steps=4)
        assert found.fooled.tolist() == [False] * 3
        assert torch.equal(found.images, batch.images)


def test_a_black_box_is_refused(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(2, 1, 8, 8))
    net.differentiable = False
    with pytest.raises(ModelError, match=r"^fab: .* gives no gradients"):
        nearest(net, batch, "l2")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"steps": 0}, "steps=0"),
        ({"candidates": 0}, "candidates=0"),
        ({"targets": -2}, "targets=-2"),
        ({"patience": -1}, "patience=-1"),
        ({"alpha_max": 1.5}, "alpha_max=1.5"),
        ({"eta": 0.0}, "eta=0.0"),
        ({"beta": 0.0}, "beta=0.0"),
        ({"target": 3}, "no parameter 'target'; did you mean 'targets'"),
    ],
)
def test_bad_parameters_are_named(values, words):
    with pytest.raises(ParameterError) as caught:
        FAB(**values)
    assert words in str(caught.value)
    assert str(caught.value).startswith("fab: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rivals", [0, 1])
def test_of_a_random_model_all_answers_are_means(make, rivals):
    """Of a model without randomness they are those of one pass; the passes are counted."""
    net = make.net(classes=4)
    batch = make.batch(net, make.images(3, 1, 8, 8))
    clean = net(batch.images).detach()
    problem = Problem(Ball.of(batch.images, torch.full((3,), 0.1), "linf"), batch.labels, False, clean)
    points = (batch.images + 0.05).clamp(0, 1)
    named = clean.argsort(1)[:, 1:2] if rivals else clean.argsort(1)[:, :0]
    query = Crossing(points, problem, batch.images, torch.zeros(3, dtype=torch.bool), named, 0.9, 2)
    one, many = (Oracle(net, draws=d).ask(query) for d in (1, 3))
    for name in ("logits", "value", "slopes"):
        assert torch.allclose(getattr(one, name), getattr(many, name), atol=1e-5), name
    leads = 1 if rivals else 2
    assert one.slopes.shape == (3, leads, 1, 8, 8)
    assert (one.forwards.tolist(), one.backwards.tolist()) == ([2] * 3, [leads] * 3)
    assert (many.forwards.tolist(), many.backwards.tolist()) == ([6] * 3, [3 * leads] * 3)
    assert torch.equal(many.labels, net(points).argmax(1))


def test_a_run_that_comes_nearer_by_less_than_a_thousandth_ends():
    """Three samples at the second of 100 steps: nearer by a half, by half a thousandth, and not at all."""
    attack = FAB(patience=1)
    zeros = torch.zeros(3, dtype=torch.int64)
    clean = torch.full((3, 1, 1, 2), 0.5)
    problem = Problem(Ball.of(clean, torch.full((3,), math.inf), "l2"), zeros, False, torch.zeros(3, 2))
    state = attack.start(problem, SampleRng.of(0, "fab", ["a", "b", "c"]))
    state = state.replace(step=zeros + 7, near=torch.ones(3))
    found = attack._paced(state, torch.tensor([0.5, 0.9995, math.inf]), zeros > 0)
    assert found["step"].tolist() == [8, 100, 100]
    assert found["near"].tolist() == [0.5, 1.0, 1.0]
    assert found["stale"].tolist() == [0, 1, 1]
    begun = attack._paced(state, torch.tensor([0.5, 0.9995, math.inf]), zeros == 0)
    assert begun["near"].tolist() == [math.inf] * 3
    assert begun["step"].tolist() == [8, 8, 8]
    patient = FAB(patience=3)._paced(state, torch.tensor([2.0, 2.0, 2.0]), zeros > 0)
    assert (patient["step"].tolist(), patient["stale"].tolist()) == ([8, 8, 8], [1, 1, 1])
