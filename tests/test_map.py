"""A map of a run's images: its places against numpy's, what is kept and made again, and what is refused."""

from __future__ import annotations

import base64
import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from unshaken import api
from unshaken.cli.results import ask
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, MissingExtra, ModelError, ParameterError, RunError
from unshaken.data.sample_metadata import read_metadata
from unshaken.report.blocks import Page
from unshaken.report.drawings import PointMap
from unshaken.report.figures.map import STEPS, pack_map
from unshaken.report.read.frame import read_frame
from unshaken.report.read.map import read_map
from unshaken.report.render.html import render_html
from unshaken.store.config import read_config

N = 40
IMAGES = torch.randint(256, (N, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
LABELS = torch.arange(N) % 3


def make_net(seed=0):
    torch.manual_seed(seed)
    return Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 3)), classes="abc")


@pytest.fixture
def mapped(tmp_path):
    net = make_net()
    plan = [{"method": "fog", "severities": [1]}]
    done = api.audit(net, (IMAGES, LABELS), plan, out=str(tmp_path / "run"), slices=["class"], save_examples=2)
    return done.run, net


def map_again(run, net, **options):
    return api.map_of(run, model=net, data=(IMAGES, LABELS), **options)


def data_of(run):
    text = re.search(r'<script type="application/json">(.*?)</script>', run.read("report.html").decode(), re.DOTALL)
    return json.loads(text[1])


def test_places_are_those_of_the_features_of_all_images(mapped):
    run, net = mapped
    map_again(run, net, batch_size=7)
    with torch.no_grad():
        features = net.net[:3](IMAGES.float() / 255).double().numpy()
    centred = features - features.mean(0)
    _, values, right = np.linalg.svd(centred, full_matrices=False)
    _, rows = ask(run, "select x, y from map join outcomes using (id) where condition = 'clean' order by id")
    wanted = centred @ right[:2].T
    order = np.argsort([str(i) for i in read_config(run).ids])
    assert np.abs(rows) == pytest.approx(np.abs(wanted[order]), abs=1e-4)
    assert run.read_json("map.json")["shares"] == pytest.approx((values**2 / np.sum(values**2))[:2], abs=1e-5)
    assert ask(run, "select count(*), min(layer), min(len(features)) from embeddings")[1] == [(N, "3:in", 6)]


def test_a_second_call_asks_the_model_nothing_and_another_layer_does(mapped, monkeypatch):
    run, net = mapped
    map_again(run, net)
    before = ask(run, "select * from map order by id")
    asked = []
    net.net.register_forward_hook(lambda *_: asked.append(1))
    map_again(run, net, layer="3:in")
    assert not asked
    assert ask(run, "select * from map order by id") == before
    map_again(run, net, layer="1")
    assert asked
    assert run.read_json("map.json")["layer"] == "1"


def test_the_report_draws_all_points_or_some_and_says_so(mapped):
    run, net = mapped
    map_again(run, net)
    data = data_of(run)
    assert data["total"] == len(data["ids"]) == N
    assert data["rest"] == []
    assert data["columns"][0]["parts"] == ["0", "1", "2"]
    assert [c["id"] for c in data["conditions"]] == ["clean", "fog-1"]
    assert len(data["pictures"]) >= 2
    page = map_again(run, net, points=10)
    assert "10 of 40 points, drawn at random" in run.read("report.html").decode()
    few = data_of(run)
    assert len(few["ids"]) == 10
    assert sorted(few["ids"] + few["rest"]) == sorted(data["ids"])
    assert [h for h in page.page.blocks if getattr(h, "anchor", "") == "map"]


def test_both_axes_have_one_scale_and_reach_the_ends(mapped):
    run, net = mapped
    map_again(run, net)
    config = read_config(run)
    frame = read_frame(run, config)
    found = read_map(run, frame, seed=config.seed)
    data = json.loads(pack_map(run, config, frame, found))
    (one,) = data["projections"]
    unit = np.stack([np.frombuffer(base64.b64decode(one[k]), "<u2") for k in "xy"], 1) / STEPS
    place = found.places["pca"]
    spread = np.ptp(place, 0)
    assert np.ptp(unit, 0) == pytest.approx(spread / spread.max(), abs=1e-4)


def test_umap_is_given_the_axes_and_the_seed(mapped, monkeypatch):
    run, net = mapped
    given = {}

    class Umap:
        def __init__(self, **options):
            given.update(options)

        def fit_transform(self, places):
            return places[:, ::-1][:, :2] + 1

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Umap))
    map_again(run, net, umap=True)
    assert given == {"n_components": 2, "random_state": 0, "n_jobs": 1}
    assert [one["name"] for one in data_of(run)["projections"]] == ["pca", "umap"]
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtra, match=r"unshaken\[umap\]"):
        map_again(run, net, umap=True)


def test_what_is_wrong_is_said_in_a_line(mapped, tmp_path):
    run, net = mapped
    with pytest.raises(RunError, match="of another model"):
        map_again(run, make_net(1))
    with pytest.raises(DataError, match="lacks 20 of the run's 40 samples"):
        api.map_of(run, model=net, data=(IMAGES[:20], LABELS[:20]))
    with pytest.raises(ModelError, match="no layer 'fc'"):
        map_again(run, net, layer="fc")
    with pytest.raises(ParameterError, match="points"):
        map_again(run, net, points=0)
    with pytest.raises(RunError, match="not a run directory"):
        api.map_of(tmp_path / "nothing")


@pytest.mark.browser
def test_in_a_browser_a_choice_says_how_it_differs_and_its_file_is_a_column(mapped, browser, tmp_path):
    from tests.serve.browsing import barriers_of
    from unshaken.measure.statistics.paired import newcombe

    run, net = mapped
    map_again(run, net, points=30)
    troubles = []
    for width, scheme in ((1280, "light"), (390, "dark")):
        tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        tab.on("pageerror", lambda error: troubles.append(str(error)))
        tab.on("console", lambda message: troubles.append(message.text))
        tab.goto("file://" + run.at("report.html"))
        tab.evaluate("document.querySelector('[data-map]').closest('details').open = true")
        figure = tab.locator("[data-map]")
        figure.get_by_label("Colour by").select_option("label")
        figure.get_by_role("button", name="Choose a").focus()
        tab.keyboard.press("Enter")
        codes = np.array([0 if i == "a" else 1 for i in "abc"])[LABELS]
        chosen = [i for i in data_of(run)["ids"] if codes[read_config(run).ids.index(i)] == 0]
        assert f"{len(chosen)} images chosen of 30" in figure.get_by_role("status").inner_text()
        assert barriers_of(tab) == []
        text = figure.evaluate("(one) => one.map.csv('island')")
        (tmp_path / "island.csv").write_text(text)
        column = read_metadata(tmp_path / "island.csv", read_config(run).ids)["island"]
        assert {i for i, v in zip(read_config(run).ids, column, strict=True) if v == "in"} == set(chosen)
        assert sum(v is None for v in column) == 10
        wanted = newcombe((7, 48), (20, 80))
        got = figure.evaluate("(one) => one.map.newcombe(7, 20, 48, 80)")
        assert got == pytest.approx([wanted.value, wanted.low, wanted.high])
        canvas = figure.locator("canvas")
        canvas.focus()
        for key in ("+", "ArrowLeft", "0"):
            tab.keyboard.press(key)
        figure.get_by_role("button", name="Choose what is in view").press("Enter")
        assert "30 images chosen" in figure.get_by_role("status").inner_text()
        tab.close()
    assert troubles == []


@pytest.mark.long
@pytest.mark.browser
def test_fifty_thousand_points_are_drawn_within_50_milliseconds(browser, tmp_path):
    n, rng = 50_000, np.random.default_rng(0)

    def pack(values, kind):
        return base64.b64encode(values.astype(kind).tobytes()).decode()

    label = rng.integers(0, 10, n)
    places = {k: pack(rng.integers(0, STEPS + 1, n), "<u2") for k in "xy"}
    data = {
        "total": n, "samples": n, "ids": [f"{i}.png" for i in range(n)], "rest": [], "columns": [], "pictures": {},
        "classes": list("abcdefghij"), "labelled": True, "label": pack(label, "<i2"), "confidence": pack(label, "<i2"),
        "projections": [{"name": "pca", "title": "principal axes", "shares": [0.5, 0.2], **places}],
        "conditions": [{"id": "clean", "title": "unchanged images"}], "predicted": pack(label, "<i2"),
        "right": pack(label > 0, "<u1"), "numbers": pack(np.arange(n), "<i4"),
    }  # fmt: skip
    page = render_html(Page("map", (PointMap("50,000 points", json.dumps(data)),)))
    (tmp_path / "map.html").write_text(page)
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.goto(f"file://{tmp_path}/map.html")
    figure = tab.locator("[data-map]")
    figure.get_by_label("Colour by").select_option("label")
    took = figure.evaluate(
        """(one) => [...Array(20)].map(() => { const began = performance.now(); one.map.paint();
        return performance.now() - began; })"""
    )
    assert min(took) < 50, took
    figure.get_by_role("button", name="Choose a", exact=True).click()
    assert f"{int((label == 0).sum()):,} images chosen of 50,000" in figure.get_by_role("status").inner_text()
    tab.close()
