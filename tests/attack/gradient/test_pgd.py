"""PGD: exact on affine models, equal to a loop written by hand, and counted."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.covering import covering
from unshaken.attack.engine.ball import Ball
from unshaken.attack.gradient.pgd import PGD
from unshaken.core import Batch, Oracle, SampleRng
from unshaken.core.errors import ParameterError

DUAL = {"linf": 1.0, "l2": 2.0, "l1": float("inf")}
NORMS = list(DUAL)


@covering("norm, quantile", NORMS, [[0.1], [0.5], [0.9]])
def test_succeeds_iff_the_margin_is_below_the_dual_norm(make, norm, quantile):
    model, batch, threshold = make.spread(norm, 40)
    eps = float(threshold.quantile(quantile))
    assert eps < 0.45
    (got,), _ = PGD(steps=100, rel_stepsize=0.1).attack(Oracle(model), batch, norm=norm, eps=[eps])
    clear = (threshold - eps).abs() > 0.01 * eps
    assert int(clear.sum()) > 30
    assert torch.equal(got.fooled[clear], (threshold < eps)[clear])
    assert 0 < int(got.fooled.sum()) < 40


@pytest.mark.parametrize("norm", NORMS)
def test_targeted_reaches_the_target_iff_it_can(make, norm):
    model, batch, threshold = make.spread(norm, 40)
    eps = float(threshold.quantile(0.5))
    targets = torch.ones(len(batch), dtype=torch.int64)
    (got,), _ = PGD(steps=100, rel_stepsize=0.1).attack(Oracle(model), batch, norm=norm, eps=[eps], targets=targets)
    clear = (threshold - eps).abs() > 0.01 * eps
    assert torch.equal(got.fooled[clear], (threshold < eps)[clear])


def test_targeted_counts_the_target_class_only(make):
    net = make.net(classes=8, channels=3)
    batch = make.batch(net, make.images(16, 3, 8, 8))
    targets = net(batch.images).topk(2, 1).indices[:, 1]
    (got,), _ = PGD(steps=20, rel_stepsize=0.2).attack(Oracle(net), batch, norm="linf", eps=[0.5], targets=targets)
    hit = net(got.images).argmax(1) == targets
    assert torch.equal(got.fooled, hit)
    assert int(hit.sum()) > 0


def by_hand(net, batch, norm, eps, steps, rel_stepsize, seed=0):
    """Textbook PGD on one sample after another; returns who is fooled at any point, the end point included."""
    fooled = []
    for i in range(len(batch)):
        x0, y = batch.images[i : i + 1], batch.labels[i : i + 1]
        if int(net(x0).argmax(1)) != int(y):
            fooled.append(True)
            continue
        ball = Ball.of(x0, torch.tensor([eps]), norm)
        x = ball.random_point(SampleRng.of(seed, "pgd", batch.ids[i : i + 1]).fold(0))
        hit = False
        for _ in range(steps):
            x.requires_grad_(True)
            z = net(x)
            hit |= int(z.argmax(1)) != int(y)
            (g,) = torch.autograd.grad(F.cross_entropy(z, y), x)
            x = x.detach()
            if norm == "linf":
                x = torch.min(torch.max(x + rel_stepsize * eps * g.sign(), x0 - eps), x0 + eps).clamp(0, 1)
            else:
                x = x + rel_stepsize * eps * g / g.norm()
                d = x - x0
                x = (x0 + d * min(1.0, eps / float(d.norm()))).clamp(0, 1)
        hit |= int(net(x).argmax(1)) != int(y)
        fooled.append(hit)
    return torch.tensor(fooled)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.02), ("linf", 0.06), ("l2", 0.12), ("l2", 0.3)])
def test_fools_whom_a_plain_loop_fools(make, norm, eps):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(40, 1, 8, 8))
    expected = by_hand(net, batch, norm, eps, 10, 0.2)
    (got,), _ = PGD(steps=10, rel_stepsize=0.2).attack(Oracle(net), batch, norm=norm, eps=[eps])
    assert torch.equal(got.fooled, expected)
    assert 0 < int(expected.sum()) < 40


@pytest.mark.parametrize("norm", NORMS)
def test_every_counted_example_is_one(make, norm):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(40, 1, 8, 8))
    eps = {"linf": 0.05, "l2": 0.25, "l1": 2.0}[norm]
    (got,), _ = PGD(steps=10, rel_stepsize=0.2).attack(Oracle(net), batch, norm=norm, eps=[eps])
    delta = (got.images.double() - batch.images.double()).flatten(1)
    size = torch.linalg.vector_norm(delta, {"linf": float("inf"), "l2": 2.0, "l1": 1.0}[norm], dim=1)
    assert bool((size <= eps * (1 + 1e-6)).all())
    assert bool(((got.images >= 0) & (got.images <= 1)).all())
    assert torch.equal(net(got.images).argmax(1) != batch.labels, got.fooled)
    assert torch.allclose(net(got.images), got.logits, atol=1e-6)
    assert torch.allclose(size, got.distance)
    kept = (net((got.images * 255).round() / 255).argmax(1) != batch.labels).to(torch.int8)
    assert torch.equal(got.survives_8bit, torch.where(got.fooled, kept, -1).to(torch.int8))
    assert int(got.fooled.sum()) > 5


def test_fooled_flags_are_monotone_in_eps_and_eps_0_is_clean(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(40, 1, 8, 8))
    wrong = torch.arange(40) % 8 == 0
    batch = Batch(batch.images, torch.where(wrong, (batch.labels + 1) % 3, batch.labels), batch.ids)
    grid = [0.1, 0.0, 0.01, 0.03, 0.005]
    found, _ = PGD(steps=5).attack(Oracle(net), batch, norm="linf", eps=grid)
    by_eps = dict(zip(grid, found, strict=True))
    assert torch.equal(by_eps[0.0].fooled, wrong)
    assert torch.equal(by_eps[0.0].images, batch.images)
    assert by_eps[0.0].forwards.tolist() == [0] * 40
    counts = []
    for small, large in zip(sorted(grid)[:-1], sorted(grid)[1:], strict=True):
        assert bool((by_eps[small].fooled <= by_eps[large].fooled).all())
        counts.append(int(by_eps[large].fooled.sum()))
        already = by_eps[small].fooled
        assert by_eps[large].forwards[already].tolist() == [0] * int(already.sum())
        assert bool((by_eps[large].forwards[~already] > 0).all())
    assert counts[0] < counts[-1]


def test_wrong_samples_cost_nothing_and_stay_as_they_are(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(6, 1, 8, 8))
    batch = Batch(batch.images, (batch.labels + 1) % 3, batch.ids)
    clean = net(batch.images).detach()
    oracle = Oracle(net)
    (got,), flags = PGD().attack(oracle, batch, norm="l2", eps=[1.0], clean=clean)
    assert bool(got.fooled.all())
    assert torch.equal(got.images, batch.images)
    assert oracle.meter.forwards == 0
    assert got.survives_8bit.tolist() == [-1] * 6
    assert flags == []


def test_restarts_work_on_survivors_only(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(30, 1, 8, 8))
    one = PGD(steps=3, rel_stepsize=0.3, restarts=1).attack(Oracle(net), batch, norm="linf", eps=[0.03])[0][0]
    many = PGD(steps=3, rel_stepsize=0.3, restarts=4).attack(Oracle(net), batch, norm="linf", eps=[0.03])[0][0]
    assert bool((one.fooled <= many.fooled).all())
    assert torch.equal(many.images[one.fooled], one.images[one.fooled])
    assert torch.equal(many.forwards[one.fooled], one.forwards[one.fooled])
    assert many.phase[one.fooled].tolist() == [0] * int(one.fooled.sum())
    assert [t.attack for t in many.phases] == ["pgd", "pgd+2", "pgd+3", "pgd+4"]
    still = ~many.fooled
    assert int(one.fooled.sum()) > 0
    assert int(still.sum()) > 0
    # A survivor: in each restart 3 gradients and one last look.
    assert many.forwards[still].tolist() == [16] * int(still.sum())
    assert many.backwards[still].tolist() == [12] * int(still.sum())
    assert many.phase[still].tolist() == [-1] * int(still.sum())
    assert many.phases[-1].standing - many.phases[-1].broken == int(still.sum())


def test_restarts_are_fresh(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(4, 1, 8, 8))
    first, second = (
        PGD(steps=1, rel_stepsize=1e-6, restarts=r).attack(Oracle(net), batch, norm="linf", eps=[1e-4])[0][0]
        for r in (1, 2)
    )
    assert not bool(first.fooled.any())
    assert bool(((first.images - second.images).flatten(1).abs().amax(1) > 1e-5).all())


def test_counts_of_a_batch_add_up_to_the_models_own(make):
    model, batch, _ = make.spread("linf", 40)
    model.net.seen = 0
    oracle = Oracle(model, limit=16)
    found, _ = PGD(steps=10).attack(oracle, batch, norm="linf", eps=[0.02, 0.05])
    spent = sum(int(one.forwards.sum()) for one in found)
    assert model.net.seen == oracle.meter.forwards == spent + len(batch)
    needed, successes = sum(int(one.backwards.sum()) for one in found), sum(int(one.fooled.sum()) for one in found)
    assert 0 <= oracle.meter.backwards - needed <= successes  # a success needs none, and may share its neighbours' last


def test_without_random_start_it_begins_at_the_image(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(8, 1, 8, 8))
    (a,), _ = PGD(steps=3, random_start=False).attack(Oracle(net), batch, norm="linf", eps=[0.02], seed=1)
    (b,), _ = PGD(steps=3, random_start=False).attack(Oracle(net), batch, norm="linf", eps=[0.02], seed=2)
    (c,), _ = PGD(steps=3).attack(Oracle(net), batch, norm="linf", eps=[0.02], seed=2)
    assert torch.equal(a.images, b.images)
    assert not torch.equal(b.images, c.images)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"steps": 0}, "steps=0"),
        ({"rel_stepsize": 0.0}, "rel_stepsize=0.0"),
        ({"restarts": -1}, "restarts=-1"),
        ({"step": 3}, "no parameter 'step'; did you mean 'steps'"),
        ({"random_start": "perhaps"}, "random_start='perhaps'"),
    ],
)
def test_bad_parameters_are_named(values, words):
    with pytest.raises(ParameterError) as caught:
        PGD(**values)
    assert words in str(caught.value)
    assert str(caught.value).startswith("pgd: ")
    assert "\n" not in str(caught.value)
