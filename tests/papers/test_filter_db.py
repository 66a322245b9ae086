"""The rule by hand, figures against rows, and the networks' filters."""

from __future__ import annotations

import copy
import math
from functools import partial

import numpy as np
import pytest
import torch

from tests.papers.tiny import Tiny, make_tints
from unshaken.papers.claim import judge_parts
from unshaken.papers.datasets import Split
from unshaken.papers.effects import Nested
from unshaken.papers.run import flat
from unshaken.store.run_dir import RunDir
from unshaken_papers.filter_db import CORRUPTIONS, RANDOM, TRAINED, FilterDBPaper
from unshaken_papers.filter_db.experiment import halved

TINY = Tiny(
    make=partial(make_tints, train=60, test=12, side=16),
    parameters={"other": "parquet:{folder}/tints.parquet"},
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half, "n": 3, "interval": "by hand over seeds"}


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown, each barely."""
    return {
        "ratio": figure(2.011),
        "above_floor": {"random": figure(0.011), "data": figure(0.011)},
        "entropy": {"about": figure(0.011), "below": figure(0.011)},
        "degenerate": {"over_base": figure(0.011), "over_narrow": figure(0.011)},
        "fragile": {"over_base": figure(0.011), "over_narrow": figure(0.011)},
        "depth": {"standard": figure(0.011)},
        "robust": {"entropy": figure(0.011), "less_sparse": figure(-0.009)},
    }


def outcomes(measured):
    paper = FilterDBPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert {name for name, outcome in found.items() if outcome == "not tried"} == {"tasks", "tuning"}
    assert {*found.values()} == {"not tried", "shown"}
    assert outcomes(Nested(flat(measured))) == found


@pytest.mark.parametrize(
    ("part", "path", "hidden", "opposed"),
    [
        ("data", ("ratio",), 2.009, 0.98),
        ("floor", ("above_floor", "random"), 0.009, -0.011),
        ("floor", ("above_floor", "data"), 0.009, -0.011),
        ("random", ("entropy", "below"), 0.009, -0.011),
        ("degenerate", ("degenerate", "over_base"), 0.009, -0.011),
        ("degenerate", ("degenerate", "over_narrow"), 0.009, -0.011),
        ("fragile", ("fragile", "over_base"), 0.009, -0.011),
        ("fragile", ("fragile", "over_narrow"), 0.009, -0.011),
        ("depth", ("depth", "standard"), 0.009, -0.011),
        ("robust", ("robust", "entropy"), 0.009, -0.011),
    ],
)
def test_each_figure_decides_its_part_alone(measured, part, path, hidden, opposed):
    for value, outcome in ((hidden, "not visible at this scale"), (opposed, "contradicted")):
        changed = copy.deepcopy(measured)
        place = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = figure(value)
        assert outcomes(changed) == {**outcomes(measured), part: outcome}


def test_a_wide_network_that_loses_less_or_degenerates_as_its_control_does_shows_nothing(measured):
    """The figures of the first run, of five seeds."""
    lost = {"value": -0.00775, "low": -0.01119, "high": -0.00431}
    measured["fragile"] = {"over_base": lost, "over_narrow": figure(0.0155)}
    measured["degenerate"] = {"over_base": figure(0.2, 0.07), "over_narrow": figure(0.0, 0.07)}
    found = outcomes(measured)
    assert (found["fragile"], found["degenerate"]) == ("contradicted", "not visible at this scale")


@pytest.mark.parametrize(("part", "path"), [("random", ("entropy", "about")), ("robust", ("robust", "less_sparse"))])
def test_a_condition_that_only_fails_contradicts_nothing(measured, part, path):
    measured[path[0]][path[1]] = figure(-0.5)
    assert outcomes(measured)[part] == "short of its rule"


def test_figures_come_from_rows(finished):
    run, measured = RunDir(finished("filter-db").out), finished("filter-db").result.measured
    drift = {(r["one"], r["other"]): r["drift"] for r in run.rows("filter_db_drifts").to_pylist()}
    drift |= {(b, a): value for (a, b), value in drift.items()}
    assert len(drift) == 8 * 7
    data = np.array([[drift[f"seed{s}.standard", f"seed{t}.other"] for t in (0, 1)] for s in (0, 1)])
    random = np.array([np.mean([drift[f"seed{s}.{RANDOM}", f"seed{s}.{k}"] for k in TRAINED]) for s in (0, 1)])
    floor = np.mean([drift[f"seed0.{k}", f"seed1.{k}"] for k in TRAINED])
    assert measured["drift.data"]["value"] == pytest.approx(data.mean())
    assert measured["drift.seeds"]["value"] == pytest.approx(floor)
    assert measured["ratio"]["value"] == pytest.approx((random / data.max(1)).mean())
    assert measured["above_floor.random"]["value"] == pytest.approx(random.mean() - floor)
    layers = run.rows("filter_db_layers").to_pylist()
    ratio = [r["ratio"] for r in layers if r["condition"].endswith(".standard") and r["layer"] > 0]
    assert measured["entropy.below"]["value"] == pytest.approx(1 - np.mean(ratio))
    outcomes = run.rows("outcomes").to_pylist()
    correct = {}
    for row in outcomes:
        correct.setdefault(row["condition"].partition(".")[2], []).append(row["correct"])
    lost = {
        net: np.mean(correct[f"{net}.clean"]) - np.mean([correct[f"{net}.{c}"] for c in CORRUPTIONS])
        for net in ("wide", "base", "narrow")
    }
    kinds = {net: [r["degenerate"].split("+") for r in layers if r["condition"].endswith(f".{net}")] for net in lost}
    degenerate = {net: [bool({"sparse", "low-variance"} & {*kind}) for kind in each] for net, each in kinds.items()}
    for net in ("base", "narrow"):
        assert measured[f"fragile.over_{net}"]["value"] == pytest.approx(lost["wide"] - lost[net])
        gap = np.mean(degenerate["wide"]) - np.mean(degenerate[net])
        assert measured[f"degenerate.over_{net}"]["value"] == pytest.approx(gap)
    counted = [figure for name, figure in measured.items() if name.startswith(("degenerate.", "accuracy."))]
    assert all(figure["low"] < figure["high"] for figure in counted)  # seeds that agree in a count are not certain


def test_filters_are_those_of_the_networks(finished):
    layers = RunDir(finished("filter-db").out).rows("filter_db_layers").to_pylist()
    counts = {c: [r["filters"] for r in layers if r["condition"] == f"seed0.{c}"] for c in ("standard", "wide")}
    assert counts["standard"] == [36, 288, 576, 1152, 2304]
    assert counts["wide"] == [72, 1152, 2304, 4608, 9216]


def test_images_of_half_the_side_are_means_of_four_pixels():
    images = torch.tensor([[[[0, 10, 1, 1], [20, 30, 1, 1], [255, 255, 0, 1], [255, 255, 0, 1]]]], dtype=torch.uint8)
    found = halved(Split.of(images, torch.zeros(1, dtype=torch.int64)))
    assert found.images.tolist() == [[[[15, 1], [255, 0]]]]
    assert math.prod(found.images.shape) == 4
