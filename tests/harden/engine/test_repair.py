from __future__ import annotations

import json

import pytest
import torch

import unshaken
from unshaken import api
from unshaken.cli.repair import costs
from unshaken.core.errors import ParameterError, RunError
from unshaken.data.in_memory import InMemory
from unshaken.harden.engine import repair as how
from unshaken.harden.recipes.weights.ema import EMA
from unshaken.run.store import RunDir

PLAN = [
    {"method": "gaussian_noise", "severities": [3]},
    {"method": "fgsm", "eps": [0.05, 0.1], "norm": "linf"},
]


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    out = tmp_path_factory.mktemp("found") / "run"
    return unshaken.audit("demo:standard", "demo", PLAN, limit=40, out=out).run.path


@pytest.fixture
def data(photos):
    """Labelled images that the audit did not see: shifted copies."""
    return InMemory(photos[0].roll(1, 3), photos[1], classes=unshaken.load_data("demo").classes)


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
    ]
    run.write_json({"clean": figure(0.9), "conditions": conditions}, "summary.json")
    monkeypatch.setattr(how, "_disparity", lambda run: [])
    found = how.findings_of(run)
    assert [(f.what, round(f.loss, 3)) for f in found] == [
        ("linf attacks up to 0.1", 0.8), ("weather corruptions", 0.25), ("translation", 0.2)
    ]  # fmt: skip
    assert found[0].recipe == "trades:norm=linf,eps=0.1,beta=6.0"


def test_a_gap_between_classes(audit):
    rows = RunDir(audit).rows("outcomes", ["condition", "label", "correct"]).to_pylist()
    clean = [r for r in rows if r["condition"] == "clean"]
    shares = {}
    for row in clean:
        shares.setdefault(row["label"], []).append(row["correct"])
    by_hand = {k: sum(v) / len(v) for k, v in shares.items()}
    gap = max(by_hand.values()) - min(by_hand.values())
    found = how._disparity(RunDir(audit))
    assert [round(f.loss, 6) for f in found] == ([round(gap, 6)] if gap >= how.UNEVEN else [])


def test_recipes_that_do_not_go_together_are_told():
    findings = [
        how.Finding("attacks", 0.8, "trades"),
        how.Finding("weather", 0.2, "augmix"),
        how.Finding("fog", 0.1, "augmix"),
    ]
    told, recipes = how.choose(findings, [EMA()])
    assert [r.info.name for r in recipes] == ["ema", "trades"]
    assert told[0].left_out == ""
    assert "'trades' and 'augmix' both bring" in told[1].left_out


def test_the_plan_states_its_cost(audit, data, monkeypatch):
    monkeypatch.setattr(how, "_disparity", lambda run: [])
    plan = api.plan_repair(audit, data=data, epochs=2, batch_size=32)
    assert plan.model == "demo:standard"
    assert plan.recipes[0].info.name == "trades"
    assert plan.recipes[0].eps == 0.1
    steps = (200 - 40) // 32
    per_step = 32 * (2 + 1 + plan.recipes[0].steps) + 32 * (2 + plan.recipes[0].steps)
    assert plan.passes == 2 * steps * per_step
    assert plan.seconds > 0


def test_mended_from_start_to_end(audit, data, tmp_path):
    plan = api.plan_repair(audit, data=data, epochs=1, batch_size=32, check_images=16)
    done = api.repair(audit, plan, out=tmp_path / "mended", data=data)
    assert done.comparison.runs[0].conditions[0].condition.id == "clean"
    assert done.comparison.runs[0].n == 40
    clean = done.comparison.runs[0].conditions[0]
    spoilt = clean.verdict == "worse" and clean.paired.difference.value < -0.05
    assert [line.partition(" points")[0] for line in costs(done.comparison)] == (
        [f"the repaired model lost {-100 * clean.paired.difference.value:.1f}"] if spoilt else []
    )
    assert (tmp_path / "mended" / "before-after" / "compare.html").is_file()
    assert "## Before and after" in (tmp_path / "mended" / "report.md").read_text()
    record = json.loads((tmp_path / "mended" / "harden.json").read_text())
    assert record["recipes"][0].startswith("trades:")
    before = unshaken.load_model("demo:standard").net.state_dict()["head.weight"]
    after = unshaken.load_model(f"run:{tmp_path / 'mended'}").net.state_dict()["head.weight"]
    assert not torch.equal(before, after)


def test_a_run_of_the_users_own_net_is_audited_after_its_repair(tmp_path, data):
    (tmp_path / "own.py").write_text(
        "from torch import nn\n\n\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
    )
    own, settings = f"py:{tmp_path / 'own.py'}:make", {"epochs": 1, "batch_size": 64}
    plan = [{"method": "gaussian_noise", "severities": [5]}]
    unshaken.harden(own, data, ["gaussian-augmented"], out=tmp_path / "first", **settings)
    spec = f"run:{tmp_path / 'first'}?net={own}"
    before = unshaken.audit(spec, "demo", plan, limit=40, out=tmp_path / "audit").run.path
    chosen = api.plan_repair(before, model=spec, data=data, recipes="gaussian-augmented", **settings)
    done = api.repair(before, chosen, out=tmp_path / "repaired", data=data)
    assert done.comparison.runs[0].n == 40


def test_bad_use(audit, tmp_path):
    with pytest.raises(RunError, match=r"no run\.json"):
        api.plan_repair(tmp_path)
    with pytest.raises(ParameterError, match="is the data that was audited: give other images"):
        api.plan_repair(audit, data="demo")
    calm = RunDir(tmp_path / "calm")
    calm.write_json(RunDir(audit).read_json("run.json"), "run.json")
    calm.write_json({"clean": figure(0.9), "conditions": [condition("fog", 0.89, group="weather")]}, "summary.json")
    with pytest.raises(ParameterError, match="so no recipe is suggested"):
        api.plan_repair(calm.path, data="demo")
    own = {**RunDir(audit).read_json("run.json"), "model": "py:net.py:make"}
    RunDir(tmp_path / "own").write_json(own, "run.json")
    RunDir(tmp_path / "own").write_json(RunDir(audit).read_json("summary.json"), "summary.json")
    with pytest.raises(ParameterError, match="which is your own code: give it again with --model"):
        api.plan_repair(tmp_path / "own", data="demo")
    arrays = {**RunDir(audit).read_json("run.json"), "data": "<arrays of 40>"}
    RunDir(tmp_path / "arrays").write_json(arrays, "run.json")
    RunDir(tmp_path / "arrays").write_json(RunDir(audit).read_json("summary.json"), "summary.json")
    with pytest.raises(ParameterError, match="an object of a program: give it again as audited="):
        api.repair(tmp_path / "arrays", None, out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_training_images_of_named_sets(audit):
    config = how.read_audit(RunDir(audit))
    assert how.training_data(config) == "fashion-mnist?split=train"
    named = config.model_copy(update={"data": "cifar10?split=test"})
    assert how.training_data(named) == "cifar10?split=train"
    folder = config.model_copy(update={"data": "folder:photos"})
    with pytest.raises(ParameterError, match="give other images of these classes with --data"):
        how.training_data(folder)
