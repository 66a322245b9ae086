"""Naive and adaptive examples on detectors whose geometry is known, and the rows that they leave."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.attack.engine.end_point import EndPoints
from unshaken.core import Batch, Classifier, Oracle, list_methods
from unshaken.core.context import Context
from unshaken.core.errors import ParameterError
from unshaken.data import load_data, stream
from unshaken.detect import Shares, fit
from unshaken.detect.engine import evasion
from unshaken.detect.engine.detector_set import digest
from unshaken.detect.engine.evasion import Evasion
from unshaken.models import load_model
from unshaken.run.adapters import Line, conditions_of, rows_of
from unshaken.store.tables import table_of


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("door")
    fit("demo", "demo", ["energy", "knn:k=5"], limit=400, shares=Shares(keep=200)).save(folder)
    model = load_model("demo")
    batch = next(b for b in stream(load_data("demo"), range(0, 1000, 50), view=model.view) if isinstance(b, Batch))
    return folder, model, batch


def rows(world, eps=(0.1,), **params):
    folder, model, batch = world
    method = Evasion(folder=str(folder), digest=digest(folder), detectors="energy+knn", **params)
    conditions = conditions_of(method, Line("evasion", eps=eps))
    oracle = Oracle(model)
    parts = rows_of(method, batch, conditions, Context(oracle, 0, oracle.exact(batch.images)))
    found = {}
    for part in parts:
        found[part.table, part.condition.id] = table_of(part).to_pydict()
    return conditions, found, oracle


def test_the_adaptive_figure_is_never_the_better_one(world):
    conditions, found, _ = rows(world, attack="pgd:steps=10,rel_stepsize=0.2")
    assert [c.id for c in conditions] == [
        "energy-naive-linf-0.1", "energy-adaptive-linf-0.1", "knn-naive-linf-0.1", "knn-adaptive-linf-0.1",
    ]  # fmt: skip
    for label in ("energy", "knn"):
        naive, adaptive = (found["outcomes", f"{label}-{k}-linf-0.1"]["correct"] for k in ("naive", "adaptive"))
        assert all(a <= n for a, n in zip(adaptive, naive, strict=True))
        assert sum(adaptive) < len(adaptive), "an undefended net at eps 0.1 is fooled somewhere"


def test_rows_agree_with_each_other_and_with_the_ball(world):
    _, found, oracle = rows(world, attack="pgd:steps=5,rel_stepsize=0.3")
    for (table, name), outcome in found.items():
        if table != "outcomes":
            continue
        score = found["scores", name]
        assert score["id"] == outcome["id"]
        kind = name.split("-")[1]
        assert set(score["split"]) == {f"{kind}/linf-0.1"}
        accepted, prediction, label = (score[k] for k in ("accepted", "prediction", "label"))
        places = range(len(prediction))
        assert outcome["correct"] == [not accepted[i] or prediction[i] == label[i] for i in places]
        assert outcome["prediction"] == [prediction[i] if accepted[i] else 10 for i in places]
        assert max(outcome["distance"]) <= 0.1 * (1 + 1e-5)
        assert min(outcome["forwards"]) >= 5
    assert oracle.meter.backwards > 0


def test_each_budget_has_rows_of_its_own_and_no_budget_changes_nothing(world):
    _, found, oracle = rows(world, eps=(0.0, 0.05), attack="pgd:steps=4,rel_stepsize=0.5")
    assert len(found) == 16
    clean = oracle.exact(world[2].images).argmax(1).tolist()
    for label in ("energy", "knn"):
        for kind in ("naive", "adaptive"):
            assert max(found["outcomes", f"{label}-{kind}-linf-0"]["distance"]) == 0
            assert found["scores", f"{label}-{kind}-linf-0"]["prediction"] == clean
            assert 0 < max(found["outcomes", f"{label}-{kind}-linf-0.05"]["distance"]) <= 0.05 * (1 + 1e-5)
        naive, adaptive = (found["outcomes", f"{label}-{k}-linf-0.05"]["forwards"] for k in ("naive", "adaptive"))
        assert len(set(naive)) == 1  # the bare model is attacked to the last step
        assert all(a > n for a, n in zip(adaptive, naive, strict=True))  # what the adaptive search cost comes on top
        assert min(adaptive) < 2 * naive[0]  # which ends where it has won


def test_an_example_outside_the_ball_counts_as_the_clean_image(world, monkeypatch):
    zero = torch.zeros(len(world[2]), dtype=torch.int64)

    def far(model, search, batch, **_):
        return EndPoints(batch.images + 0.5, zero + 2, zero + 1, zero.double())

    monkeypatch.setattr(evasion, "find_end_points", far)
    _, found, oracle = rows(world)
    clean = oracle.exact(world[2].images).argmax(1).tolist()
    for kind, n in (("naive", 1), ("adaptive", 2)):
        assert set(found["outcomes", f"knn-{kind}-linf-0.1"]["distance"]) == {0}
        assert found["scores", f"knn-{kind}-linf-0.1"]["prediction"] == clean
        assert set(found["outcomes", f"knn-{kind}-linf-0.1"]["forwards"]) == {2 * n}
        assert set(found["outcomes", f"knn-{kind}-linf-0.1"]["backwards"]) == {n}


class Rejects(nn.Module):
    """Two pixels as logits, and one more by so much above the larger."""

    def __init__(self, away):
        super().__init__()
        self.away = away

    def forward(self, x):
        z = x.flatten(1)[:, :2]
        return torch.cat([z, z.amax(1, keepdim=True) + self.away(x).view(-1, 1)], 1)


def no_gradient(x):
    raise RuntimeError("element 0 of tensors does not require grad")


@pytest.mark.parametrize(
    ("away", "steep"),
    [
        (lambda x: x.sum((1, 2, 3)), True),
        (lambda x: torch.ones(len(x)), False),
        (no_gradient, False),
    ],
)
def test_a_detector_is_steep_where_its_own_part_has_a_gradient(away, steep):
    batch = Batch(torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(0)), None, tuple("abcde"))
    assert evasion._steep(Classifier(Rejects(away)), batch) is steep
    flat = Classifier(nn.Sequential(nn.Flatten(), nn.Threshold(2, 0)))  # all logits are 0, and no gradient passes
    assert not evasion._steep(flat, batch)


def test_a_budget_is_needed_and_a_single_search(world):
    folder = str(world[0])
    shared = {"folder": folder, "digest": digest(folder), "detectors": "energy"}
    with pytest.raises(ParameterError, match="give budgets eps"):
        conditions_of(Evasion(**shared), Line("evasion"))
    with pytest.raises(ParameterError, match="and no severities"):
        conditions_of(Evasion(**shared), Line("evasion", severities=[1], eps=[0.1]))
    with pytest.raises(ParameterError, match="no norm 'l7'; known: l1, l2, linf"):
        conditions_of(Evasion(**shared), Line("evasion", eps=[0.1], norm="l7"))
    with pytest.raises(ParameterError, match="no single search"):
        Evasion(**shared, attack="autoattack")


def test_it_is_registered_beside_the_detectors():
    assert {"evasion", "screening"} <= {m.name for m in list_methods("detect")}
