"""Phases of an attack, one after the other: many budgets from one run for the smallest norm."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.attack.black_box.hop_skip_jump import HopSkipJump
from unshaken.attack.black_box.square import Square
from unshaken.attack.engine.attack_run import AttackRun, Phase
from unshaken.attack.ensembles.auto import Auto
from unshaken.attack.gradient.apgd import APGD
from unshaken.attack.gradient.pgd import PGD
from unshaken.attack.minimal_norm.deepfool import DeepFool
from unshaken.core import Batch, Classifier, Oracle

DUAL = {"linf": 1.0, "l2": 2.0}


def spread_margins(make, norm):
    """As `make.spread`, with the first image wrong already."""
    model, batch, distance = make.spread(norm, 20)
    labels = batch.labels.index_fill(0, torch.tensor([0]), 1)
    return model, Batch(batch.images, labels, batch.ids), distance.index_fill(0, torch.tensor([0]), 0.0)


@pytest.mark.parametrize("norm", list(DUAL))
def test_one_run_answers_all_budgets_in_their_order(make, norm):
    model, batch, distance = spread_margins(make, norm)
    radii = [math.inf, float(distance.quantile(0.3)), 0.0, float(distance.quantile(0.8))]
    oracle = Oracle(model)
    found, _ = DeepFool().attack(oracle, batch, norm=norm, eps=radii)
    for radius, one in zip(radii, found, strict=True):
        clear = (distance * 1.02 - radius).abs() > 0.03 * radius if radius < math.inf else distance >= 0
        assert torch.equal(one.fooled[clear], (distance <= radius)[clear]), radius
        assert torch.equal(model(one.images).argmax(1) != batch.labels, one.fooled)
        assert torch.equal(one.images[~one.fooled], batch.images[~one.fooled])
        assert bool((one.distance <= radius * (1 + 1e-6)).all())
    every, some, none, most = found
    assert bool(every.fooled.all())
    # DeepFool overshoots by a fiftieth, and by 1e-4 against rounding.
    assert torch.allclose(every.distance.float(), 1.02 * distance + 1e-4 * (distance > 0), atol=3e-5, rtol=2e-3)
    assert (int(none.fooled.sum()), float(none.distance.max())) == (1, 0.0)
    assert bool((some.fooled <= most.fooled).all())
    assert int(some.fooled.sum()) < int(most.fooled.sum()) < 20
    # Paid once, with the smallest budget.
    assert [int(one.forwards.sum()) > 0 for one in found] == [False, False, True, False]
    assert oracle.meter.forwards == int(none.forwards.sum()) + 20
    assert none.breakers()[0] == "clean"
    assert every.breakers()[1:] == ["deepfool"] * 19


def test_where_nothing_is_found_at_any_distance_the_distance_is_infinite(make):
    model = make.affine(torch.zeros(1, 4, 4), 1.0)  # class 0 whatever the image
    batch = make.batch(model, make.images(3, 1, 4, 4))
    (far, near), flags = DeepFool(steps=3).attack(Oracle(model), batch, norm="l2", eps=[math.inf, 0.5])
    assert far.distance.tolist() == [math.inf] * 3
    assert near.distance.tolist() == [0.0] * 3
    assert not bool((far.fooled | near.fooled).any())
    assert torch.equal(far.images, batch.images)
    assert far.breakers() == [None] * 3
    assert [(f.name, f.ids) for f in flags] == [("zero-gradient", batch.ids)]


def test_no_budget_at_all_costs_nothing(make):
    model, batch, _ = spread_margins(make, "l2")
    oracle = Oracle(model)
    (found,), _ = DeepFool().attack(oracle, batch, norm="l2", eps=[0.0])
    assert oracle.meter.forwards == 20  # the clean logits
    assert [(t.standing, t.broken, t.forwards, t.backwards) for t in found.phases] == [(0, 0, 0, 0)]


def test_a_phase_is_recorded_with_its_own_cost(make):
    model, batch, distance = make.spread("linf", 20)
    oracle = Oracle(model)
    eps = [0.3 * float(distance.min()), 0.6 * float(distance.min())]
    found, _ = PGD(steps=3, restarts=2).attack(oracle, batch, norm="linf", eps=eps)
    for one in found:  # nobody falls: in each run three steps and a last pass
        assert [(t.standing, t.broken, t.forwards, t.backwards) for t in one.phases] == [(20, 0, 80, 60)] * 2
        assert all(0 <= t.seconds < 60 for t in one.phases)
    assert oracle.meter.forwards == 20 + 4 * 80
    whole = PGD(steps=3, rel_stepsize=1.0, restarts=2)
    (found,), _ = whole.attack(Oracle(model), batch, norm="linf", eps=[1.05 * float(distance.max())])
    assert [(t.standing, t.broken) for t in found.phases] == [(20, 20), (0, 0)]
    assert (found.phases[1].forwards, found.phases[1].backwards) == (0, 0)


def test_a_phase_that_is_left_out_takes_no_time(make):
    model, batch, distance = make.spread("linf", 4)
    attack = Auto(steps=3, queries=5, passes=20)
    (found,), _ = attack.attack(Oracle(model), batch, norm="linf", eps=[0.1 * float(distance.min())])
    left = [t for t in found.phases if t.why.startswith("left out")]
    assert left
    assert {(t.standing, t.broken, t.forwards, t.backwards, t.seconds) for t in left} == {(4, 0, 0, 0, 0.0)}


class Floor(torch.nn.Module):
    """Class 0 always; its lead falls with the mean pixel down to a floor, below which no gradient is left."""

    def forward(self, x):
        lead = x.flatten(1).mean(1).clamp_min(0.45)
        return torch.stack([lead, -lead], 1)


def test_a_gradient_that_vanishes_on_the_way_is_no_doubt():
    batch = Batch(torch.full((2, 1, 2, 2), 0.5), torch.zeros(2, dtype=torch.int64), ("a", "b"))
    attack = PGD(steps=3, rel_stepsize=1.0, random_start=False)
    (found,), flags = attack.attack(Oracle(Classifier(Floor()).eval()), batch, norm="linf", eps=[0.1])
    assert torch.allclose(found.images, torch.full((2, 1, 2, 2), 0.4))
    assert flags == []
    dark = batch.with_images(batch.images - 0.2)  # below the floor from the start
    mixed = batch.with_images(torch.cat([batch.images[:1], dark.images[:1]]))
    for limit in (1, 8):
        _, flags = attack.attack(Oracle(Classifier(Floor()).eval(), limit=limit), mixed, norm="linf", eps=[0.1])
        assert [f.ids for f in flags] == [("b",)]


class Costly(PGD):
    """Five forward passes and four backward ones are made before the search."""

    def prepare(self, oracle, batch, targeted):
        oracle.exact(batch.images[:1].expand(5, -1, -1, -1))
        oracle.meter.backwards += 4
        return self


def test_what_is_spent_before_a_search_is_shared_evenly_by_the_ids(make):
    model, batch, _ = make.spread("linf", 4)
    batch = Batch(batch.images, batch.labels, ("d", "b", "c", "a"))
    oracle = Oracle(model)
    run = AttackRun(oracle, batch, batch.labels, False, "linf", 0, oracle.exact(batch.images))
    rows = torch.tensor([0, 1, 2])  # d, b, c
    _, (forwards, backwards) = run.prepare(Phase(Costly(steps=2), "costly"), rows)
    assert (forwards.tolist(), backwards.tolist()) == ([1, 2, 2], [1, 2, 1])
    _, free = run.prepare(Phase(PGD(steps=2), "pgd"), rows)
    assert [part.tolist() for part in free] == [[0, 0, 0]] * 2
    costly, plain = (run.run(Phase(a, "x"), rows, 1e-6, early=True) for a in (Costly(steps=2), PGD(steps=2)))
    assert (costly.forwards - plain.forwards).tolist() == [1, 2, 2]
    assert (costly.backwards - plain.backwards).tolist() == [1, 2, 1]


@pytest.mark.parametrize(("search", "follows"), [(APGD(), True), (Square(), False), (HopSkipJump(), False)])
def test_a_stage_follows_gradients_where_its_search_needs_them(search, follows):
    assert Phase(search, "any").gradients is follows


def test_a_surrogates_gradients_are_not_the_models(make):
    assert Phase(APGD(), "transfer-ce", surrogate=make.net()).gradients is False
