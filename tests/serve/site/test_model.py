"""The page of a model: its runs, and a figure of them against time."""

from __future__ import annotations

import json
import os
import re
import shutil
from html import unescape

import pytest

from tests.report.conftest import write_run
from tests.serve.site.conftest import PLAN, runs_of
from unshaken.report import write_report
from unshaken.serve.site.listing import ListedRun
from unshaken.serve.site.trend import MOST_FIGURES, TrendFigure, TrendPoint, read_figures, trend_plot
from unshaken.store.config import Entry

DAY = 86400.0
SHARE = {"interval": "clopper-pearson 95%"}


def point(number, days, value, low, high, *, plan="quick", at=None, **options):
    values = {"modified": days * DAY, "name": f"r{number}", "plan": plan, "kind": "audit"}
    figure = TrendFigure.model_validate({"value": value, "low": low, "high": high, **SHARE, **options})
    return TrendPoint(ListedRun(number, values), figure, at)


@pytest.fixture
def nights(open_client, folder):
    """Two more runs of the model of `a`, the second on other data."""
    for name, shift, data in (("night", 1.0, "cd" * 32), ("other", 0.0, "ef" * 32)):
        options = {"shift": shift, "data_fingerprint": data, "model_name": "net a", "model": "demo"}
        write_report(write_run(folder / name, plan=PLAN, **options))
        os.utime(folder / name / "summary.json", (5 * DAY, 5 * DAY))
    return open_client(folder)


def test_the_page_draws_the_runs_on_the_same_data_and_lists_all(nights):
    runs = runs_of(nights.site)
    page = nights.get(f"/runs/{runs['a'].id}/model?figure=fog-3+accuracy")
    listed = re.findall(r'<th scope="row"><a href="/runs/(\d+)"', page)
    assert sorted(listed) == sorted(str(runs[name].id) for name in ("a", "night", "other"))
    assert "deep/b" not in page  # a run of another model
    words = re.search(r'role="img" aria-label="([^"]+)"', page)[1]
    # wrong where i % 8 is below 3, and with the shift below 4
    assert dict(re.findall(r"(\w+): ([\d.]+) %", words)) == {"a": "62.50", "night": "50.00"}
    assert page.count("other data") == 1
    pair = f"/compare?baseline={runs['a'].id}&amp;candidate="
    assert re.findall(rf'href="{re.escape(pair)}(\d+)"', page) == [str(runs["night"].id)]
    assert "baseline a" in page
    assert f"/runs/{runs['night'].id}/model?figure=fog-3+accuracy" in page
    assert "worst_case" in nights.get(f"/runs/{runs['night'].id}/model")
    nights.get(f"/runs/{runs['a'].id}/model?figure=none", 404)


def test_the_list_and_the_pages_of_a_run_lead_to_its_model(nights):
    number = runs_of(nights.site)["a"].id
    assert f'href="/runs/{number}/model"' in nights.get("/runs")
    assert f'href="/runs/{number}/model"' in nights.get(f"/runs/{number}")


def test_a_run_without_a_model_has_no_such_page(open_client, tmp_path):
    (tmp_path / "runs/p").mkdir(parents=True)
    (tmp_path / "runs/p/result.json").write_text(json.dumps({"slug": "x"}))
    ann = open_client(tmp_path / "runs")
    number = runs_of(ann.site)["p"].id
    ann.get(f"/runs/{number}/model", 404)
    assert "/model" not in ann.get(f"/runs/{number}")


@pytest.mark.parametrize("record", [[], {"clean": []}, {"conditions": [1, {"condition": ["x"]}], "aggregates": "x"}])
def test_a_summary_of_another_form_has_no_figures(folder, record):
    (folder / "a/summary.json").write_text(json.dumps(record))
    assert read_figures(str(folder / "a")) == {}


def test_the_page_of_a_damaged_run_says_that_there_is_nothing_to_draw(open_client, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "runs")
    (tmp_path / "runs/a/summary.json").write_text("{")
    ann = open_client(tmp_path / "runs")
    listed = runs_of(ann.site)["a"]
    assert read_figures(listed.place) == {}
    ann.get(f"/runs/{listed.id}/model", 404 if not listed.model else 200)


def test_figures_are_named_by_their_place_in_the_summary(tmp_path):
    figure = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 10, "interval": "delong 95%"}
    radii = [{"radius": 0.25, "certified_accuracy": figure}]
    record = {
        "clean": figure,
        "aggregates": {"worst_case": figure, "mce": None},
        "conditions": [{"condition": "fog-3", "accuracy": figure, "forwards": 3}],
        "detection": [{"condition": "knn", "groups": [{"group": "far", "name": "moon", "auroc": figure}]}],
        "certified": [{"condition": "smoothing", "radii": radii}],
        "objects": {"map": {**figure, "value": None}},
        "cost": {"seconds": figure},
    }
    (tmp_path / "summary.json").write_text(json.dumps(record))
    found = read_figures(str(tmp_path))
    assert list(found) == [
        "clean",
        "worst_case",
        "fog-3 accuracy",
        "smoothing radius 0.25 certified_accuracy",
        "knn moon auroc",
    ]
    assert found["knn moon auroc"] == TrendFigure(value=0.5, low=0.4, high=0.6, interval="delong 95%")
    record["conditions"] = [{"condition": f"c{i}", "accuracy": figure} for i in range(MOST_FIGURES + 9)]
    (tmp_path / "summary.json").write_text(json.dumps(record))
    assert len(read_figures(str(tmp_path))) == MOST_FIGURES


def test_points_stand_at_their_time_and_height():
    points = [
        point(2, 20, 0.75, 0.5, 1.0),
        point(1, 10, 0.25, 0.0, 0.5),
        point(3, 30, 0.5, 0.25, 0.75, plan="full"),
    ]
    plot = trend_plot("clean", points, points[1])
    quick, full, baseline = plot.traces
    assert [(p.x, p.y, p.low, p.high) for p in quick.points] == [(12, 75, 100, 50), (50, 25, 50, 0)]
    assert [(p.x, p.y, p.low, p.high) for p in full.points] == [(88, 50, 75, 25)]
    assert (quick.name, full.name, baseline.name) == ("quick", "full", "baseline r1")
    assert quick.whiskers
    assert (baseline.line, baseline.band) == ("0,75 100,75", "0,50 100,50 100,100 0,100")
    assert [(x, text) for x, text in plot.ticks] == [(12, "1970-01-11"), (50, "1970-01-21"), (88, "1970-01-31")]
    assert plot.text.startswith("r1: 25.00 % (0.00 to 50.00 %); r2: ")


def test_a_figure_stands_against_a_setting_of_the_runs(open_client, folder):
    for seed, eps, commit in ((4, "4/255", "ab" * 20), (9, "16/255", "cd" * 20 + "-dirty")):
        plan = [Entry(method="fog", severities=(3,)), Entry(method="pgd", eps=(eps,), params={"steps": 10 * seed})]
        options = {"plan": plan, "seed": seed, "model_name": "net a", "provenance": {"commit": commit}}
        write_report(write_run(folder / f"seed-{seed}", **options))
    ann = open_client(folder)
    runs = runs_of(ann.site)
    page = ann.get(f"/runs/{runs['a'].id}/model?figure=clean&x=eps")
    offered = re.findall(r"<option[^>]*>([^<]+)", page.partition('id="x"')[2].partition("</select>")[0])
    assert offered == ["time", "commit", "eps", "pgd eps", "pgd steps", "seed"]  # the severity of fog is that of all
    marks = [unescape(text) for text in re.findall(r"<title>([^<]+)", page)]
    assert [text.partition(":")[0] for text in marks[1:]] == ["seed-4, eps 4/255", "a, eps 8/255", "seed-9, eps 16/255"]
    (csv,) = re.findall(r'data-csv="([^"]+)"', page)
    rows = [line.split(",")[1:3] for line in unescape(csv).splitlines()[1:4]]
    assert [float(x) for x, _ in rows] == pytest.approx([4 / 255, 8 / 255, 16 / 255], abs=1e-6)
    assert re.findall(r"<td>([0-9/]+)</td>", page) != []
    take = f"/runs/{runs['seed-4'].id}/model?figure=clean&amp;x=eps"
    assert f'href="{take}"' in page
    page = ann.get(f"/runs/{runs['a'].id}/model?figure=clean&x=pgd+steps")
    assert "1 run without the setting" in page
    page = ann.get(f"/runs/{runs['a'].id}/model?figure=clean&x=commit")
    assert {"ababababa", "cdcdcdcdc-dirty"} <= set(re.findall(r"<td>([\w-]+)</td>", page))
    ann.get(f"/runs/{runs['a'].id}/model?x=none", 404)


def test_trainings_of_a_model_stand_against_their_epochs(open_client, tmp_path):
    figure = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 10, "interval": "clopper-pearson 95%"}
    for epochs in (5, 20):
        result = {"figures": {"held_robust": {**figure, "value": epochs / 40}}, "threat": {"norm": "linf", "eps": 0.1}}
        record = {
            "model": "small", "data": "demo", "data_fingerprint": "ab" * 16, "recipes": ["at:eps=8/255", 3, "a: b"],
            "training": {"epochs": epochs, "nesterov": True, "seed": 0, "milestones": [0.5]}, "result": result,
        }  # fmt: skip
        (tmp_path / f"runs/e{epochs}").mkdir(parents=True)
        (tmp_path / f"runs/e{epochs}/harden.json").write_text(json.dumps(record))
    ann = open_client(tmp_path / "runs")
    run = runs_of(ann.site)["e5"]
    assert json.loads(run.settings) == {"epochs": 5, "seed": 0, "eps": 0.1, "at eps": 8 / 255}
    page = ann.get(f"/runs/{run.id}/model?x=epochs")
    words = re.search(r'role="img" aria-label="([^"]+)"', page)[1]
    assert dict(re.findall(r"(\w+): ([\d.]+) %", words)) == {"e5": "12.50", "e20": "50.00"}
    assert "e5, epochs 5: 12.50 %" in page


def test_far_settings_have_a_logarithmic_axis_and_texts_stand_in_order():
    values = [(1, 1e-4), (2, 1e-3), (3, 1e-2)]
    plot = trend_plot("clean", [point(n, n, 0.5, 0.4, 0.6, at=at) for n, at in values], None, "lr")
    assert [p.x for p in plot.traces[0].points] == pytest.approx([12, 50, 88])
    assert ([text for _, text in plot.ticks], plot.axis) == (["0.0001", "0.001", "0.01"], "lr")
    near = trend_plot(
        "clean", [point(n, n, 0.5, 0.4, 0.6, at=at) for n, at in ((1, 1.0), (2, 2.0), (3, 5.0))], None, "k"
    )
    assert [p.x for p in near.traces[0].points] == pytest.approx([12, 31, 88])
    twice = [point(n, n, 0.5, 0.4, 0.6, at=at) for n, at in ((1, "b"), (2, "a"), (3, "b"))]
    plot = trend_plot("clean", twice, None, "commit")
    assert [(p.x, p.text.partition(":")[0]) for p in plot.traces[0].points] == [
        (12, "r1, commit b"), (12, "r3, commit b"), (88, "r2, commit a")
    ]  # fmt: skip
    assert plot.traces[0].line == ""


def test_values_that_are_no_shares_have_an_axis_of_their_own():
    plot = trend_plot("mce", [point(1, 1, 150.0, 100.0, 200.0, interval="bootstrap")], None)
    assert [text for _, text in plot.rows] == ["200", "150", "100", "50", "0"]
    assert [(p.x, p.y, p.low, p.high) for p in plot.traces[0].points] == [(50, 25, 50, 0)]
    assert [text for _, text in plot.ticks] == ["01-02 00:00"]
    assert plot.name == "mce"


@pytest.mark.parametrize(
    ("value", "low", "high"), [(5.0, None, None), (0.0, 0.0, 0.0), (-1e12, None, 1e12), (5e-324,) * 3]
)
def test_odd_values_are_drawn_inside_of_the_plot(value, low, high):
    for options in ({}, {"interval": ""}):
        plot = trend_plot("clean", [point(1, 1, value, low, high, **options)], None)
        (mark,) = plot.traces[0].points
        assert 0 <= mark.high <= mark.y <= mark.low <= 100
