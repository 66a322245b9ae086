"""Square: the schedule, the windows and both kinds of move against plain loops; exact on affine models."""

from __future__ import annotations

import math

import pytest
import torch

from tests.covering import covering
from unshaken.attack.black_box import square
from unshaken.attack.black_box.square import Square, bump, moved, tiled, tiles, window_sides
from unshaken.attack.engine.ball import Ball, project_l1
from unshaken.attack.engine.problem import Problem
from unshaken.core import Classifier, Oracle, SampleRng
from unshaken.core.errors import ParameterError
from unshaken.core.query import Answer

AT = [0, 10, 11, 50, 51, 200, 201, 500, 501, 1000, 1001, 2000, 2001, 4000, 4001, 6001, 8000, 8001]
STAGE = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 8, 8, 9]
EPS = {"linf": 0.05, "l2": 0.3, "l1": 2.0}


def problem_of(images, norm, eps, classes=3, targeted=False):
    n = len(images)
    return Problem(
        Ball.of(images, torch.full((n,), eps), norm),
        torch.zeros(n, dtype=torch.int64),
        targeted,
        torch.zeros(n, classes),
    )


def rng_of(n):
    return SampleRng.of(0, "square", [f"s{i}" for i in range(n)]).fold(0)


# The schedule.


def test_sides_of_the_windows_are_the_published_ones():
    assert window_sides(0.8, 32, 32, "linf")[:8] == (29, 20, 14, 10, 7, 5, 4, 3)
    assert window_sides(0.8, 224, 224, "linf")[:8] == (200, 142, 100, 71, 50, 35, 25, 18)


def test_sides_in_l2_and_l1_are_odd_and_3_at_least():
    assert window_sides(0.8, 32, 32, "l2") == (29, 21, 15, 11, 7, 5, 5, 3, 3, 3)
    assert window_sides(0.8, 4, 9, "l1") == (4, 4, 3, 3, 3, 3, 3, 3, 3, 3)
    assert window_sides(1.0, 2, 5, "linf")[0] == 2


def test_the_schedule_goes_by_the_raw_index_of_each_samples_query():
    """On vertical stripes a window that changes something changes as many rows as it is high."""
    images = torch.full((len(AT), 1, 32, 32), 0.5)
    attack = Square()
    state = attack.start(problem_of(images, "linf", 0.1), rng_of(len(AT)))
    after = attack.tell(state.replace(query=torch.tensor(AT)), Answer(logits=torch.zeros(len(AT), 3)))
    rows = (after.x != after.best).any(3).sum((1, 2))
    sides = (29, 20, 14, 10, 7, 5, 4, 3, 2, 1)
    assert rows.tolist() == [sides[k] for k in STAGE]


def test_rescale_stretches_the_schedule():
    images = torch.full((3, 1, 32, 32), 0.5)
    attack = Square(queries=1000, rescale=True)
    state = attack.start(problem_of(images, "linf", 0.1), rng_of(3))
    after = attack.tell(state.replace(query=torch.tensor([1, 2, 20])), Answer(logits=torch.zeros(3, 3)))
    assert (after.x != after.best).any(3).sum((1, 2)).tolist() == [29, 20, 14]  # indices 10, 20 and 200 of 10,000


# Moves.


def test_the_start_in_linf_is_vertical_stripes_at_the_bounds(make):
    images = make.images(40, 3, 5, 7)
    x = Square().start(problem_of(images, "linf", 0.1), rng_of(40)).x
    plus = x > images
    assert bool((plus == plus[:, :, :1]).all())
    expected = torch.where(plus, (images + 0.1).clamp(max=1), (images - 0.1).clamp(min=0))
    assert torch.allclose(x, expected, atol=1e-7)
    assert 0.45 < float(plus[:, :, 0].float().mean()) < 0.55


def painted(side, power):
    """The bump, by painting square over square."""
    wall = torch.zeros(side, side, dtype=torch.float64)
    for top, rows, sign in ((0, side // 2, 1), (side // 2, side - side // 2, -1)):
        part = torch.zeros(rows, side, dtype=torch.float64)
        for k in range(max(rows // 2, side // 2) + 1):
            r0, r1 = max(rows // 2 - k, 0), min(rows // 2 + k, rows - 1)
            c0, c1 = max(side // 2 - k, 0), min(side // 2 + k, side - 1)
            for i in range(r0, r1 + 1):
                for j in range(c0, c1 + 1):
                    part[i, j] += 1 / (k + 1) ** power
        if rows:
            wall[top : top + rows] = sign * part / (part.norm() if power == 2 else part.sum())
    return wall / (wall.norm() if power == 2 else wall.abs().sum())


@pytest.mark.parametrize("side", [1, 2, 3, 5, 6, 9])
@pytest.mark.parametrize(("norm", "power"), [("l2", 2), ("l1", 4)])
def test_a_bump_is_two_piles_of_squares(side, norm, power):
    assert torch.allclose(bump(side, norm).double(), painted(side, power), atol=1e-6)


def test_a_bump_of_three_by_hand():
    """Pile (1/4, 5/4, 1/4) of norm^2 27/16 over five quarters and a peak, norm^2 15/8; each scaled, then both."""
    top, low = (27 / 16) ** 0.5 * 2**0.5, (15 / 8) ** 0.5 * 2**0.5
    expected = [[0.25 / top, 1.25 / top, 0.25 / top], [-0.25 / low] * 3, [-0.25 / low, -1.25 / low, -0.25 / low]]
    assert torch.allclose(bump(3, "l2"), torch.tensor(expected), atol=1e-6)


def test_tiles_cover_the_middle():
    assert tiles((28, 28)) == (5, 5, 5)
    assert tiles((12, 16)) == (2, 6, 8)
    signs = torch.tensor([1.0, -1.0] * 24).view(1, 1, 48)
    delta = tiled((13, 17), torch.zeros(1, 1, 48, dtype=torch.bool), signs, "l2")
    assert torch.allclose(delta[0, 0, :2, 2:4], -bump(2, "l2"))
    assert torch.equal(delta[0, 0, 12], torch.zeros(17))
    turned = tiled((13, 17), torch.ones(1, 1, 48, dtype=torch.bool), signs, "l2")
    assert torch.allclose(turned[0, 0, :2, :2], bump(2, "l2").T)


def slid(delta, eps, one, two, side, eta, signs, norm):
    """The move of mass for one sample, with slices."""
    p = 2 if norm == "l2" else 1
    c = len(delta)
    (a, b), (d, e) = one, two
    union = torch.zeros(delta.shape[1:], dtype=torch.bool)
    union[a : a + side, b : b + side] = union[d : d + side, e : e + side] = True
    whole = float(delta.norm(p=p))
    result = delta.clone()
    result[:, d : d + side, e : e + side] = 0
    for k in range(c):
        old = delta[k, a : a + side, b : b + side]
        fresh = eta * signs[k] + old / (old.norm(p=p) + 1e-12)
        both = float(delta[k][union].norm(p=p))
        if norm == "l2":
            size = (max(eps**2 - whole**2, 0) / c + both**2) ** 0.5
        else:
            size = (max(eps - whole, 0) / c + both) * c
        result[k, a : a + side, b : b + side] = fresh / fresh.norm(p=p) * size
    return result


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_mass_moves_as_in_a_plain_loop_with_windows_of_several_sides(make, norm):
    delta = make.images(6, 3, 9, 8) - 0.5
    eps = torch.tensor([1.0, 9.0, 90.0, 2.0, 200.0, 5.0])
    sides = [3, 5, 7, 3, 8, 2]
    corners = [
        ((0, 0), (6, 5)),
        ((1, 2), (3, 3)),
        ((2, 1), (0, 0)),
        ((4, 4), (4, 4)),
        ((1, 0), (0, 0)),
        ((7, 6), (0, 1)),
    ]
    signs = torch.where(make.images(6, 3) < 0.5, -1.0, 1.0)
    profile = torch.zeros(6, 8, 8)
    for i, side in enumerate(sides):
        near = torch.arange(8).clamp_max(side - 1)
        profile[i] = bump(side, norm)[near][:, near]
    got = moved(delta, eps, torch.tensor(corners), torch.tensor(sides), profile, signs, norm)
    for i, side in enumerate(sides):
        expected = slid(delta[i].double(), float(eps[i]), *corners[i], side, bump(side, norm).double(), signs[i], norm)
        assert torch.allclose(got[i].double(), expected, rtol=1e-4, atol=1e-5), i


def by_hand(net, image, label, norm, eps, queries, rng):
    """Textbook Square on one sample: whether it was fooled, after how many queries, and the best point."""
    attack = Square()
    c, h, w = image.shape
    ball = Ball.of(image[None], torch.tensor([eps]), norm)
    best = attack.start(Problem(ball, torch.tensor([label]), False, torch.zeros(1, 3)), rng).x
    least, seen = float("inf"), 0
    x = best
    for query in range(queries + 1):
        z = net(x)[0].tolist()
        seen += 1
        value = z[label] - max(z[:label] + z[label + 1 :])
        if value < 0:
            return True, seen, x
        if value < least:
            least, best = value, x
        k = sum(query > limit for limit in (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000))
        side = window_sides(0.8, h, w, norm)[k]
        u = rng.fold(query).fresh((2 if norm == "linf" else 5) + c)[0]
        i, j = int(u[0] * (h - side + 1)), int(u[1] * (w - side + 1))
        x = best.clone()
        if norm == "linf":
            for turned in (False, True):
                for k in range(c):
                    plus = bool(u[2 + k] < 0.5) != turned
                    bound = ball.upper if plus else ball.lower
                    x[0, k, i : i + side, j : j + side] = bound[0, k, i : i + side, j : j + side]
                if not torch.equal(x, best):
                    break
            continue
        other = int(u[2] * (h - side + 1)), int(u[3] * (w - side + 1))
        eta = bump(side, norm).double()
        eta = eta.T if u[4] < 0.5 else eta
        signs = torch.where(u[5:] < 0.5, -1.0, 1.0)
        delta = slid((best - image)[0].double(), eps, (i, j), other, side, eta, signs, norm)[None].float()
        if norm == "l2":
            x = (image + eps * delta / delta.norm()).clamp(0, 1)
        else:
            x = image + project_l1(image[None], delta, torch.tensor([eps]))
    return False, seen, best


@covering("norm, shape", list(EPS), [[(1, 8, 8)], [(3, 7, 9)]])
def test_fools_whom_a_plain_loop_fools_after_as_many_queries(make, norm, shape):
    net = make.net(classes=3, channels=shape[0], seed=7 if shape[0] == 1 else 5)
    batch = make.batch(net, make.images(8, *shape))
    eps = 2 * EPS[norm] if shape[0] == 1 else {"linf": 0.2, "l2": 2.0, "l1": 15.0}[norm]
    (got,), _ = Square(queries=40).attack(Oracle(net, limit=4), batch, norm=norm, eps=[eps])
    with torch.no_grad():
        for i, rng in enumerate(rng_of(8)[torch.tensor([k])] for k in range(8)):
            fooled, seen, point = by_hand(net, batch.images[i], int(batch.labels[i]), norm, eps, 40, rng)
            assert bool(got.fooled[i]) == fooled
            assert int(got.step[i]) == seen, i
            assert torch.allclose(got.images[i], point[0], atol=1e-4), i
    assert 0 < int(got.fooled.sum()) < 8


# What it finds.


@pytest.mark.parametrize("targeted", [False, True])
def test_in_linf_it_succeeds_iff_the_margin_is_below_the_dual_norm(make, targeted):
    """Of 4 x 4 images the windows are single pixels from query 201 on, so the search ends at the optimum."""
    model, batch, threshold = make.spread("linf", 24)
    eps = float(threshold.quantile(0.5))
    targets = torch.ones(24, dtype=torch.int64) if targeted else None
    (got,), _ = Square(queries=450).attack(Oracle(model), batch, norm="linf", eps=[eps], targets=targets)
    clear = (threshold - eps).abs() > 1e-4 * eps
    assert int(clear.sum()) > 20
    assert torch.equal(got.fooled[clear], (threshold < eps)[clear])
    assert 0 < int(got.fooled.sum()) < 24


@pytest.mark.parametrize(("norm", "share"), [("l2", 0.6), ("l1", 0.5)])
def test_in_l2_and_l1_it_comes_near_the_dual_norm_and_not_beyond(make, norm, share):
    model, batch, threshold = make.spread(norm, 24)
    eps = float(threshold.quantile(0.5))
    (got,), _ = Square(queries=300).attack(Oracle(model), batch, norm=norm, eps=[eps])
    assert not bool(got.fooled[threshold > eps].any())
    assert bool(got.fooled[threshold < share * eps].all())
    assert int((threshold < share * eps).sum()) >= 3


def test_targeted_counts_the_target_class_only(make):
    net = make.net(classes=3, channels=3, seed=5)
    batch = make.batch(net, make.images(12, 3, 8, 8))
    targets = net(batch.images).topk(2, 1).indices[:, 1]
    (got,), _ = Square(queries=100).attack(Oracle(net), batch, norm="linf", eps=[0.4], targets=targets)
    assert torch.equal(got.fooled, net(got.images).argmax(1) == targets)
    assert int(got.fooled.sum()) > 3


@pytest.mark.parametrize("norm", list(EPS))
def test_logits_scaled_by_a_power_of_two_change_nothing(make, norm):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(8, 1, 8, 8))
    scaled = Classifier(torch.nn.Sequential(net, Times(4.0)), name="scaled").eval()
    one, other = (Square(queries=40).attack(Oracle(m), batch, norm=norm, eps=[EPS[norm]])[0][0] for m in (net, scaled))
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.step, other.step)


class Times(torch.nn.Module):
    """Logits times a number."""

    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, logits):
        return logits * self.by


def test_only_a_fall_of_the_margin_is_kept(make):
    images = make.images(3, 1, 8, 8)
    attack = Square()
    state = attack.start(problem_of(images, "linf", 0.1), rng_of(3))
    first = attack.tell(state, Answer(logits=torch.tensor([[2.0, 0, 1]] * 3)))
    second = attack.tell(first, Answer(logits=torch.tensor([[1.5, 1.0, 0], [3.0, 2.0, 0], [3.0, 1.0, 0]])))
    assert second.margin.tolist() == [0.5, 1.0, 1.0]
    assert torch.equal(second.best[0], first.x[0])
    assert torch.equal(second.best[1:], state.x[1:])  # an equal margin is no fall


def test_a_survivor_costs_the_start_and_the_windows_in_each_run(make):
    model, batch, threshold = make.spread("linf", 24)
    attack = Square(queries=30, restarts=2)
    (got,), _ = attack.attack(Oracle(model), batch, norm="linf", eps=[0.3 * float(threshold.min())])
    assert not bool(got.fooled.any())
    forwards, backwards = attack.cost(2)
    assert (forwards, backwards) == (31, 0)
    assert got.forwards.tolist() == [2 * (forwards + 1)] * 24  # and one last look a run
    assert got.backwards.tolist() == [0] * 24


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_who_is_out_of_reach_by_hand(norm):
    """At 1,000 of 5,000 queries 2.32 doublings are left: after a fall of 0.1, 0.93 may yet fall, at 4 times it."""
    images = torch.full((5, 1, 8, 8), 0.5)
    attack = Square(give_up=True)
    margin = torch.tensor([0.92, 0.94, 0.94, 0.94, 0.94])
    state = attack.start(problem_of(images, norm, 0.1), rng_of(5)).replace(
        query=torch.tensor([1000, 1000, 1000, 1001, 500]),
        margin=margin,
        past=torch.tensor([1.02, 1.04, 0.94, 1.04, math.inf]),
    )
    after = attack.tell(state, Answer(logits=torch.tensor([[5.0, 0.0, 0.0]]).expand(5, 3)))
    assert attack.done(after).tolist() == [False, norm == "linf", False, False, False]
    if norm == "linf":
        assert torch.equal(after.past, torch.tensor([0.92, 0.94, 0.94, 1.04, 0.94]))


def test_giving_up_spares_queries_and_breaks_nearly_the_same(make, monkeypatch):
    monkeypatch.setattr(square, "CHECKS", (50, 100, 200, 400))
    net = make.net(channels=1)
    batch = make.batch(net, make.images(24, 1, 16, 16))
    whole, spared = (
        Square(queries=500, give_up=g).attack(Oracle(net), batch, norm="linf", eps=[0.15])[0][0] for g in (False, True)
    )
    assert bool((spared.fooled <= whole.fooled).all())
    assert torch.equal(spared.images[spared.fooled], whole.images[spared.fooled])
    assert int(spared.fooled.sum()) > 0
    assert int(spared.fooled.sum()) >= 0.8 * int(whole.fooled.sum())
    assert int(spared.forwards.sum()) < 0.8 * int(whole.forwards.sum())


@pytest.mark.parametrize("limit", [1, 4])
def test_company_changes_nothing_while_samples_come_and_go(make, limit):
    """Draws are made for 16 queries at once, at a moment that depends on who shares the batch."""
    net = make.net(classes=3)
    batch = make.batch(net, make.images(9, 1, 8, 8))
    whole, other = (
        Square(queries=36).attack(Oracle(net, limit=n), batch, norm="linf", eps=[0.06])[0][0] for n in (64, limit)
    )
    assert torch.equal(whole.fooled, other.fooled)
    assert torch.equal(whole.images, other.images)
    assert torch.equal(whole.forwards, other.forwards)
    assert 0 < int(whole.fooled.sum()) < 9


@pytest.mark.parametrize(
    ("values", "words"),
    [({"queries": 0}, "queries=0"), ({"p_init": 0.0}, "p_init=0.0"), ({"p_init": 1.1}, "p_init=1.1")],
)
def test_bad_parameters_are_named(values, words):
    with pytest.raises(ParameterError, match=f"^square: {words}"):
        Square(**values)
