"""Budgets: many from one run of a minimal-norm attack, none for an attack without a norm."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.attack import DeepFool, Spatial
from unshaken.core import Batch, Oracle
from unshaken.core.errors import ParameterError
from unshaken.run.rows import Context

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


@pytest.mark.parametrize(
    ("eps", "ids"),
    [
        ((), ["m-l2"]),
        ((0.5,), ["m-l2-0.5", "m-l2"]),
        ((0.5, math.inf, 0.1), ["m-l2-0.5", "m-l2-0.1", "m-l2"]),
    ],
)
def test_conditions_of_a_minimal_attack_have_one_without_a_budget(eps, ids):
    got = DeepFool().conditions(label="m", severities=(), eps=eps, norm="l2")
    assert [c.id for c in got] == ids
    assert [(c.eps, c.norm) for c in got][-1] == (None, "l2")


def test_rows_of_a_minimal_attack(make):
    model, batch, distance = spread_margins(make, "l2")
    attack, oracle = DeepFool(), Oracle(model)
    conditions = attack.conditions(label="deepfool", severities=(), eps=(float(distance.median()),), norm="l2")
    parts = attack.evaluate(batch, conditions, Context(oracle, 0, oracle.exact(batch.images)))
    rows = [p for p in parts if p.table == "outcomes"]
    assert [p.condition for p in rows] == conditions
    assert [sum(p.columns["correct"]) for p in rows] == [
        int((1.02 * distance > float(distance.median())).sum()),
        0,
    ]
    assert [p.columns["standing"] for p in parts if p.table == "turns"] == [[19], [19]]


def test_an_attack_without_a_norm_has_no_eps(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(4, 1, 8, 8))
    (condition,) = Spatial().conditions(label="spatial", severities=(), eps=(), norm="linf")
    assert (condition.id, condition.eps, condition.norm) == ("spatial", None, None)
    for call in (
        lambda: Spatial().conditions(label="spatial", severities=(), eps=(0.1,), norm="linf"),
        lambda: Spatial().attack(Oracle(net), batch, eps=[0.1]),
    ):
        with pytest.raises(ParameterError, match=r"^spatial: has no eps; its budget is set by its own"):
            call()
    (got,), _ = Spatial().attack(Oracle(net), batch)
    assert torch.equal(net(got.images).argmax(1) != batch.labels, got.fooled)


def test_rejected_examples_do_not_count_after_rounding_to_8_bits(make):
    """Between two levels of 8 bits the model decides; on a level it refuses to."""

    class Levels(torch.nn.Module):
        def forward(self, x):
            value = x.flatten(1).mean(1)
            off = (value * 255 - (value * 255).round()).abs()
            wrong = value - 0.6
            return torch.stack([-wrong, wrong, torch.where(off < 1e-3, 1.0, -1.0)], 1)

    from unshaken.attack import FGSM
    from unshaken.core import Classifier

    batch = Batch(torch.full((1, 1, 2, 2), 0.501), torch.tensor([0]), ("a",))
    eps = (153.4 / 255) + 0.01 - 0.501
    for reject, kept in ((None, 1), (2, 0)):
        model = Classifier(Levels(), reject=reject).eval()
        (got,), _ = FGSM().attack(Oracle(model), batch, norm="linf", eps=[eps])
        assert got.fooled.tolist() == [True]
        assert got.survives_8bit.tolist() == [kept]
