"""The part of the page on biases: bars and counts against rows, differences, pictures, and what is absent."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.explain.biases.conftest import Reads, discs, one_hot
from unshaken.core.classifier import Classifier
from unshaken.data.arrays import InMemory
from unshaken.explain.biases.background_reliance import BackgroundReliance
from unshaken.explain.biases.concept_level import ConceptLevel
from unshaken.explain.biases.cue_conflict import CueConflict
from unshaken.explain.biases.distortions import Distortions
from unshaken.explain.biases.frequency_bias import FrequencyBias
from unshaken.explain.biases.input_kinds import InputKinds
from unshaken.explain.biases.smoothness import Smoothness
from unshaken.explain.engine.analysis import Subject
from unshaken.report.blocks import Block, Page, Table, walk
from unshaken.report.drawings import Gallery, Strips
from unshaken.report.pages.explained.biases import blocks
from unshaken.report.render.html import render_html
from unshaken.report.render.markdown import render_markdown
from unshaken.store.run_dir import RunDir
from unshaken.store.tensor_file import TensorFile

NAMES = ("first <b>", "second")


@pytest.fixture
def shown(tmp_path):
    """The blocks of an analysis of one or two nets, and its findings."""

    def make(analysis, models) -> tuple[list[Block], object]:
        images, labels = discs()
        data = InMemory(images.mul(255).byte(), labels, classes=("a", "b", "c"))
        found = analysis.find(Subject(models, data, range(12), batch=5))
        run = RunDir(tmp_path)
        if found.arrays:
            run.write_tensors(TensorFile(found.arrays), "arrays", "x.safetensors")
        record = {"extra": dict(found.extra), "figures": {k: f.to_json() for k, f in found.figures.items()}}
        made = blocks(run, "x", record)
        page = Page("t", tuple(made))
        assert "first <b>" not in render_html(page)
        assert len(render_markdown(page)) > 100
        return made, found

    return make


def constant(c):
    return Classifier(Reads(lambda x: one_hot(torch.full((len(x),), c))), classes=("a", "b", "c"))


def by_darkness(x):
    area = (x.mean(1) < 0.5).sum((1, 2)).float()
    return one_hot((((area / torch.pi).sqrt() - 2) / 2).round().clamp(0, 2).long())


def tables(made):
    return [b for b in walk(made) if isinstance(b, Table)]


def test_bars_of_cues_are_the_shares_of_the_rows(shown):
    models = {NAMES[0]: constant(0), NAMES[1]: constant(1)}
    made, found = shown(CueConflict(recipe="gratings"), models)
    whole, by_class = tables(made)
    assert [c.title for c in by_class.columns] == ["class of outline", *NAMES]
    rows = found.rows
    for line in by_class.rows:
        for model, cell in zip(NAMES, line[1:], strict=True):
            place = ("a", "b", "c").index(line[0])
            own = [
                (f, s, p)
                for m, f, s, p in zip(
                    rows["model"], rows["first_cue"], rows["second_cue"], rows["prediction"], strict=True
                )
                if (m, f) == (model, place)
            ]
            counts = [sum(p == f for f, _, p in own), sum(p == s for _, s, p in own)]
            assert cell.note == f"{counts[0]}, {counts[1]}, {len(own) - sum(counts)}"
            assert cell.bar == (counts[0] / sum(counts) if sum(counts) else None)
    assert [line[0] for line in whole.rows] == list(NAMES)
    assert len(whole.columns) == 5
    (gallery,) = (b for b in walk(made) if isinstance(b, Gallery))
    assert len(gallery.exhibits[0].pictures) == 6
    assert gallery.pixels


def test_one_model_has_no_difference(shown):
    made, _ = shown(FrequencyBias(radii="2"), {NAMES[1]: constant(0)})
    assert len(tables(made)[0].columns) == 4
    assert [line[0].text for line in tables(made)[2].rows] == ["low-pass-2", "high-pass-2"]


def test_distortions_stand_with_words_bars_and_paired_differences(shown):
    model = Classifier(Reads(by_darkness), classes=("a", "b", "c"))
    made, found = shown(Distortions(distortions="scramble-2+noise-0.2"), {NAMES[0]: model, NAMES[1]: model})
    (table,) = tables(made)
    assert [line[0].text for line in table.rows] == ["scramble-2", "noise-0.2"]
    assert table.rows[0][0].note == "2 x 2 tiles in another order"
    assert table.rows[1][2].bar == found.figures["accuracy.second.noise-0.2"].value
    assert table.rows[1][3].text == "+0.0"
    (strips,) = (b for b in walk(made) if isinstance(b, Strips))
    assert [(s.name, s.lanes[0].dots[0].x, s.lanes[0].tone) for s in strips.strips] == [
        ("scramble-2", 50, "level"),
        ("noise-0.2", 50, "level"),
    ]
    (gallery,) = (b for b in walk(made) if isinstance(b, Gallery))
    assert [e.lines[0] for e in gallery.exhibits] == ["clean", "scramble-2", "noise-0.2"]


def test_gaps_of_backgrounds_have_a_table(shown):
    model = Classifier(Reads(by_darkness), classes=("a", "b", "c"))
    made, found = shown(BackgroundReliance(), {NAMES[1]: model})
    accuracy, gap = tables(made)
    assert len(accuracy.rows) == 5
    assert gap.rows[0][1].text == f"{100 * found.figures['gap.second'].value:+.1f}"


def test_simplicity_by_layer(shown):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3)
    )
    models = {name: Classifier(net, classes=("a", "b", "c")).eval() for name in NAMES}
    made, found = shown(Smoothness(), models)
    kernels, ratios = tables(made)
    assert [line[0] for line in ratios.rows] == ["0", "2"]
    assert ratios.rows[0][1] == ratios.rows[0][2]
    assert float(ratios.rows[1][1].text) == pytest.approx(found.figures["tv_ratio.second.2"].value, rel=0.01)
    assert len(kernels.rows) == 2
    made, found = shown(InputKinds(k=4), models)
    (kinds,) = tables(made)
    assert [line[0].text for line in kinds.rows] == ["2: classes", "2: class-entropy"]
    assert float(kinds.rows[0][1].text) == pytest.approx(found.figures["classes.second.2"].value, rel=0.01)


def test_detectors_by_category(shown):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    made, found = shown(ConceptLevel(images=30, layers="0"), {NAMES[1]: Classifier(net).eval()})
    (table,) = tables(made)
    counts = found.extra["detectors"]["second"]["0"]
    assert table.rows[0][:4] == ("second: 0", *map(str, counts.values()))


def test_without_examples_there_are_no_pictures(tmp_path):
    counts = {"counts": {"m": [1, 1, 0]}, "by_class": {"m": {"a": [1, 1, 0]}}}
    figure = {"value": 0.5, "low": 0.1, "high": 0.9, "n": 2, "interval": "by hand"}
    record = {
        "extra": {"cues": ("x", "y"), "models": ["m"], "stimuli": {"x": ["1"]}, **counts},
        "figures": {"bias.m": figure},
    }
    made = blocks(RunDir(tmp_path), "x", record)
    assert not any(isinstance(b, Gallery) for b in walk(made))
    assert np.isclose(tables(made)[1].rows[0][1].bar, 0.5)
