"""The part of the page on filters: cells against rows, the heat map against the drift, and what is absent."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.data.arrays import InMemory
from unshaken.explain.engine.analysis import Subject
from unshaken.explain.engine.rows import table_rows
from unshaken.explain.filters.filter_drift import FilterDrift
from unshaken.explain.filters.filter_quality import FilterQuality
from unshaken.report.blocks import Page, Table
from unshaken.report.drawings import Plots
from unshaken.report.pages.explained.filters import blocks
from unshaken.report.render.html import render_html
from unshaken.report.render.markdown import render_markdown
from unshaken.store.run_dir import RunDir
from unshaken.store.tensor_file import TensorFile


def classifier(seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Classifier(nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 40, 3), nn.Conv2d(40, 4, 3)))


@pytest.fixture
def shown(tmp_path):
    """The blocks of an analysis of some nets, and its findings."""

    def make(analysis, models):
        data = InMemory(torch.arange(3 * 144).view(3, 1, 12, 12).byte(), torch.zeros(3, dtype=torch.int64))
        found = analysis.find(Subject(models, data, range(3)))
        run = RunDir(tmp_path)
        run.write_rows(table_rows(analysis.table, "x", analysis.info.name, found.rows), analysis.table, "x", 0)
        run.write_tensors(TensorFile(found.arrays), "arrays", "x.safetensors")
        record = {"method": analysis.info.name, "table": analysis.table, "extra": dict(found.extra)}
        made = blocks(run, "x", record)
        html = render_html(Page("t", tuple(made)))
        assert "net <b>" not in html
        assert len(render_markdown(Page("t", tuple(made)))) > 100
        return made, found

    return make


def tables(made):
    return [b for b in made if isinstance(b, Table)]


def text(cell):
    return cell if isinstance(cell, str) else cell.text


def test_quality_has_a_row_a_layer_and_a_plot(shown):
    model = classifier(0)
    model.net[2].weight.data[:] = torch.nan
    made, found = shown(FilterQuality(), {"net <b>": model})
    rows = tables(made)[0].rows
    assert [text(r[0]) for r in rows] == ["0", "1", "2"]
    assert text(rows[1][3]) == f"{found.rows['entropy'][1]:.3f}"
    assert rows[1][3].note == f"random {found.rows['random_entropy'][1]:.3f}"
    assert rows[0][3].note == ""  # the threshold of a single filter is below 0
    assert text(rows[0][4]) == ""  # one channel has no orthogonality
    assert text(rows[2][6]) == "its weights are infinite or not a number"
    plot = next(b for b in made if isinstance(b, Plots)).plots[0]
    assert [len(t.points) for t in plot.traces] == [2, 1]


def test_the_heat_map_is_the_drift_with_its_floor_on_the_diagonal(shown):
    models = {"net <b>": classifier(0), "b": classifier(1)}
    made, found = shown(FilterDrift(resamples=20), models)
    table = tables(made)[0]
    drift = found.arrays["drift"]
    halves = found.rows["value"][-2:]
    assert table.kind == "matrix"
    assert [text(c) for c in table.rows[0][1:]] == [f"{halves[0]:.3f}", f"{drift[0, 1]:.3f}"]
    assert table.rows[1][1].heat == pytest.approx(float(drift[0, 1]) / max(float(drift.max()), *halves))
