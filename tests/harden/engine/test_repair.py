from __future__ import annotations

import io
import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import unshaken
from unshaken import api
from unshaken.cli import main
from unshaken.cli.repair import costs
from unshaken.core import Batch, Classifier
from unshaken.core.errors import ParameterError, RunError
from unshaken.data.in_memory import InMemory
from unshaken.harden.engine import repair as how
from unshaken.harden.engine.validation import Validation
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
    (found,) = how._disparity(RunDir(audit))
    assert found.loss == pytest.approx(gap, abs=1e-6)
    names = unshaken.load_data("demo").classes
    low, high = (names[pick(sorted(shares), key=by_hand.get)] for pick in (min, last_of_most))
    assert found.what == f"class {low!r} has {min(by_hand.values()):.0%} correct, {high!r} {max(by_hand.values()):.0%}"


def last_of_most(classes, key):
    return max(reversed(classes), key=key)


def test_recipes_that_do_not_go_together_are_told():
    findings = [
        how.Finding("attacks", 0.8, "trades"),
        how.Finding("weather", 0.2, "augmix"),
        how.Finding("fog", 0.1, "augmix"),
    ]
    planned, recipes = how.choose(findings, [EMA()])
    assert [r.info.name for r in recipes] == ["ema", "trades"]
    assert planned[0].left_out == ""
    assert "'trades' and 'augmix' both bring" in planned[1].left_out


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


def test_repaired_from_start_to_end(audit, data, tmp_path):
    """Where the validation rises, epoch 1 is kept, audited again and compared."""
    plan = api.plan_repair(audit, data=data, epochs=1, batch_size=32, check_images=16, max_clean_loss=1)
    rising = iter((0.1, 0.2))
    plan = replace(plan, validation=lambda model, held: next(rising))
    done = api.repair(audit, plan, out=tmp_path / "repaired", data=data)
    assert done.refused == ""
    assert done.comparison.runs[0].conditions[0].condition.id == "clean"
    assert done.comparison.runs[0].n == 40
    clean = done.comparison.runs[0].conditions[0]
    spoilt = clean.verdict == "worse" and clean.paired.difference.value < -0.05
    assert [line.partition(" points")[0] for line in costs(done.comparison)] == (
        [f"the repaired model lost {-100 * clean.paired.difference.value:.1f}"] if spoilt else []
    )
    assert (tmp_path / "repaired" / "before-after" / "compare.html").is_file()
    assert "## Before and after" in (tmp_path / "repaired" / "report.md").read_text()
    record = json.loads((tmp_path / "repaired" / "harden.json").read_text())
    assert record["recipes"][0].startswith("trades:")
    assert record["result"]["chosen_epoch"] == 1
    assert not torch.equal(head_of("demo:standard"), head_of(f"run:{tmp_path / 'repaired'}"))


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"lr": 5.0}, "(max_clean_loss allows 20 points)"),
        ({"max_clean_loss": 1.0}, "was 50.0% at the start and 50.5% at best"),
    ],
)
def test_a_worse_model_is_not_delivered(settings, shown, audit, data, tmp_path):
    """A repair that loses too much on unchanged images, and one that gains nothing, leave the starting weights."""
    plan = api.plan_repair(audit, data=data, epochs=1, batch_size=32, check_images=16, clip=1.0, **settings)
    if "lr" not in settings:
        gains = iter((0.5, 0.505))
        plan = replace(plan, validation=lambda model, held: next(gains))
    done = api.repair(audit, plan, out=tmp_path / "repaired", data=data)
    assert done.after is None
    assert done.comparison is None
    assert shown in done.refused
    assert done.hardened.result["chosen_epoch"] == 0
    assert torch.equal(head_of("demo:standard"), head_of(f"run:{tmp_path / 'repaired'}"))
    page = (tmp_path / "repaired" / "report.md").read_text()
    assert "The starting weights are kept" in page
    assert page.count("no epoch was better within") == 1
    assert "What may help: more training images" in page
    assert "epoch 0" not in page
    again = api.repair(audit, plan, out=tmp_path / "repaired", data=data, resume=True)
    assert again.refused == done.refused


def test_the_command_ends_with_1_where_nothing_was_repaired(audit, data, tmp_path, capsys):
    images = [image_bytes(data.fetch(i)) for i in range(len(data))]
    names = [data.classes[k] for k in data.labels]
    pq.write_table(pa.table({"image": pa.array(images, pa.binary()), "label": names}), tmp_path / "data.parquet")
    given = ["--data", f"parquet:{tmp_path}/data.parquet", "--epochs", "1", "--batch-size", "32", "--lr", "5"]
    settings = ["--set", "check_images=16", "--set", "clip=1"]
    code = main(["harden", "--from", str(audit), "--out", str(tmp_path / "out"), *given, *settings])
    assert code == 1
    out = capsys.readouterr().out
    assert "not repaired: no epoch was better within what may be lost" in out
    assert "What may help: more training images" in out


def image_bytes(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def head_of(spec):
    return unshaken.load_model(spec).net.state_dict()["head.weight"]


def test_the_validation_is_about_the_weaknesses_that_are_repaired(audit, data):
    plan = api.plan_repair(audit, data=data, epochs=1, batch_size=32, check_images=16)
    aimed = [set(f.conditions) for f in plan.findings if not f.left_out]
    assert [set(w) for w in plan.validation.weaknesses] == aimed
    assert {"fgsm-linf-0.05", "fgsm-linf-0.1"} in aimed
    held = Batch(torch.rand(8, 1, 28, 28), torch.arange(8), tuple("abcdefgh"))
    right = Validation(plan.validation.plan, (("gaussian_noise-3",), ()), 0, 8)
    found = right(ByBrightness(), held.with_images(torch.full((8, 1, 28, 28), 0.5)))
    assert found == (1 / 8 + 0) / 2  # one label in eight is the class that it says, and another class has none right


class ByBrightness(Classifier):
    """Class 3, whatever it is shown."""

    def __init__(self) -> None:
        super().__init__(torch.nn.Flatten())

    def forward(self, images):
        return torch.eye(8)[3].repeat(len(images), 1) + 0 * images.mean()


def test_attacks_beyond_the_budget_of_the_data_are_not_trained_on(tmp_path, monkeypatch):
    run = RunDir(tmp_path)
    conditions = [condition("near", 0.6, norm="linf", eps=8 / 255), condition("far", 0.1, norm="linf", eps=0.1)]
    run.write_json({"clean": figure(0.9), "conditions": conditions}, "summary.json")
    monkeypatch.setattr(how, "_disparity", lambda run: [])
    (found,) = how.findings_of(run, budget=8 / 255)
    assert found.what == "linf attacks up to 8/255"
    assert found.recipe == "trades:norm=linf,eps=8/255,beta=6.0"
    assert found.conditions == ("near",)
    run.write_json({"clean": figure(0.9), "conditions": conditions[1:]}, "summary.json")
    (found,) = how.findings_of(run, budget=8 / 255)
    assert found.what == "linf attacks up to 8/255"
    assert found.recipe == "trades:norm=linf,eps=8/255,beta=6.0"
    (found,) = how.findings_of(run, budget=0.1)
    assert found.recipe == "trades:norm=linf,eps=0.1,beta=6.0"


def test_a_run_of_the_users_own_net_is_audited_after_its_repair(tmp_path, data):
    (tmp_path / "own.py").write_text(
        "from torch import nn\n\n\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
    )
    own, settings = f"py:{tmp_path / 'own.py'}:make", {"epochs": 1, "batch_size": 64}
    plan = [{"method": "gaussian_noise", "severities": [5]}]
    unshaken.harden(own, data, ["gaussian-augmented"], out=tmp_path / "first", **settings)
    spec = f"run:{tmp_path / 'first'}?net={own}"
    before = unshaken.audit(spec, "demo", plan, limit=40, out=tmp_path / "audit").run.path
    chosen = api.plan_repair(
        before, model=spec, data=data, recipes="gaussian-augmented", max_clean_loss=1.0, **settings
    )
    chosen = replace(chosen, validation=None)  # one epoch need not gain anything
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
    with pytest.raises(ParameterError, match=r"is your own code: give it again, with --model py:net\.py:make$"):
        api.plan_repair(tmp_path / "own", data="demo")
    own |= {"data": "folder:photos"}
    RunDir(tmp_path / "own").write_json(own, "run.json")
    with pytest.raises(ParameterError, match=r"with --model py:net.py:make; .* give other images of .* with --data"):
        api.plan_repair(tmp_path / "own")
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
