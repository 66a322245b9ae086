"""How long a run will take, by hand from costs of runs like it; what the form says of it and of what fits."""

from __future__ import annotations

import html
import re
import shlex

import pytest

from tests.report.conftest import write_run
from tests.serve.site.conftest import PLAN, runs_of
from unshaken.report import write_report
from unshaken.run.record import record_methods, record_steps
from unshaken.serve.site.cost import Cost, KnownCost, estimate_time, read_cost
from unshaken.serve.site.launch import Specs, arguments_of, work_of
from unshaken.serve.site.listing import known_costs
from unshaken.store.config import Entry
from unshaken.store.run_dir import RunDir

AUDIT = {"verb": "audit", "model": "demo", "data": "demo", "plan": "quick", "limit": "40"}


def known(model, work, units, seconds, passes):
    return KnownCost(model, Cost(work, units, seconds, passes))


def test_the_time_is_that_of_runs_that_did_the_same_with_the_same_model():
    runs = [known("m", "w", 10, 20, 100), known("m", "w", 10, 40, 100), known("m", "w", 100, 100, 3000)]
    found = estimate_time([*runs, known("m", "other", 1, 900, 1), known("n", "w", 1, 900, 1)], "w", "m", 50)
    # seconds an image: 2, 4 and 1; passes an image: 10, 10 and 30
    assert (found.value, found.low, found.high) == (100, 50, 200)
    assert (found.seconds, found.passes, found.runs, found.own) == (2, 10, 3, True)


def test_passes_of_other_models_are_taken_at_the_speed_of_this_one():
    runs = [known("n", "w", 10, 1, 100), known("o", "w", 10, 1, 300), known("m", "other", 10, 5, 10)]
    found = estimate_time(runs, "w", "m", 2)
    # 10 and 30 passes an image, at half a second a pass
    assert (found.value, found.low, found.high) == (20, 10, 30)
    assert (found.runs, found.own) == (2, False)


@pytest.mark.parametrize("runs", [[], [known("n", "w", 1, 1, 1)], [known("m", "other", 1, 1, 1)]])
def test_without_a_run_like_it_there_is_no_time(runs):
    assert estimate_time(runs, "w", "m", 1) is None


@pytest.mark.parametrize(
    "cost",
    [None, [], {}, {"seconds": 0, "forwards": 1, "backwards": 1}, {"seconds": 1, "forwards": 1},
     {"seconds": float("nan"), "forwards": 1, "backwards": 1}, {"seconds": -1, "forwards": 1, "backwards": 1},
     {"seconds": "1", "forwards": 1, "backwards": 1}, {"seconds": 1e300, "forwards": 1, "backwards": 1}],
)  # fmt: skip
def test_costs_that_are_none_are_left_out(cost):
    assert read_cost({"cost": cost}, "w", 1) == Cost()
    assert read_cost({"cost": {"seconds": 2, "forwards": 3, "backwards": 1}}, "w", 4) == Cost("w", 4, 2, 4)


@pytest.mark.parametrize("steps", [40, 7])
def test_a_form_does_the_same_as_a_run_of_the_same_method(open_at, tmp_path, steps):
    given = {} if steps == 40 else {"steps": steps}
    plan = [Entry(method="pgd", params=given, eps=(0.1, 0.2))]
    records = {"steps": record_steps(plan), "methods": record_methods(plan)}
    write_report(write_run(tmp_path / "runs/a", plan=plan, pictures=0, model="demo", **records))
    (found,) = known_costs(open_at(tmp_path / "runs").index)
    fields = {**AUDIT, "verb": "attack", "method": "pgd", "p-steps": str(steps)}
    work, model, units = work_of(arguments_of(fields, Specs(("demo",), ("demo",)))[1])
    assert work == found.cost.work
    assert f'"steps": {steps}' in work
    assert (model, units, found.cost.units) == ("demo", 40, 2 * 49)


def test_a_training_counts_images_times_epochs(open_at, tmp_path):
    run = RunDir(tmp_path / "runs/t")
    cost = {"seconds": 30, "forwards": 400, "backwards": 200}
    record = {"model": "small-cnn", "data": "demo", "recipes": ["trades:beta=3.0"], "images": {"usable": 50}}
    run.write_json({**record, "result": {"epochs": 3, "figures": {}, "cost": cost}}, "harden.json")
    (tmp_path / "runs/t/report.html").write_text("done")
    (found,) = known_costs(open_at(tmp_path / "runs").index)
    fields = {"verb": "harden", "method": "trades", "model": "small-cnn", "data": "demo", "limit": "20", "p-beta": "3"}
    work, model, units = work_of(arguments_of(fields, Specs(("demo",), ("demo",)))[1])
    assert (found.model, found.cost) == (model, Cost(work, 150, 30, 600))
    assert units == 200  # ten epochs, as `harden` has where nothing is said


def test_the_form_tells_the_time_before_it_starts(open_client, tmp_path):
    folder = tmp_path / "runs"
    write_report(write_run(folder / "a", plan=PLAN, pictures=0, plan_name="quick", model="demo", data="demo"))
    ann = open_client(folder)
    (kept,) = known_costs(ann.site.index)
    page = ann.get("/jobs/new?verb=audit")
    assert "1 run like it" in page
    seconds = re.findall(r"passes and (\S+) s an image", page)[0]
    assert float(seconds) == pytest.approx(kept.cost.seconds / kept.cost.units, rel=0.05)
    assert "no run like it yet" in ann.post("/jobs/check", page, **{**AUDIT, "plan": "full"})
    assert "limit" in ann.post("/jobs/check", page, status=400, **{**AUDIT, "limit": "many"})
    assert ann.site.jobs.all() == []


def test_data_fit_a_model_or_others_of_its_classes():
    pairs = [("m", "a", "x"), ("n", "b", "x"), ("o", "c", "y"), ("p", "d", ""), ("q", "e", "")]
    specs = Specs(("m", "n", "o", "p"), ("a", "b", "c", "d", "e"), pairs=tuple(pairs))
    assert [specs.fitting_data(m) for m in ("m", "o", "p", "fresh")] == [("a", "b"), ("c",), ("d",), ()]


def test_the_form_proposes_data_that_fit_and_names_the_command_that_allows_code(open_client, tmp_path):
    folder = tmp_path / "runs"
    for name, classes in (("x", ["cat", "dog"]), ("y", ["a", "b", "c"])):
        options = {"model": f"onnx:{name}.onnx", "data": f"folder:{name}", "classes": classes}
        write_report(write_run(folder / name, plan=PLAN, pictures=0, **options))
    write_run(folder / "own", plan=PLAN, pictures=0, data="folder:x", model="py:it's.py:make")
    ann = open_client(folder, allow=["demo"])
    page = ann.get("/jobs/new?verb=audit&model=onnx:x.onnx")
    groups = dict(re.findall(r'<optgroup label="([^"]+)">(.*?)</optgroup>', page, re.S))
    fits, others = (re.findall(r"<option[^>]*>([^<]+)", group) for group in groups.values())
    assert (fits, others) == (["folder:x"], ["demo", "folder:y"])
    assert "<option selected>folder:x" in page
    command = f"unshaken serve {folder} --allow-spec demo --allow-spec " + shlex.quote("py:it's.py:make")
    assert command in html.unescape(page)
    assert "own" in runs_of(ann.site)
