"""The rule by hand, what is measured of an object, and figures against rows."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.papers.tiny import Tiny, make_rows
from unshaken.papers.claim import judge_parts
from unshaken.store.run_dir import RunDir
from unshaken_papers.seabird import SeaBirdPaper
from unshaken_papers.seabird.detector import ColumnDetection, boxes_found
from unshaken_papers.seabird.experiment import columns_of, object_overlaps, regressed_maps
from unshaken_papers.seabird.figures import mean_within
from unshaken_papers.seabird.linear_sgd import linear_sgd
from unshaken_papers.seabird.scenes import draw_scenes

TINY = Tiny(
    make=make_rows,
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


@pytest.fixture
def measured():
    """Figures with which every part that is tried is shown."""
    part = {"departure": 1e-12, "largest_ratio_to_l1": 0.07, "sgd": figure(0.02)}
    gains = {name: figure(0.02) for name in ("slope", "long", "dice_over_bce")}
    found = {"theory": {"4": part, "12": dict(part)}, "crossing": {"4": 0.25, "12": 1 / 12}, **gains}
    return found | {"detection": {"large": {"gain": figure(0.02)}}}


def outcomes(measured):
    paper = SeaBirdPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert found.pop("published-data") == "not tried"
    assert {*found.values()} == {"shown"}


def test_the_gain_in_detection_decides_its_part(measured):
    before = outcomes(measured)
    for value, outcome in ((0.005, "not visible at this scale"), (-0.02, "contradicted")):
        measured["detection"]["large"]["gain"] = figure(value)
        assert outcomes(measured) == {**before, "two-stage": outcome}


@pytest.mark.parametrize(
    ("change", "part", "outcome"),
    [
        ({"departure": 1e-3}, "variance", "not visible at this scale"),
        ({"largest_ratio_to_l1": 1.1}, "variance", "contradicted"),
        ({"sgd": figure(-0.02)}, "sgd", "contradicted"),
    ],
)
def test_one_length_decides_the_theorem(measured, change, part, outcome):
    before = outcomes(measured)
    measured["theory"]["12"] |= change
    assert outcomes(measured) == {**before, part: outcome}


def test_a_crossing_elsewhere_is_no_reproduction(measured):
    measured["crossing"]["4"] = 0.26
    assert outcomes(measured)["variance"] == "not visible at this scale"


@pytest.mark.parametrize(("name", "part"), [("slope", "slope"), ("long", "long"), ("dice_over_bce", "dice-over-bce")])
def test_gains_are_judged_by_their_intervals(measured, name, part):
    measured[name] = figure(0.005)
    assert outcomes(measured)[part] == "not visible at this scale"
    measured[name] = figure(-0.02)
    assert outcomes(measured)[part] == "contradicted"


def test_true_maps_and_true_depths_have_an_overlap_of_one():
    scenes = draw_scenes(8, 0)
    truth = list(scenes.masks.numpy()[scenes.scene])
    assert object_overlaps(truth, scenes) == [1.0] * len(scenes.scene)
    logits = torch.zeros(8, 2, *scenes.masks.shape[1:])
    for i, box in zip(scenes.scene, scenes.boxes, strict=True):
        columns, row = columns_of(box, scenes.masks.shape[2]), int(box[0])
        logits[i, 1, row, columns] = 40 + np.log(1 - (box[0] - row - 0.5) if box[0] > row + 0.5 else 1)
    found = np.array(object_overlaps(regressed_maps(logits, scenes), scenes))
    assert found.min() > 0.7  # within half a cell of the truth
    assert np.mean(found) > 0.9
    moved = [np.roll(m, 64, 0) * 0 for m in truth]
    assert object_overlaps(moved, scenes) == [0.0] * len(scenes.scene)


def outputs_of(scenes, push=8.0):
    """What a perfect detector gives: presence, the depth at the nearest row, and the length, in the true columns."""
    count, height, width = scenes.masks.shape
    outputs = torch.zeros(count, 5, height, width)
    outputs[:, 3] = -push
    for i, box in zip(scenes.scene, scenes.boxes, strict=True):
        columns = columns_of(box, width)
        outputs[i, 2, int(box[0]), columns] = 40
        outputs[i, 3, :, columns] = push
        outputs[i, 4, :, columns] = box[3] / 10
    return outputs


def test_boxes_are_read_from_columns_side_by_side():
    scenes = draw_scenes(8, 0)
    scene, boxes, scores = boxes_found(outputs_of(scenes))
    assert scene.tolist() == scenes.scene.tolist()
    assert np.abs(boxes[:, 0] - scenes.boxes[:, 0]).max() <= 0.5 + 1e-4
    assert np.abs(boxes[:, 1] - scenes.boxes[:, 1]).max() <= 0.5 + 1e-4
    assert boxes[:, 3] == pytest.approx(scenes.boxes[:, 3], rel=1e-5)
    assert np.abs(boxes[:, 4] - scenes.boxes[:, 4]).max() <= 1
    assert scores == pytest.approx(1 / (1 + np.exp(-8.0)))
    nothing = torch.zeros(2, 5, 8, 6)
    nothing[:, 3] = -1.0
    assert [len(part) for part in boxes_found(nothing)] == [0, 0, 0]


def test_the_detection_loss_by_hand():
    outputs = torch.zeros(1, 5, 4, 2)
    outputs[0, 2, 1, 0] = 50.0  # depth 1.5 in the first column; 2, the mean of all rows, in the second
    outputs[0, 3, :, 0], outputs[0, 3, :, 1] = 2.0, -1.0
    outputs[0, 4, :, 0] = 0.5
    labels = torch.tensor([[[0, 0], [1, 0], [1, 0], [0, 0]]])  # depth 2 and length 2 in the first column, none beside
    step = SimpleNamespace(model=lambda images: outputs, shown=None, labels=labels)
    presence = (math.log1p(math.exp(-2.0)) + math.log1p(math.exp(-1.0))) / 2
    own = presence + 0.5 * 0.5**2 / 10 + 0.5 * (0.5 - 0.2) ** 2
    assert float(ColumnDetection().loss(step)) == pytest.approx(own, rel=1e-5)
    dice = 1 - (2 * 1.0 + 1) / (0.5 * 8 + 2 + 1)  # all probabilities are one half
    assert float(ColumnDetection(weight=5.0).loss(step)) == pytest.approx(own + 5 * dice, rel=1e-5)


def test_means_within_bins():
    values, lengths = np.array([1.0, 2.0, 4.0]), np.array([5.0, 8.0, 11.0])
    assert (mean_within(values, lengths, 4, 8), mean_within(values, lengths, 8, 12)) == (1, 3)


def test_figures_against_rows(finished):
    run = finished("seabird")
    rows = RunDir(run.out).rows("seabird_objects").to_pylist()
    named = {}
    for row in rows:
        named.setdefault(row["condition"], []).append(row["iou"])
    means = []
    for seed in (0, 1):
        best = max((0.01, 0.03, 0.1), key=lambda r, s=seed: np.mean(named[f"seed{s}.bce-{r:g}.choosing"]))
        means.append(np.mean(named[f"seed{seed}.bce-{best:g}.test"]))
    assert run.result.measured["iou.bce"]["value"] == pytest.approx(np.mean(means))
    assert run.result.measured["crossing.4"] == pytest.approx(0.25, abs=1e-6)
    boxes = RunDir(run.out).rows("seabird_boxes").to_pylist()
    truth = [r for r in boxes if r["condition"] == "seed0.truth.test" and r["scene"] >= 0]
    assert len(truth) == len(named["seed0.bce-0.1.test"])
    ends = {r["condition"] for r in boxes if r["scene"] < 0}
    assert {f"seed0.{arm}-{r:g}.test" for arm in ("one-stage", "two-stage") for r in (0.01, 0.03, 0.1)} <= ends


def test_scenes_are_what_they_say():
    scenes = draw_scenes(30, 1, noise=2.0)
    again = draw_scenes(30, 1, noise=2.0)
    assert torch.equal(scenes.images, again.images)
    for i in range(30):
        own = scenes.boxes[scenes.scene == i]
        area = (own[:, 3] * own[:, 4]).sum()
        assert int(scenes.masks[i].sum()) == pytest.approx(area, abs=2 * (own[:, 3] + own[:, 4]).sum())
        if np.abs(scenes.moved[scenes.scene == i]).max() > 1.5:
            assert not torch.equal(scenes.masks[i], scenes.labels[i])
    assert torch.equal(draw_scenes(5, 2, noise=0.0).masks, draw_scenes(5, 2, noise=0.0).labels)
    far = scenes.boxes[:, 0] < 32
    assert np.std(scenes.moved[far]) > 1.5 * np.std(scenes.moved[~far])


@pytest.mark.parametrize(("loss", "length", "predicted"), [("l1", 4, 1.80e-4), ("dice", 12, 1.25e-6)])
def test_sgd_moves_as_far_as_the_variance_says(loss, length, predicted):
    found = linear_sgd(loss, 1.0, length, runs=100)
    assert found.predicted == pytest.approx(predicted, rel=5e-3)
    assert 0.7 * found.predicted < found.measured < found.predicted + 4 * found.error
