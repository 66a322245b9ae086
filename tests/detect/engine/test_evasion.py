"""Naive and adaptive examples on detectors whose geometry is known, and the rows that they leave."""

from __future__ import annotations

import pytest

from unshaken.core import Batch, Oracle, list_methods
from unshaken.core.errors import ParameterError
from unshaken.data import load_data, stream
from unshaken.detect import Shares, fit
from unshaken.detect.engine.detector_set import digest
from unshaken.detect.engine.evasion import Evasion
from unshaken.models import load_model
from unshaken.run.rows import Context, table_of


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("door")
    fit("demo", "demo", ["energy", "knn:k=5"], take=400, shares=Shares(keep=200)).detector_set.save(folder)
    model = load_model("demo")
    batch = next(b for b in stream(load_data("demo"), range(0, 1000, 50), view=model.view) if isinstance(b, Batch))
    return folder, model, batch


def rows(world, **params):
    folder, model, batch = world
    method = Evasion(folder=str(folder), digest=digest(folder), detectors="energy+knn", **params)
    conditions = method.conditions(label="evasion", severities=[], eps=[0.1], norm="linf")
    oracle = Oracle(model)
    parts = method.evaluate(batch, conditions, Context(oracle, 0, oracle.exact(batch.images)))
    found = {}
    for part in parts:
        found[part.table, part.condition.id] = table_of(part).to_pydict()
    return conditions, found, oracle


def test_the_adaptive_figure_is_never_the_better_one(world):
    conditions, found, _ = rows(world, attack="pgd:steps=10,step_size=0.2")
    assert [c.id for c in conditions] == [
        "energy-naive-linf-0.1", "energy-adaptive-linf-0.1", "knn-naive-linf-0.1", "knn-adaptive-linf-0.1",
    ]  # fmt: skip
    for label in ("energy", "knn"):
        naive, adaptive = (found["outcomes", f"{label}-{k}-linf-0.1"]["correct"] for k in ("naive", "adaptive"))
        assert all(a <= n for a, n in zip(adaptive, naive, strict=True))
        assert sum(adaptive) < len(adaptive), "an undefended net at eps 0.1 is fooled somewhere"


def test_rows_agree_with_each_other_and_with_the_ball(world):
    _, found, oracle = rows(world, attack="pgd:steps=5,step_size=0.3")
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


def test_a_budget_is_needed_and_a_single_search(world):
    folder = str(world[0])
    shared = {"folder": folder, "digest": digest(folder), "detectors": "energy"}
    with pytest.raises(ParameterError, match="give budgets eps"):
        Evasion(**shared).conditions(label="evasion", severities=[], eps=[], norm="linf")
    with pytest.raises(ParameterError, match="no single search"):
        Evasion(**shared, attack="autoattack")


def test_it_is_registered_beside_the_detectors():
    assert {"evasion", "screening"} <= {m.name for m in list_methods("detect")}
