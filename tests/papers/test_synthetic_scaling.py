"""The rule by hand, the pieces of the row, and its figures against rows."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

from tests.papers.tiny import Tiny, make_tints
from unshaken.core.errors import ParameterError
from unshaken.measure import fit_temperature
from unshaken.papers import run_paper
from unshaken.papers.claim import judge_parts
from unshaken.papers.datasets import Split
from unshaken.papers.rows import Rows
from unshaken.store.run_dir import RunDir
from unshaken_papers.synthetic_scaling import SyntheticScalingPaper
from unshaken_papers.synthetic_scaling.experiment import fit_generator, generate, joined
from unshaken_papers.synthetic_scaling.figures import recognised

TINY = Tiny(
    make=partial(make_tints, brighter=15),
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


MEASURED = {
    "less": {"generated-t50": figure(0.1), "generated-t100": figure(0.02)},
    "guidance": figure(0.05),
    "correlation": figure(0.5),
    "gain": {"few": figure(0.03), "many": figure(0.0), "less": figure(0.03)},
}


def outcomes(measured):
    paper = SyntheticScalingPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown():
    found = outcomes(MEASURED)
    assert {name for name, outcome in found.items() if outcome == "not tried"} == {"shift", "clip"}
    assert {*found.values()} == {"not tried", "shown"}


@pytest.mark.parametrize(
    ("path", "hidden", "opposed", "part"),
    [
        (("less", "generated-t100"), 0.005, -0.02, "smaller-exponent"),
        (("guidance",), 0.005, -0.02, "guidance"),
        (("correlation",), 0.005, -0.02, "poor-concepts"),
        (("gain", "few"), 0.015, -0.02, "few-real"),
        (("gain", "less"), 0.005, -0.02, "many-real"),
    ],
)
def test_one_figure_decides_a_part(path, hidden, opposed, part):
    for value, outcome in ((hidden, "not visible at this scale"), (opposed, "contradicted")):
        measured = place = copy.deepcopy(MEASURED)
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = figure(value)
        assert outcomes(measured)[part] == outcome


def test_sets_are_nested_and_the_last_classes_are_poorly_learned():
    pixels = torch.randint(0, 256, (300, 1, 4, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    data = Split.of(pixels, torch.arange(300) % 3)
    small = SyntheticScalingPaper(sizes=(6, 12), components=30, clusters=1)
    generator = fit_generator(small, data, 0)
    directions = generator.basis.square().sum(2).gt(0).sum(1)
    assert directions.tolist() == [16, 16, 16]  # of 100, 20 and 20 images with 16 pixels
    for k, count in ((0, 100), (2, 20)):
        mean = data.images[data.labels == k][:count].flatten(1).float().mean(0) / 127.5 - 1
        assert torch.allclose(generator.mean[k], mean, atol=1e-5)
    large = generate(generator, small, 100, data, 5)
    assert torch.equal(large.first(6).labels, torch.tensor([0, 1, 2, 0, 1, 2]))
    few = SyntheticScalingPaper(sizes=(3, 6))
    assert torch.equal(generate(generator, few, 100, data, 5).images, large.first(6).images)
    both = joined(data.first(4), large)
    assert (len(both), both.classes) == (16, 3)
    assert torch.equal(both.images[4:], large.images)


def test_figures_are_those_of_the_rows(finished):
    """The exponent of one source, from the logits of the rows and the temperature of the choosing ones."""
    run = finished("synthetic-scaling")
    measured = run.result.measured
    table = RunDir(run.out).rows("outcomes")
    found = []
    for size in (16, 48):
        parts = {}
        for part in ("choosing", "test"):
            rows = table.filter(pc.equal(table["condition"], f"seed0.generated-t50-{size}.{part}"))
            parts[part] = np.array(rows["logits"].to_pylist()), np.array(rows["label"].to_pylist())
        fitted = fit_temperature(*parts["choosing"])
        scaled = parts["test"][0] / (fitted.value if fitted.inside else 1)
        logs = scaled - np.log(np.exp(scaled - scaled.max(1, keepdims=True)).sum(1, keepdims=True))
        own = logs[np.arange(len(scaled)), parts["test"][1]] - scaled.max(1)
        found.append(-own.mean())
    slope = -np.log(found[1] / found[0]) / np.log(3)
    assert measured["seed0.generated-t50.exponent"]["value"] == pytest.approx(slope, rel=1e-6)
    gaps = [
        measured[f"seed{s}.real.exponent"]["value"] - measured[f"seed{s}.generated-t50.exponent"]["value"]
        for s in (0, 1)
    ]
    assert measured["less.generated-t50"]["value"] == pytest.approx(np.mean(gaps))
    for name in ("exponent.real", "less.generated-t50", "guidance", "gain.few"):
        assert measured[name]["interval"] == "student 95% over 2 seeds and 30 samples"
    assert measured["correlation"]["interval"] == "student 95% over seeds"


def test_classes_are_correlated_on_other_test_images_in_each_seed(finished):
    run = finished("synthetic-scaling")
    rows = Rows(RunDir(run.out), "synthetic-scaling", 0).within("seed0")
    paper = SyntheticScalingPaper(sizes=(16, 48), temperatures=(50, 100))
    losses = np.random.default_rng(0).uniform(0.5, 1, (2, 30))
    (first, _), (second, _) = (recognised(paper, rows, losses, slice(i, None, 2)) for i in (0, 1))
    losses[:, ::2] = losses[:, ::2] ** 2
    assert recognised(paper, rows, losses, slice(1, None, 2))[0] == second
    assert recognised(paper, rows, losses, slice(0, None, 2))[0] != first


def test_sizes_must_rise(tmp_path):
    with pytest.raises(ParameterError, match="must rise"):
        run_paper("synthetic-scaling:sizes=20+10,seeds=1", data="demo", out=tmp_path / "row")
