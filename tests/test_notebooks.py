"""Every result that a public function gives shows itself in a notebook."""

from __future__ import annotations

import importlib
import inspect
import re
import typing
from pathlib import Path

import pytest
import torch

import unshaken
from tests.report.conftest import CONTRAST
from unshaken.core.notebook import card
from unshaken.detect.engine.export import ExportResult
from unshaken.detect.engine.latency import Latency
from unshaken.explain import attribute
from unshaken.generate.fill import GeneratedSet
from unshaken.generate.fitting import TrainedModel
from unshaken.generate.rows import Throughput
from unshaken.report.blocks import (
    Column,
    Doubt,
    Flags,
    Heading,
    Headline,
    Notice,
    Page,
    Prose,
    Span,
    Table,
    Tile,
    Tiles,
)
from unshaken.report.render.notebook import render_notebook

ROOMS = ("", ".api", ".detect", ".explain", ".generate", ".harden", ".labels", ".tasks.ranking")
NO_RESULTS = {
    *("Dataset", "Classifier", "RunDir", "Generator", "Method", "Diffusion", "Case", "Figure"),
    *("Collection", "Ranking", "SentenceEncoder", "HashedPieces", "Synset"),
    *("BoxScores", "MaskScores", "MultiLabelScores"),
}
"""Inputs, parts and arrays by name, which a notebook shows as Python does."""


def results() -> dict[str, type]:
    """The classes of this package that public functions return, by name."""
    found = {}
    for room in ROOMS:
        module = importlib.import_module(f"unshaken{room}")
        for name in module.__all__:
            if inspect.isfunction(value := getattr(module, name)):
                returned = typing.get_type_hints(value).get("return")
                parts = {typing.get_origin(c) or c for c in (returned, *typing.get_args(returned))}
                found |= {c.__name__: c for c in parts if inspect.isclass(c) and c.__module__.startswith("unshaken.")}
    return found


def test_every_result_has_a_card():
    found = results()
    assert len(found) > 20
    assert [n for n, c in found.items() if n not in NO_RESULTS and not hasattr(c, "_repr_html_")] == []
    assert set(found) >= NO_RESULTS


def test_a_result_with_a_page_shows_its_first_screen():
    flag = Doubt("flat", "why", "meaning", "advice", ("a",))
    notice = Notice(("2 of 3 gates failed: ", Span("<x>", "code")), "gates")
    first = Headline("Is it robust?", ("It is 74.0 % (70.1 to 77.9 %).",), (notice,), ("a line",), "audit --limit 500")
    tiles = Tiles((Tile("under attack", "3.1 %", "1.2 to 5.0 %", bad=True),))
    table = Table("Figures", (Column("n"),), tuple((str(i),) for i in range(50)), brief=True)
    rest = (Heading("Rest", "rest"), Prose("not here"), Flags((flag,), brief=True), table)
    shown = render_notebook(Page("Report", (first, tiles, *rest)), "runs/a/report.html")
    order = (
        "Is it robust?",
        "It is 74.0",
        "a line",
        "Next:",
        "2 of 3 gates failed: &lt;x&gt;",
        "3.1",
        "1.2 to 5.0",
        "advice",
    )
    places = [shown.index(text) for text in order]
    assert places == sorted(places)
    assert "10 more rows in the report" in shown
    assert "runs/a/report.html" in shown
    assert "not here" not in shown
    assert "href" not in shown


def test_a_card_needs_no_file_and_is_light_and_dark():
    text = card("<p>x</p>")
    assert not re.search(r"https?:|url\(|@import|<script|src=", text)
    assert "prefers-color-scheme:dark" in text
    assert "data-jp-theme-light=false" in text


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "ground"), [("light", "#fff"), ("dark", "#111")])
def test_a_card_is_read_in_both_schemes(browser, scheme, ground):
    flags = Flags((Doubt("flat", "why", "meaning", "advice"),), brief=True)
    lead = ("It is ", Span("bad", "bad"), " and ", Span("good", "good"))
    shown = render_notebook(Page("Report", (Headline("Title", (lead,), (Notice("doubt", "x"),)), flags)))
    tab = browser.new_page(color_scheme=scheme)
    ink = "#eee" if scheme == "dark" else "#111"
    tab.set_content(f'<body style="background:{ground};color:{ink}">{shown}</body>')
    assert tab.evaluate(CONTRAST) == []
    tab.close()


def test_cards_say_what_the_results_hold():
    images, labels = torch.rand(3, 1, 28, 28), torch.tensor([0, 1, 1])
    shown = [
        (Latency(5e-4, 1e-3, {"knn": 2e-4}, (1.9, 2.1), 8), ("take 2.00 times", "0.5 ms an image")),
        (
            ExportResult(Path("a.onnx"), {"knn": 0.25}, {"vim": "no graph"}),
            ("threshold of knn</dt><dd>0.25", "not vim</dt><dd>no graph"),
        ),
        (
            GeneratedSet(images, labels, (0, 1, 2), (None,) * 3, 5, {"flat": 2}, (), Throughput(5, 1.0, None, "cpu")),
            ("3 generated images of 2 classes", "drawn again: flat</dt><dd>2"),
        ),
        (TrainedModel(object(), (1.0, 0.5)), ("last loss</dt><dd>0.5",)),
        (attribute(unshaken.load_model("demo"), images, "gradient"), ("3 maps of 28 x 28 pixels",)),
    ]
    assert [text for result, texts in shown for text in texts if text not in result._repr_html_()] == []


def test_results_with_a_page_show_its_brief_parts(tmp_path):
    explained = unshaken.explain("demo", "demo", "gradient", limit=8, out=tmp_path / "explained", device="cpu")
    html = explained._repr_html_()
    assert html.startswith("<style>")
    assert "8 samples of demo" in html
    assert "explained/report.html" in html
