"""The rule by hand, figures against rows, and the pairs of classes."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import scipy
import torch

from tests.papers.tiny import Tiny, make_bands
from unshaken.papers.claim import judge_parts
from unshaken.papers.datasets import Split
from unshaken.papers.effects import Nested
from unshaken.papers.run import flat
from unshaken.store.run_dir import RunDir
from unshaken_papers.intrinsic_properties import PREDICTORS, IntrinsicPropertiesPaper
from unshaken_papers.intrinsic_properties.experiment import alike, two_classes
from unshaken_papers.intrinsic_properties.figures import compared, over_classes, pearson

TINY = Tiny(
    make=partial(make_bands, classes=4),
    parameters={"medical": "folder:{folder}"},
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.2):
    return {"value": value, "low": value - half, "high": value + half, "n": 16, "interval": "by hand"}


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown, each barely."""
    return {
        "penalty": {"2": {name: figure(0.21) for name in PREDICTORS}},
        "loss": {name: figure(0.21) for name in PREDICTORS},
        "bounded": figure(0.96),
        "radius": figure(0.21),
        "slope": figure(-0.21),
        "radius_constant": 0.05,
        "medical": {
            "sharpness": figure(0.21), "sharpness_999": figure(0.21), "shift": figure(0.21), "sets": {"bones 0-1": 0.25}
        },
        "within": {"source0": {"penalty": {"2": {"sharpness_999": figure(0.5)}}, "loss": {"dimension": figure(-0.25)}}},
        "ranges": {
            "source0": {
                "name": "rocks", "sharpness_low": 0.1, "sharpness_high": 0.2, "dimension_low": 9.0,
                "dimension_high": 12.0,
            }
        },
    }  # fmt: skip


def outcomes(measured):
    paper = IntrinsicPropertiesPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert {*found.values()} == {"shown"}
    assert outcomes(Nested(flat(measured))) == found
    remark = IntrinsicPropertiesPaper().remark(measured)
    assert "rocks: label sharpness 0.100 to 0.200, dimension 9.0 to 12.0." in remark
    assert "Label sharpness of 130 images each: bones 0-1 0.250." in remark
    assert "rocks: penalty at 2/255 with label sharpness +0.50, loss with dimension -0.25." in remark


@pytest.mark.parametrize(
    ("part", "path", "hidden", "opposed"),
    [
        ("vulnerable", ("penalty", "2", "sharpness_999"), 0.19, -0.21),
        ("vulnerable-maximum", ("penalty", "2", "sharpness"), 0.19, -0.21),
        ("bounded", ("bounded",), 0.94, 0.54),
        ("loss", ("loss", "dimension"), 0.19, -0.21),
        ("loss-sharpness", ("loss", "sharpness_999"), 0.19, -0.21),
        ("radius", ("radius",), 0.19, -0.21),
        ("samples", ("slope",), -0.19, 0.21),
        ("medical", ("medical", "sharpness"), 0.19, -0.21),
        ("medical", ("medical", "sharpness_999"), 0.19, -0.21),
        ("medical", ("medical", "shift"), 0.19, -0.21),
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


def test_a_weak_correlation_is_not_enough_however_narrow_its_interval(measured):
    measured["penalty"]["2"]["sharpness_999"] = figure(0.15, 0.1)
    assert outcomes(measured)["vulnerable"] == "not visible at this scale"


def test_without_a_sweep_its_part_is_not_tried(measured):
    del measured["slope"]
    assert outcomes(measured)["samples"] == "not tried"


def test_without_medical_images_their_part_is_not_tried(measured):
    del measured["medical"]
    assert outcomes(measured)["medical"] == "not tried"
    assert "images each" not in IntrinsicPropertiesPaper().remark(measured)


def test_figures_come_from_rows(finished):
    run, measured = RunDir(finished("intrinsic-properties").out), finished("intrinsic-properties").result.measured
    data = {r["id"]: r for r in run.rows("intrinsic_properties_data").to_pylist()}
    assert len(data) == 4 + 3 + 6
    even = {label: data.pop(label) for label in list(data) if not label.startswith("source")}
    assert {row["n"] for row in even.values()} == {30}
    wide, sharp = (
        {side: np.mean([np.log(r[name]) for label, r in even.items() if label.startswith(side)]) for side in ("m", "e")}
        for name in ("dimension", "sharpness")
    )
    assert measured["medical.sharpness"]["value"] == pytest.approx(sharp["m"] - sharp["e"])
    assert measured["medical.dimension"]["value"] == pytest.approx(wide["m"] - wide["e"])
    losses, twonn, radii = {}, {}, {}
    for row in run.rows("outcomes").to_pylist():
        losses.setdefault(row["condition"], []).append(row["loss"])
    for row in run.rows("intrinsic_properties_representation").to_pylist():
        twonn.setdefault(row["id"], []).append(row["twonn"])
    for row in run.rows("intrinsic_properties_radii").to_pylist():
        if row["correct"]:
            radii.setdefault(row["condition"], []).append(row["distance"])
    penalties, clean, radius = [], [], []
    for label in sorted(data):
        nets = [f"seed{s}.{label}" for s in (0, 1)]
        penalties.append(np.mean([np.mean(losses[f"{n}.fgsm-2"]) - np.mean(losses[f"{n}.before"]) for n in nets]))
        clean.append(np.mean([np.mean(losses[f"{n}.clean"]) for n in nets]))
        radius.append(np.mean([np.median(radii.get(f"{n}.radii", [0.0])) for n in nets]))
    sharp = [data[label]["sharpness_999"] for label in sorted(data)]
    wide = [data[label]["dimension"] for label in sorted(data)]
    assert measured["penalty.2.sharpness_999"]["value"] == pytest.approx(np.corrcoef(sharp, penalties)[0, 1])
    assert measured["loss.dimension"]["value"] == pytest.approx(np.corrcoef(wide, clean)[0, 1])
    assert measured["radius"]["value"] == pytest.approx(np.corrcoef(1 / np.array(sharp), radius)[0, 1])
    assert measured["radius_constant"] == pytest.approx(min(np.multiply(radius, sharp)))
    below = [np.mean(twonn[label]) < data[label]["twonn"] for label in sorted(data)]
    assert measured["bounded"]["value"] == np.mean(below)


def test_fgsm_raises_the_loss_and_more_so_with_its_budget(finished):
    outcomes = RunDir(finished("intrinsic-properties").out).rows("outcomes").to_pylist()
    means = {}
    for row in outcomes:
        means.setdefault(row["condition"].rpartition(".")[2], []).append(row["loss"])
    values = [np.mean(means[name]) for name in ("before", "fgsm-1", "fgsm-2", "fgsm-4")]
    assert values == sorted(values)


def test_two_classes_are_of_one_size_and_labelled_0_and_1():
    images = torch.arange(12, dtype=torch.uint8).view(12, 1, 1, 1).expand(12, 1, 4, 4)
    split = Split.of(images, torch.arange(12) % 3)
    found = two_classes(split, 0, 2, 5, seed=0)
    assert found.ids == ("0", "2", "3", "5")
    assert found.labels.tolist() == [0, 1, 0, 1]
    shown = alike(found)
    assert shown.images.shape == (4, 3, 32, 32)
    assert shown.images[2].unique().tolist() == [3]


def pair(label, classes, **values):
    return {"label": label, "source": label.partition(".")[0], "classes": classes, **values}


def test_a_constant_column_has_no_correlation():
    found = pearson([pair(f"s.{i}", f"{i}-{i + 1}", x=1.0) for i in range(5)], "x", [1.0, 2, 3, 4, 5])
    assert (found["value"], found["low"], found["high"]) == (0.0, -1.0, 1.0)


def test_the_interval_is_the_jackknife_over_classes():
    pairs = [pair("s.a", "0-1", x=1.0), pair("s.b", "0-2", x=2.0), pair("s.c", "1-2", x=6.0)]
    found = over_classes(pairs, lambda some: sum(p["x"] for p in some) / len(some))
    left = np.array([6.0, 2.0, 1.0])  # without class 0, 1, 2
    half = scipy.stats.t.ppf(0.975, 2) * np.sqrt(2 / 3 * ((left - 3) ** 2).sum())
    assert found["value"] == 3.0
    assert found["high"] == pytest.approx(3 + half)
    assert found["low"] == pytest.approx(3 - half)
    apart = over_classes([*pairs, pair("medical0.a", "0-1", x=3.0)], lambda some: sum(p["x"] for p in some) / len(some))
    other = np.array([9 / 2, 5 / 2, 4 / 2, 3.0, 3.0])
    wider = scipy.stats.t.ppf(0.975, 1) * np.sqrt(4 / 5 * ((other - other.mean()) ** 2).sum())
    assert apart["high"] == pytest.approx(3 + wider)  # two medical classes give one degree of freedom


def test_a_correlation_is_pearsons_and_its_interval_holds_it():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 10))
    names = [f"{i}-{j}" for i in range(5) for j in range(i + 1, 5)]
    found = pearson([pair("s.p", n, x=v) for n, v in zip(names, x, strict=True)], "x", y.tolist())
    assert found["value"] == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert -1 < found["low"] < found["value"] < found["high"] < 1


def test_medical_pairs_are_compared_at_one_dimension():
    rng, even = np.random.default_rng(0), []
    for i in range(8):
        wide, medical = float(rng.uniform(5, 20)), i % 2
        loss, sharp = np.exp(0.05 * wide + 0.7 * medical - 2), np.exp(0.3 * medical - 1)
        name = f"{'medical0' if medical else 'even0'}.pair{i}"
        even.append(pair(name, f"{i}-{i + 10}", dimension=wide, loss=loss, sharpness=sharp, sharpness_999=sharp / 2))
    found = compared(even)
    assert found["shift"]["value"] == pytest.approx(0.7)
    assert found["sharpness"]["value"] == pytest.approx(0.3)
    assert found["sharpness_999"]["value"] == pytest.approx(0.3)
    assert found["shift"]["low"] <= 0.7 <= found["shift"]["high"]
    assert set(found["sets"]) == {f"medical0 {i}-{i + 10}" for i in (1, 3, 5, 7)}
