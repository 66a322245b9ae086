from __future__ import annotations

from types import SimpleNamespace

import pyarrow as pa
import pytest

from unshaken.harden.engine import findings
from unshaken.harden.engine.findings import Finding, choose, findings_of
from unshaken.harden.recipes.weights.ema import EMA
from unshaken.store.run_dir import RunDir


def figure(value):
    return {"value": value, "low": 0.0, "high": 1.0, "n": 10, "interval": "none"}


def condition(method, value, **about):
    base = {"condition": method, "method": method, "norm": None, "eps": None, "group": None}
    return {**base, **about, "accuracy": figure(value)}


def test_findings_from_figures(tmp_path, monkeypatch):
    run = RunDir(tmp_path)
    conditions = [
        condition("fog", 0.8, group="weather"),
        condition("snow", 0.5, group="weather"),
        condition("pixelate", 0.88, group="digital"),
        condition("pgd", 0.5, norm="linf", eps=0.02),
        condition("pgd", 0.1, norm="linf", eps=0.1),
        condition("translation", 0.7, group="geometry"),
        condition("cyclic_translation", 0.68, group="geometry"),
        condition("rotation", 0.1, group="geometry"),  # no recipe is for it
        {**condition("frost", 0.1, group="weather"), "accuracy": None},
    ]
    run.write_json({"clean": figure(0.9), "conditions": conditions}, "summary.json")
    monkeypatch.setattr(findings, "_disparity", lambda run: [])
    found = findings_of(run)
    assert [(f.what, round(f.loss, 3)) for f in found] == [
        ("linf attacks up to 0.1", 0.8), ("weather corruptions", 0.25), ("translation", 0.21)
    ]  # fmt: skip
    assert found[0].recipe == "trades:norm=linf,eps=0.1,beta=6.0"


def test_attacks_beyond_the_budget_of_the_data_are_not_trained_on(tmp_path, monkeypatch):
    run = RunDir(tmp_path)
    conditions = [condition("near", 0.6, norm="linf", eps=8 / 255), condition("far", 0.1, norm="linf", eps=0.1)]
    run.write_json({"clean": figure(0.9), "conditions": conditions}, "summary.json")
    monkeypatch.setattr(findings, "_disparity", lambda run: [])
    (found,) = findings_of(run, budget=8 / 255)
    assert found.what == "linf attacks up to 8/255"
    assert found.recipe == "trades:norm=linf,eps=8/255,beta=6.0"
    assert found.conditions == ("near",)
    run.write_json({"clean": figure(0.9), "conditions": conditions[1:]}, "summary.json")
    (found,) = findings_of(run, budget=8 / 255)
    assert found.what == "linf attacks up to 8/255"
    assert found.recipe == "trades:norm=linf,eps=8/255,beta=6.0"
    (found,) = findings_of(run, budget=0.09)
    assert found.recipe == "trades:norm=linf,eps=0.09,beta=6.0"
    (found,) = findings_of(run, budget=0.1)
    assert found.recipe == "trades:norm=linf,eps=0.1,beta=6.0"


def test_recipes_that_do_not_go_together_are_told():
    found = [
        Finding("attacks", 0.8, "trades"),
        Finding("weather", 0.2, "augmix"),
        Finding("fog", 0.1, "augmix"),
    ]
    planned, recipes = choose(found, [EMA()])
    assert [r.info.name for r in recipes] == ["ema", "trades"]
    assert planned[0].left_out == ""
    assert "'trades' and 'augmix' both bring" in planned[1].left_out


def test_a_recipe_is_planned_once_and_what_chance_explains_is_not():
    found = [
        Finding("weather", 0.3, "augmix"),
        Finding("classes", 0.2, "worst-class", "equally easy classes show a gap"),
        Finding("digital", 0.1, "augmix"),
    ]
    planned, recipes = choose(found)
    assert [r.info.name for r in recipes] == ["augmix"]
    assert planned == found


@pytest.mark.parametrize(
    ("method", "value", "about", "shown"),
    [
        ("fog", 0.86, {"group": "weather"}, False),
        ("fog", 0.84, {"group": "weather"}, True),
        ("pgd", 0.86, {"norm": "linf", "eps": 0.1}, False),
        ("pgd", 0.84, {"norm": "linf", "eps": 0.1}, True),
        ("pgd", 0.1, {"norm": "l2", "eps": None}, False),  # no budget to train within
    ],
)
def test_a_loss_of_less_than_five_points_is_no_finding(tmp_path, monkeypatch, method, value, about, shown):
    run = RunDir(tmp_path)
    run.write_json({"clean": figure(0.9), "conditions": [condition(method, value, **about)]}, "summary.json")
    monkeypatch.setattr(findings, "_disparity", lambda run: [])
    assert len(findings_of(run)) == shown


def outcomes(monkeypatch, right):
    """A run with right answers and images of each class, on unchanged images."""
    labels = [k for k, (_, n) in enumerate(right) for _ in range(n)]
    correct = [i < k for k, n in right for i in range(n)]
    table = pa.table({"condition": ["clean"] * len(labels), "label": labels, "correct": correct})
    monkeypatch.setattr(findings, "read_config", lambda run: SimpleNamespace(classes=("cat", "dog", "owl")))
    return SimpleNamespace(rows=lambda name, columns: table)


@pytest.mark.parametrize(
    ("right", "what", "by_chance"),
    [
        ([(190, 200), (120, 200)], "class 'dog' has 60% correct, 'cat' 95%", False),
        ([(8, 10), (10, 10)], "class 'cat' has 80% correct, 'dog' 100%", True),
        ([(0, 1), (1, 1), (1, 1), (1, 1)], "class 'cat' has 0% correct, 'dog' 100%", True),
        ([(180, 200), (190, 200), (200, 200)], None, False),
        ([(3, 9)], None, False),
        ([], None, False),
    ],
)
def test_a_gap_between_classes_is_addressed_where_chance_does_not_explain_it(monkeypatch, right, what, by_chance):
    found = findings._disparity(outcomes(monkeypatch, right))
    assert [f.what for f in found] == ([] if what is None else [what])
    for finding in found:
        assert ("equally easy classes show a gap" in finding.left_out) == by_chance
        assert finding.loss == pytest.approx(max(k / n for k, n in right) - min(k / n for k, n in right))
    assert [r.info.name for r in choose(found)[1]] == (["worst-class"] if found and not by_chance else [])
