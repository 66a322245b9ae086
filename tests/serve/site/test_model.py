"""The page of a model: its runs, and a figure of them against time."""

from __future__ import annotations

import json
import os
import re
import shutil

import pytest

from tests.report.conftest import write_run
from tests.serve.site.conftest import PLAN, runs_of
from unshaken.report import write_report
from unshaken.serve.site.listing import ListedRun
from unshaken.serve.site.trend import MOST_FIGURES, TrendFigure, TrendPoint, read_figures, trend_plot

DAY = 86400.0
SHARE = {"interval": "clopper-pearson 95%"}


def point(number, days, value, low, high, *, plan="quick", **options):
    values = {"modified": days * DAY, "name": f"r{number}", "plan": plan, "kind": "audit"}
    figure = TrendFigure.model_validate({"value": value, "low": low, "high": high, **SHARE, **options})
    return TrendPoint(ListedRun(number, values), figure)


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
