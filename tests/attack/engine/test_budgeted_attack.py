"""Budgets: many from one run of a minimal-norm attack, none for an attack without a norm."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.attack.black_box.spatial import Spatial
from unshaken.attack.minimal_norm.deepfool import DeepFool
from unshaken.core import Oracle
from unshaken.core.context import Context
from unshaken.core.errors import ParameterError
from unshaken.run.adapters import Line, conditions_of, rows_of


@pytest.mark.parametrize(
    ("eps", "ids"),
    [
        ((), ["m-l2"]),
        ((0.5,), ["m-l2-0.5", "m-l2"]),
        ((0.5, math.inf, 0.1), ["m-l2-0.5", "m-l2-0.1", "m-l2"]),
    ],
)
def test_conditions_of_a_minimal_attack_have_one_without_a_budget(eps, ids):
    got = conditions_of(DeepFool(), Line("m", eps=eps, norm="l2"))
    assert [c.id for c in got] == ids
    assert [(c.eps, c.norm) for c in got][-1] == (None, "l2")


def test_rows_of_a_minimal_attack(make):
    model, batch, distance = make.spread("l2", 20)
    attack, oracle = DeepFool(), Oracle(model)
    conditions = conditions_of(attack, Line("deepfool", eps=(float(distance.median()),), norm="l2"))
    parts = rows_of(attack, batch, conditions, Context(oracle, 0, oracle.exact(batch.images)))
    rows = [p for p in parts if p.table == "outcomes"]
    assert [p.condition for p in rows] == conditions
    assert [sum(p.columns["correct"]) for p in rows] == [
        int((1.02 * distance > float(distance.median())).sum()),
        0,
    ]
    assert [p.columns["standing"] for p in parts if p.table == "turns"] == [[20], [20]]


def test_an_attack_without_a_norm_has_no_eps(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(4, 1, 8, 8))
    (condition,) = conditions_of(Spatial(), Line("spatial"))
    assert (condition.id, condition.eps, condition.norm) == ("spatial", None, None)
    for call in (
        lambda: conditions_of(Spatial(), Line("spatial", eps=(0.1,))),
        lambda: Spatial().attack(Oracle(net), batch, eps=[0.1]),
    ):
        with pytest.raises(ParameterError, match=r"^spatial: has no eps; its budget is set by its own"):
            call()
    (got,), _ = Spatial().attack(Oracle(net), batch)
    assert torch.equal(net(got.images).argmax(1) != batch.labels, got.fooled)
