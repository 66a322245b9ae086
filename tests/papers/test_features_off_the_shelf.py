"""The rule by hand, the preparation of images, and the whole row on tints."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch

from tests.papers.tiny import Tiny, make_tints, untrained_cnn
from unshaken.core.classifier import Classifier, View
from unshaken.papers.claim import judge_parts
from unshaken.papers.datasets import prepared
from unshaken.store.run_dir import RunDir
from unshaken_papers.features_off_the_shelf import FeaturesOffTheShelfPaper
from unshaken_papers.features_off_the_shelf.experiment import with_random_weights

TINY = Tiny(
    make=partial(make_tints, train=60),
    parameters={"far": "parquet:{folder}/tints.parquet"},
    model=untrained_cnn(3),
    needs=("sklearn", "skimage"),
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


@pytest.fixture
def measured():
    over = {
        "source": {"hog": figure(0.2), "pixels": figure(0.3), "random": figure(0.3)},
        "far": {"hog": figure(0.03), "pixels": figure(0.05)},
        "augmented": figure(0.0),
        "depth": figure(0.1),
    }
    return {"seed0": {"over": over}, "seed1": {"over": copy.deepcopy(over)}}


def outcomes(measured):
    paper = FeaturesOffTheShelfPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown(measured):
    hidden = {name for name, outcome in outcomes(measured).items() if outcome != "shown"}
    assert hidden == {"retrieval", "specialists"}


@pytest.mark.parametrize(
    ("path", "hidden", "opposed", "part"),
    [
        (("source", "hog"), 0.005, -0.02, "near"),
        (("source", "pixels"), 0.005, -0.02, "near"),
        (("far", "hog"), 0.005, -0.02, "far"),
        (("augmented",), -0.045, -0.07, "augmented"),
        (("source", "random"), 0.005, -0.02, "learned"),
        (("depth",), 0.005, -0.02, "depth"),
    ],
)
def test_one_figure_of_one_seed_decides_a_part(measured, path, hidden, opposed, part):
    for value, outcome in ((hidden, "not visible at this scale"), (opposed, "contradicted")):
        place = measured["seed1"]["over"]
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = figure(value)
        assert outcomes(measured)[part] == outcome


def test_images_take_the_size_and_the_channels_of_the_model():
    grey = torch.full((2, 1, 6, 6), 77, dtype=torch.uint8)
    model = Classifier(torch.nn.Flatten(), view=View(12, 12))
    found = prepared(model, grey)
    assert (found.shape, found.dtype) == ((2, 3, 12, 12), torch.uint8)
    assert found.unique().tolist() == [77]
    assert prepared(Classifier(torch.nn.Flatten()), grey) is grey


def test_random_weights_are_the_same_every_time_and_leave_the_model_alone():
    model = Classifier(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)))
    before = model.net[0].weight.clone()
    one, other = with_random_weights(model), with_random_weights(model)
    assert torch.equal(one.net[0].weight, other.net[0].weight)
    assert not torch.equal(one.net[0].weight, before)
    assert torch.equal(model.net[0].weight, before)


def test_figures_are_those_of_the_rows(finished):
    run = finished("features-off-the-shelf")
    rows = RunDir(run.out).rows("features_off_the_shelf_tests").to_pylist()
    for task, n in (("source", 40), ("far", 40)):
        mine = [r for r in rows if r["condition"] == f"seed0.{task}.cnn"]
        assert len(mine) == n
        assert run.seed0[f"{task}.cnn"]["value"] == sum(r["correct"] for r in mine) / n
    conditions = {r["condition"] for r in rows}
    assert {f"seed1.source.{arm}" for arm in ("plain", "augmented", "random", "layer0", "hog")} <= conditions
    assert "seed0.far.random" not in conditions
