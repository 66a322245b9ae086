"""The rules by hand, the row's own pieces, and figures against rows."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from tests.papers.tiny import Tiny, make_tints
from unshaken.papers.claim import judge_parts
from unshaken.papers.datasets import Split
from unshaken.papers.effects import Nested
from unshaken.papers.run import flat
from unshaken.store.run_dir import RunDir
from unshaken_papers.shape_simplicity_bias import ShapeSimplicityPaper, experiment
from unshaken_papers.shape_simplicity_bias.experiment import outlines_of, with_gratings

TINY = Tiny(
    make=make_tints,
    parameters={"garments": "parquet:{folder}/tints.parquet"},
    patches={"unshaken_papers.shape_simplicity_bias.experiment.GARMENTS": (0, 1, 2)},
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half, "n": 3, "interval": "by hand"}


def conflict(amplitude, difference, cues=0.7):
    nets = {net: {"cue_share": figure(cues)} for net in ("plain", "robust")}
    return {"amplitude": amplitude, **nets, "difference": figure(difference)}


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown, some of them barely."""
    names = ("low_frequency", "noise", "tv_ratio", "kernel_tv", "low_level", "distance", "scrambled")
    seeds = {f"seed{i}": {"chosen": conflict(8, 0.311), "strong": conflict(16, 0.011)} for i in range(3)}
    return {**seeds, "gain": {name: figure(0.011) for name in names}}


def outcomes(measured):
    paper = ShapeSimplicityPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert {name for name, outcome in found.items() if outcome == "not tried"} == {"stylised"}
    assert {*found.values()} == {"not tried", "shown"}
    assert outcomes(Nested(flat(measured))) == found


@pytest.mark.parametrize(
    ("part", "path", "hidden", "opposed"),
    [
        ("shape", ("seed1", "chosen", "difference"), 0.309, -0.011),
        ("shape", ("seed2", "strong", "difference"), 0.009, -0.011),
        ("low-frequency", ("gain", "low_frequency"), 0.009, -0.011),
        ("smoothness", ("gain", "noise"), 0.009, -0.011),
        ("smoothness", ("gain", "tv_ratio"), 0.009, -0.011),
        ("smoothness", ("gain", "kernel_tv"), 0.009, -0.011),
        ("concept-level", ("gain", "low_level"), 0.009, -0.011),
        ("input-kinds", ("gain", "distance"), 0.009, -0.011),
        ("scrambling", ("gain", "scrambled"), 0.009, -0.011),
    ],
)
def test_each_figure_decides_its_part_alone(measured, part, path, hidden, opposed):
    for value, outcome in ((hidden, "not visible at this scale"), (opposed, "contradicted")):
        changed = copy.deepcopy(measured)
        *way, last = path
        place = changed
        for key in way:
            place = place[key]
        place[last] = figure(value)
        assert outcomes(changed) == {**outcomes(measured), part: outcome}


def test_a_bias_among_few_cue_decisions_shows_nothing(measured):
    measured["seed0"]["chosen"]["plain"]["cue_share"] = figure(0.69)
    assert outcomes(measured)["shape"] == "not visible at this scale"


def test_a_net_that_decides_for_no_cue_shows_nothing(measured):
    del measured["seed0"]["strong"]["difference"]
    assert outcomes(measured)["shape"] == "not visible at this scale"


def test_outlines_and_their_gratings(monkeypatch):
    monkeypatch.setattr(experiment, "GARMENTS", (0, 1, 3, 7, 8, 9))  # a tiny run has fewer
    images = torch.zeros(4, 1, 12, 12, dtype=torch.uint8)
    images[:, :, 3:9, 3:9] = torch.tensor([60, 50, 200, 255], dtype=torch.uint8)[:, None, None, None]
    found = outlines_of(Split.of(images, torch.tensor([9, 0, 2, 7]), classes=10))
    assert (found.labels.tolist(), found.classes, found.ids) == ([5, 0, 3], 6, ("0", "1", "3"))
    assert found.images.flatten(1).amax(1).tolist() == [255, 0, 255]
    shown = with_gratings(found, 8).images
    assert int(shown[0, 0, 0, 0]) == 128
    inside = shown[0, :, 3:9, 3:9].float()
    assert float(inside.mean()) == pytest.approx(0.75 * 255, abs=3)
    assert 7 < float((inside - 0.75 * 255).abs().max()) < 9


def test_figures_come_from_rows(finished):
    run, measured = RunDir(finished("shape-simplicity-bias").out), finished("shape-simplicity-bias").result.measured
    cues = {}
    for row in run.rows("shape_simplicity_bias_cues").to_pylist():
        cues.setdefault(row["condition"], []).append((row["first"], row["second"], row["decision"]))
    best = measured["seed0.chosen.amplitude"]
    plain = cues[f"seed0.gratings-{best}.plain.judging"]
    assert measured["seed0.chosen.plain.first"] == sum(f == d for f, _, d in plain)
    assert measured["seed0.chosen.plain.second"] == sum(s == d for _, s, d in plain)
    assert all(f != s for f, s, _ in plain)
    hybrid = cues["seed1.robust.hybrid"]
    decided = [f == d for f, s, d in hybrid if d in (f, s)]
    assert measured["seed1.hybrid.robust.bias"]["value"] == pytest.approx(np.mean(decided))
    layers = run.rows("shape_simplicity_bias_layers").to_pylist()

    def value(seed, net, quantity):
        return [
            r["value"]
            for r in layers
            if (r["condition"].partition(".")[0], r["model"], r["quantity"]) == (seed, net, quantity)
        ]

    drops = [value(s, "plain", "tv-ratio")[0] - value(s, "robust", "tv-ratio")[0] for s in ("seed0", "seed1")]
    assert measured["gain.tv_ratio"]["value"] == pytest.approx(np.mean(drops))
    assert measured["seed0.plain.detectors.texture"] == sum(value("seed0", "plain", "texture"))
    answers = run.rows("shape_simplicity_bias_answers").to_pylist()
    own = [
        r["correct"]
        for r in answers
        if (r["condition"], r["model"], r["stimulus"]) == ("seed0.distortions", "robust", "blur-1")
    ]
    if own:
        assert measured["seed0.distorted.blur-1.robust"]["value"] == pytest.approx(np.mean(own))
