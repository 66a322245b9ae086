"""The part of the page on geometry: plots and tables against rows, the closest pair, and quantities without a value."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.data.arrays import InMemory
from unshaken.explain.engine.analysis import Subject
from unshaken.explain.engine.rows import table_rows
from unshaken.explain.geometry.label_sharpness import LabelSharpness
from unshaken.explain.geometry.representation_dimension import RepresentationDimension
from unshaken.report.blocks import Page, Table
from unshaken.report.cells import heat_matrix
from unshaken.report.drawings import Gallery, Plots
from unshaken.report.figures.plots import Series, layer_plot
from unshaken.report.pages.explained.geometry import blocks
from unshaken.report.render.html import render_html
from unshaken.report.render.markdown import render_markdown
from unshaken.store.run_dir import RunDir
from unshaken.store.tensor_file import TensorFile

N = 60
IMAGES = torch.randint(0, 256, (N, 1, 6, 6), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@pytest.fixture
def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Classifier(nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 2)))


@pytest.fixture
def shown(tmp_path):
    """The blocks of an analysis of images, and its findings."""

    def make(analysis, images=IMAGES, models=None):
        data = InMemory(images, torch.arange(N) % 2, ids=[f"i{k}" for k in range(N)], classes=("cat <b>", "dog"))
        found = analysis.find(Subject(models or {}, data, range(N)))
        run = RunDir(tmp_path)
        run.write_rows(table_rows(analysis.table, "x", analysis.info.name, found.rows), analysis.table, "x", 0)
        if found.arrays:
            run.write_tensors(TensorFile(found.arrays), "arrays", "x.safetensors")
        record = {"method": analysis.info.name, "table": analysis.table, "extra": dict(found.extra)}
        made = blocks(run, "x", record)
        assert "cat <b>" not in render_html(Page("t", tuple(made)))
        render_markdown(Page("t", tuple(made)))
        return made, found

    return make


def test_the_closest_pair_is_shown_and_the_classes_compared(shown):
    made, found = shown(LabelSharpness(draws=2))
    gallery = next(b for b in made if isinstance(b, Gallery))
    assert [e.lines[1].text for e in gallery.exhibits] == found.extra["pair"]
    assert {e.lines[0].text for e in gallery.exhibits} == {"cat <b>", "dog"}
    matrix = next(b for b in made if isinstance(b, Table))
    assert matrix.rows[0][2].text == f"{found.rows['value'][0]:.2f}"
    assert matrix.rows[0][1].text == ""


def test_an_infinite_sharpness_is_said_with_its_reason(shown):
    images = IMAGES.clone()
    images[1] = images[0]
    made, _ = shown(LabelSharpness(draws=2), images)
    missing, matrix = (b for b in made if isinstance(b, Table))
    assert "'i0' and 'i1' are equal" in missing.rows[0][1]
    assert matrix.rows[0][2].text == "∞"


def test_dimension_by_layer_is_a_plot_with_bands_and_a_table(shown, model):
    made, found = shown(RepresentationDimension(draws=2), models={"net": model})
    plot = next(b for b in made if isinstance(b, Plots)).plots[0]
    assert [t.name for t in plot.traces] == ["dimension twonn", "dimension mle"]
    assert all(t.band for t in plot.traces)
    assert [p.x for p in plot.traces[0].points] == sorted(100 * d for d in set(found.rows["depth"]))
    table = next(b for b in made if isinstance(b, Table))
    assert [r[0] for r in table.rows] == ["pixels", "0", "3:in"]
    assert table.rows[0][1].text == f"{found.rows['value'][0]:.3g}"


def test_a_layer_without_a_dimension_has_the_reason(shown, model):
    model.net[0].weight.data[:] = 0
    made, _ = shown(RepresentationDimension(draws=2), models={"net": model})
    table = next(b for b in made if isinstance(b, Table))
    assert "every point has a duplicate" in table.rows[1][1].note


def test_a_plot_of_layers_by_hand():
    plot = layer_plot("p", [Series("s", [(1.0, 2.0, None, None, "b"), (0.0, 4.0, 3.0, None, "a")])])
    assert [(p.x, p.y) for p in plot.traces[0].points] == [(0.0, 0.0), (100.0, 50.0)]
    assert plot.text == "s: a 4, b 2"


def test_a_matrix_of_nothing_but_zeros_has_no_colour():
    table = heat_matrix("c", ["a"], [[0.0]])
    assert table.rows[0][1].heat == 0


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_a_matrix_of_many_classes_scrolls_inside_the_page(width, browser):
    names = [f"a class {i}" for i in range(14)]
    table = heat_matrix("c", names, [[math.nan if i == j else 0.5 for j in range(14)] for i in range(14)])
    tab = browser.new_page(viewport={"width": width, "height": 800})
    tab.set_content(render_html(Page("t", (table,))))
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.close()
