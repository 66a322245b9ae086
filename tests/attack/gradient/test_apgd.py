"""APGD: checkpoints by hand, equal to a loop written from the paper, exact on affine models, and counted."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from tests.covering import covering
from unshaken.attack.engine.ball import Ball, project_l1
from unshaken.attack.engine.losses import dlr, dlr_targeted, margin
from unshaken.attack.engine.problem import Problem
from unshaken.attack.gradient.apgd import APGD, BallSchedule, checkpoints, hopeless, top_signs
from unshaken.core import Answer, Classifier, Oracle, SampleRng
from unshaken.core.errors import ParameterError

DUAL = {"linf": 1.0, "l2": 2.0, "l1": float("inf")}
EPS = {"linf": 0.01, "l2": 0.06, "l1": 0.4}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (100, [22, 41, 57, 70, 80, 87, 93, 99]),
        (50, [11, 21, 30, 38, 45]),
        (10, [2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (1, [1]),
    ],
)
def test_checkpoints_are_the_papers(steps, expected):
    assert checkpoints(steps) == expected


@pytest.mark.parametrize(
    ("steps", "lengths", "factors"),
    [(100, (30, 30, 40), (3, 2, 1)), (10, (3, 3, 4), (3, 2, 1)), (3, (1, 1, 1), (3, 2, 1)), (2, (2,), (1,))],
)
def test_phases_of_l1_add_up(steps, lengths, factors):
    phases = BallSchedule.shrinking(steps)
    assert (phases.lengths, phases.factors) == (lengths, factors)
    assert sum(phases.lengths) == steps


def test_top_signs_by_hand():
    g = torch.tensor([4.0, -3.0, 2.0, 0.0, 0.0]).view(1, 1, 1, 5)
    for share, expected in ((0.2, [1, 0, 0, 0, 0]), (0.5, [0.5, -0.5, 0, 0, 0]), (1.0, [1 / 3, -1 / 3, 1 / 3, 0, 0])):
        assert top_signs(g, torch.tensor([share])).flatten().tolist() == pytest.approx(expected)
    assert top_signs(g, torch.tensor([0.0])).flatten().tolist() == [1, 0, 0, 0, 0]  # at least one moves


# Against a loop of one sample, written from the formulas.


def value_of(net, x, y, loss, target):
    z = net(x)
    if loss == "ce":
        return F.cross_entropy(z, y, reduction="none")
    if loss == "dlr":
        return dlr(z, y)
    return -margin(z, y) if loss == "margin" else dlr_targeted(z, y, target)


def seen_at(net, x, y, loss, target=None):
    """The loss at a point, and its gradient."""
    x = x.detach().requires_grad_(True)
    value = value_of(net, x, y, loss, target)
    return float(value.detach()), torch.autograd.grad(value.sum(), x)[0]


def projected(x, x0, eps, norm):
    if norm == "linf":
        return (x0 + (x - x0).clamp(-eps, eps)).clamp(0, 1)
    if norm == "l1":
        return x0 + project_l1(x0, x - x0, torch.tensor([eps], dtype=x0.dtype))
    d = x - x0
    return (x0 + d * min(1.0, eps / max(1e-30, float(d.norm())))).clamp(0, 1)


def momentum_run(look, x0, x, eps, norm, n):
    """The points of one APGD run: momentum, checkpoints, halving by rules (a) and (b), restarts from the best."""
    points, best, best_loss, best_g = [x], x, -math.inf, None
    x_prev, step, k, sofar, rises = x, 2 * eps, max(1, 22 * n // 100), 0, 0
    halved, loss_then, previous, counts = None, None, None, []
    for t in range(n):
        loss, g = look(x)
        if t == 0:
            loss_then = loss
        else:
            rises += loss > previous
            sofar += 1
        if loss > best_loss:
            best, best_loss, best_g = x, loss, g
        previous = loss
        if sofar == k:
            rule_a = rises <= 0.75 * k
            rule_b = halved is False and best_loss <= loss_then
            counts.append((rule_a, rule_b))
            halved, loss_then = rule_a or rule_b, best_loss
            if halved:
                step, x, g = step / 2, best, best_g
            k, sofar, rises = max(k - max(1, 3 * n // 100), max(1, 6 * n // 100)), 0, 0
        direction = g.sign() if norm == "linf" else g / g.norm()
        u = projected(x + step * direction, x0, eps, norm)
        new = u if t == 0 else projected(x + 0.75 * (u - x) + 0.25 * (x - x_prev), x0, eps, norm)
        x_prev, x = x, new
        points.append(x)
    return points, counts


def sparse_run(look, x0, x, eps, n, share):
    """The points of one phase of l1-APGD, and the best of them."""
    d = x0.numel()
    points, best, best_loss, best_g = [x], x, -math.inf, None
    step, k, then, resets = eps, max(1, 4 * n // 100), d, 0
    for t in range(n):
        loss, g = look(x)
        if loss > best_loss:
            best, best_loss, best_g = x, loss, g
        if t > 0 and t % k == 0:
            now = int((best != x0).sum())
            if now / max(then, 1) < 0.95:
                step, x, g, resets = eps, best, best_g, resets + 1
            else:
                step = max(step / 1.5, eps / 10)
            share, then = now / d / 1.5, now
        keep = min(d, max(1, int(share * d)))
        size = g.abs().flatten()
        chosen = (size >= size.sort(descending=True).values[keep - 1]) & (size > 0)
        move = g.sign() * chosen.view_as(g) / max(1, int(chosen.sum()))
        x = projected(x + step * move, x0, eps, "l1")
        points.append(x)
    loss, _ = look(x)
    return points, best if loss <= best_loss else x, resets


def asked_by(make, attack, net, x0, y, norm, eps, looks, rng):
    """The points that the search asks about."""
    ball = Ball.of(x0, torch.tensor([eps], dtype=x0.dtype), norm)
    points = make.points(attack, net, Problem(ball, y, False, net(x0).detach()), rng)
    assert len(points) == looks + 1
    return points


def balanced(make, classes, **options):
    """A net that meets several classes, none of them by far."""
    net = make.net(classes=classes, **options)
    noise = make.images(64, options.get("channels", 1), 8, 8, seed=5)
    with torch.no_grad():
        net.net.head.bias -= net(noise).mean(0)
    return net


def doubled(make, n, classes=5):
    net = balanced(make, classes)
    net.net.rounded = False
    batch = make.batch(net, make.images(n, 1, 8, 8).double())
    return net, batch


@covering("loss, norm", ["ce", "dlr", "margin"], [["linf"], ["l2"]])
def test_goes_where_a_plain_loop_goes(make, norm, loss):
    net, batch = doubled(make, 6)
    eps, n, rules = 12 * EPS[norm], 40, []  # large, so that the net bends
    for i in range(6):
        x0, y = batch.images[i : i + 1], batch.labels[i : i + 1]
        rng = SampleRng.of(0, "apgd", batch.ids[i : i + 1])
        ball = Ball.of(x0, torch.tensor([eps], dtype=torch.float64), norm)
        start = ball.sphere_point(rng.fold(torch.tensor([0])))
        expected, counts = momentum_run(lambda x, y=y: seen_at(net, x, y, loss), x0, start, eps, norm, n)
        got = asked_by(make, APGD(steps=n, loss=loss), net, x0, y, norm, eps, n, rng)
        assert len(got) == len(expected) == n + 1
        for t, (a, b) in enumerate(zip(got, expected, strict=True)):
            assert torch.allclose(a, b, atol=1e-6, rtol=0), (i, t)
        rules += counts
        assert len({tuple(p.flatten().tolist()) for p in got}) > 3
    assert {a for a, _ in rules} == {True, False}  # both turns of rule (a) were taken


def test_rule_b_halves_where_the_best_loss_stands_still():
    """Losses told by hand: all but one step rise, yet never above the start's."""
    clean = torch.full((1, 1, 1, 1), 0.5)
    ball = Ball.of(clean, torch.tensor([0.1]), "linf")
    attack = APGD(steps=10, loss="ce")  # checkpoints after 2, 3, 4, ... steps
    state = attack.start(Problem(ball, torch.tensor([0]), False, torch.zeros(1, 2)), SampleRng.of(0, "apgd", ["a"]))
    losses = [0.0, 1.0, 2.0, 3.0, 2.5, 2.6, 2.7]
    lengths = []
    for loss in losses:
        answer = Answer(value=torch.tensor([loss]), gradient=torch.ones_like(clean), logits=torch.zeros(1, 2))
        state = attack.tell(state, answer)
        lengths.append(round(float(state.length) / 0.1, 6))
    # Steps 2 and 3 rose (and the best with them); step 4 fell: (a); step 5 rose, but after a halving (b) rests;
    # step 6 rose, the step size was left at 5, and the best loss is still that of step 3: (b).
    assert lengths == [2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 0.5]


def test_goes_where_a_plain_loop_goes_in_l1(make):
    net, batch = doubled(make, 6)
    eps, n, resets = EPS["l1"], 30, 0
    for i in range(6):
        x0, y = batch.images[i : i + 1], batch.labels[i : i + 1]
        rng = SampleRng.of(0, "apgd", batch.ids[i : i + 1])
        wide = Ball.of(x0, torch.tensor([3 * eps], dtype=torch.float64), "l1")
        x, share, expected = wide.sphere_point(rng.fold(torch.tensor([0]))), 0.2, []
        for factor, steps in ((3, 9), (2, 9), (1, 12)):
            if factor < 3:
                x = projected(x, x0, factor * eps, "l1")
                share = int((x != x0).sum()) / x0.numel() / 1.5
            points, x, again = sparse_run(lambda x, y=y: seen_at(net, x, y, "ce"), x0, x, factor * eps, steps, share)
            expected += points
            resets += again
        got = asked_by(make, APGD(steps=n), net, x0, y, "l1", eps, n + 2, rng)
        assert len(got) == len(expected) == n + 3
        for t, (a, b) in enumerate(zip(got, expected, strict=True)):
            assert torch.allclose(a, b, atol=1e-6, rtol=0), (i, t)
    assert resets > 0


def test_targets_are_tried_from_the_likeliest_on_each_from_a_start_of_its_own(make):
    net, batch = doubled(make, 4)
    eps, n = EPS["linf"], 6
    for i in range(4):
        x0, y = batch.images[i : i + 1], batch.labels[i : i + 1]
        rng = SampleRng.of(0, "apgd", batch.ids[i : i + 1])
        ball = Ball.of(x0, torch.tensor([eps], dtype=torch.float64), "linf")
        order = [k for k in net(x0)[0].argsort(descending=True).tolist() if k != int(y)][:3]
        expected = []
        for turn, target in enumerate(order):
            start = ball.sphere_point(rng.fold(torch.tensor([turn])))
            t = torch.tensor([target])
            look = lambda x, y=y, t=t: seen_at(net, x, y, "dlr-targeted", t)  # noqa: E731
            expected += momentum_run(look, x0, start, eps, "linf", n)[0]
        got = asked_by(make, APGD(steps=n, loss="dlr-targeted", targets=3), net, x0, y, "linf", eps, 3 * n + 2, rng)
        assert len(got) == len(expected) == 3 * (n + 1)
        for t, (a, b) in enumerate(zip(got, expected, strict=True)):
            assert torch.allclose(a, b, atol=1e-6, rtol=0), (i, t)


@pytest.mark.parametrize("loss", ["ce", "margin"])
def test_on_a_line_it_reaches_the_wall_in_one_step(make, loss):
    net = make.affine(torch.tensor([[[-1.0]]]), 2.0)  # the loss rises with x
    clean, y = torch.full((1, 1, 1, 1), 0.5), torch.tensor([0])
    starts = set()
    for name in "abcdef":
        rng = SampleRng.of(0, "apgd", [name])
        points = asked_by(make, APGD(steps=10, loss=loss), net, clean, y, "linf", 0.1, 10, rng)
        moves = [round(float(p) - 0.5, 6) for p in points]
        starts.add(moves[0])
        assert moves[1:] == pytest.approx([0.1] * 10)
    assert starts == {-0.1, 0.1}


# On affine models.


@covering("norm, loss", list(DUAL), [["ce"], ["margin"], ["margin-targeted"]])
def test_succeeds_iff_the_margin_is_below_the_dual_norm(make, norm, loss):
    model, batch, threshold = make.spread(norm, 40)
    eps = float(threshold.quantile(0.5))
    (got,), _ = APGD(loss=loss).attack(Oracle(model), batch, norm=norm, eps=[eps])
    clear = (threshold - eps).abs() > (0.01 if norm == "l1" else 1e-3) * eps
    assert int(clear.sum()) > 30
    assert torch.equal(got.fooled[clear], (threshold < eps)[clear])


@pytest.mark.parametrize("loss", ["ce", "dlr", "margin", "dlr-targeted", "margin-targeted"])
def test_reaches_given_targets_and_counts_them_only(make, loss):
    net = make.net(classes=8, channels=3)
    batch = make.batch(net, make.images(12, 3, 8, 8))
    targets = net(batch.images).topk(2, 1).indices[:, 1]
    (got,), _ = APGD(steps=20, loss=loss).attack(Oracle(net), batch, norm="linf", eps=[0.5], targets=targets)
    hit = net(got.images).argmax(1) == targets
    assert torch.equal(got.fooled, hit)
    assert int(hit.sum()) >= 6


# Scale, classes, cost.


@pytest.mark.parametrize("norm", list(EPS))
def test_logits_scaled_or_shifted_change_nothing_for_dlr(make, norm):
    class Changed(torch.nn.Module):
        def __init__(self, net, scale, shift):
            super().__init__()
            self.net, self.scale, self.shift = net, scale, shift

        def forward(self, x):
            return self.scale * self.net(x) + self.shift

    net = balanced(make, 5)
    batch = make.batch(net, make.images(20, 1, 8, 8))
    plain = APGD(steps=15, loss="dlr").attack(Oracle(net), batch, norm=norm, eps=[EPS[norm]])[0][0]
    assert 0 < int(plain.fooled.sum()) < 20
    for scale, shift in ((1024.0, 0.0), (2**-8, 0.0), (1.0, 3.0)):
        model = Classifier(Changed(net.net, scale, shift)).eval()
        other = APGD(steps=15, loss="dlr").attack(Oracle(model), batch, norm=norm, eps=[EPS[norm]])[0][0]
        assert torch.equal(other.fooled, plain.fooled), (scale, shift)


@pytest.mark.parametrize(
    ("classes", "loss", "words"),
    [
        (2, "dlr", "loss=dlr needs 3 classes, the model has 2: use loss=ce or loss=margin"),
        (3, "dlr-targeted", "loss=dlr-targeted needs 4 classes, the model has 3: use loss=margin-targeted"),
    ],
)
def test_too_few_classes_are_refused_in_one_line(make, classes, loss, words):
    net = make.net(classes=classes)
    batch = make.batch(net, make.images(2, 1, 8, 8))
    with pytest.raises(ParameterError) as caught:
        APGD(loss=loss).attack(Oracle(net), batch, norm="linf", eps=[0.1])
    assert str(caught.value) == f"apgd: {words}"


@pytest.mark.parametrize(("classes", "loss"), [(2, "margin-targeted"), (3, "dlr"), (1000, "dlr-targeted")])
def test_two_three_and_a_thousand_classes(make, classes, loss):
    net = balanced(make, classes, channels=3)
    batch = make.batch(net, make.images(6, 3, 9, 12))
    attack = APGD(steps=5, loss=loss, targets=4)
    (small, large), _ = attack.attack(Oracle(net), batch, norm="linf", eps=[1e-4, 0.2])
    assert int(large.fooled.sum()) > int(small.fooled.sum())
    assert torch.equal(net(large.images).argmax(1) != batch.labels, large.fooled)


@pytest.mark.parametrize(
    ("norm", "options", "classes", "forwards", "backwards"),
    [
        ("linf", {}, 3, 13, 12),  # twelve gradients, a last look
        ("l2", {}, 3, 13, 12),
        ("l1", {}, 3, 15, 14),  # three phases: the last point of one is looked at before the next begins
        ("l1", {"shrink": False}, 3, 13, 12),
        ("linf", {"loss": "margin-targeted"}, 3, 26, 25),  # two rivals
        ("linf", {"loss": "dlr-targeted", "targets": 3}, 8, 39, 38),
        ("linf", {"restarts": 2}, 3, 26, 24),
    ],
)
def test_what_a_survivor_costs(make, norm, options, classes, forwards, backwards):
    net = make.net(classes=classes)
    batch = make.batch(net, make.images(6, 1, 8, 8))
    attack = APGD(steps=12, **options)
    (got,), _ = attack.attack(Oracle(net), batch, norm=norm, eps=[1e-4])
    assert not bool(got.fooled.any())
    assert (got.forwards.tolist(), got.backwards.tolist()) == ([forwards] * 6, [backwards] * 6)
    most = attack.cost(classes)
    assert most[0] * attack.runs >= forwards - attack.runs
    assert most[1] * attack.runs >= backwards


def test_who_is_out_of_reach_by_hand():
    """After step 41, 19 steps since the last checkpoint, 59 are left: three times 0.1 / 19 a step would do."""
    best = torch.tensor([-0.4, -0.49, -0.49, 0.2])
    before = SimpleNamespace(t=torch.tensor([41, 41, 40, 41]), loss_check=torch.full((4,), -0.5))
    lost = hopeless(before, SimpleNamespace(loss_best=best), BallSchedule((1.0,), (100,)))
    assert lost.tolist() == [False, True, False, False]
    each = SimpleNamespace(t=torch.tensor([3, 3, 3]), loss_check=torch.full((3,), -0.5))  # of 10: one step, 7 are left
    lost = hopeless(each, SimpleNamespace(loss_best=torch.tensor([-0.49, -0.48, -0.47])), BallSchedule((1.0,), (10,)))
    assert lost.tolist() == [True, True, False]


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_giving_up_spares_passes_and_breaks_the_same_on_a_linear_model(make, norm):
    net, batch, threshold = make.spread(norm, 40)
    eps = [float(threshold.quantile(0.5))]
    whole, spared = (
        APGD(loss="margin", give_up=g).attack(Oracle(net), batch, norm=norm, eps=eps)[0][0] for g in (False, True)
    )
    assert torch.equal(whole.fooled, spared.fooled)
    assert int(spared.backwards.sum()) < 0.7 * int(whole.backwards.sum())


def test_more_losses_and_restarts_only_break_more(make):
    net = balanced(make, 5)
    batch = make.batch(net, make.images(40, 1, 8, 8))
    one, many = (APGD(steps=5, restarts=r).attack(Oracle(net), batch, norm="l2", eps=[0.03])[0][0] for r in (1, 3))
    assert bool((one.fooled <= many.fooled).all())
    assert torch.equal(many.images[one.fooled], one.images[one.fooled])
    assert 0 < int(one.fooled.sum()) < 40


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"loss": "hinge"}, "loss='hinge'"),
        ({"steps": 0}, "steps=0"),
        ({"targets": 0}, "targets=0"),
        ({"give_up": True}, "give_up"),
    ],
)
def test_bad_parameters_are_named(values, words):
    with pytest.raises(ParameterError, match=f"^apgd: .*{words}"):
        APGD(**values)


def test_the_cost_is_that_of_all_steps_and_starts_by_hand():
    assert APGD(steps=12).cost(10) == (15, 15)
    assert APGD(steps=12, loss="margin-targeted").cost(3) == (30, 30)
    assert APGD(steps=12, loss="dlr-targeted", targets=4).cost(10) == (60, 60)
    assert APGD(steps=12, restarts=3).most_passes(10) == 90
