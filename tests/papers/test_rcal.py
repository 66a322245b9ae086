"""The verdict's rule by hand, and the row's figures from its rows."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.papers.tiny import Tiny, make_bands
from unshaken.core.errors import ParameterError
from unshaken.papers import run_paper
from unshaken.papers.claim import judge_parts
from unshaken.store.run_dir import RunDir
from unshaken_papers.rcal import ARMS, RCALPaper
from unshaken_papers.rcal.experiment import recipes_of

TINY = Tiny(
    make=make_bands,
    needs=("sklearn",),
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.004):
    return {"value": value, "low": value - half, "high": value + half}


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown."""
    over = {
        "accuracy": {arm: figure(0.5) for arm in ARMS},
        "best_minus_last": {"rcal": figure(0.001), "ce-mixup": figure(0.05)},
        "rcal_minus_balanced-mixup": figure(0.03),
        "rcal_minus_no-outliers": figure(0.01),
        "rare_minus_no-tail": figure(0.02),
    }
    over["accuracy"] |= {"rcal": figure(0.62), "balanced-mixup": figure(0.6)}
    return {"probe": figure(0.8), "over_seeds": over, "seed0": {"gaussians": {"given": {"right": [0.7, 0.52]}}}}


def outcomes(measured):
    paper = RCALPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert found.pop("real-noise") == "not tried"
    assert {*found.values()} == {"shown"}


@pytest.mark.parametrize(
    ("path", "hidden", "opposed", "part"),
    [
        (("rcal_minus_balanced-mixup",), 0.003, -0.01, "accuracy"),
        (("best_minus_last", "rcal"), 0.008, 0.02, "memorisation"),
        (("rare_minus_no-tail",), 0.003, -0.01, "tail-calibration"),
        (("rcal_minus_no-outliers",), 0.003, -0.01, "outliers"),
    ],
)
def test_one_difference_decides_a_part_alone(measured, path, hidden, opposed, part):
    before = outcomes(measured)
    for value, wanted in ((hidden, "not visible at this scale"), (opposed, "contradicted")):
        changed = json.loads(json.dumps(measured))
        place = changed["over_seeds"]
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = figure(value)
        assert outcomes(changed) == {**before, part: wanted}


def test_plain_training_that_loses_nothing_only_hides_the_gain(measured):
    measured["over_seeds"]["best_minus_last"]["ce-mixup"] = figure(-0.02)
    assert outcomes(measured)["memorisation"] == "short of its rule"


def test_features_that_tell_nothing_leave_the_rest_unjudged(measured):
    measured["probe"] = figure(0.6)
    found = outcomes(measured)
    found.pop("real-noise")
    assert found.pop("features") == "short of its rule"
    assert {*found.values()} == {"not visible at this scale"}


def test_the_remark_divides_the_gain(measured):
    found = RCALPaper().remark(measured)
    assert "Of the +0.120 that RCAL gains on cross-entropy, balanced sampling with mixup has +0.100." in found
    assert "smallest class's label 52% are of it" in found


def test_arms_differ_by_one_part():
    everything = recipes_of("rcal")[0].model_dump()
    for arm, name in (("no-tail", "beta"), ("no-individual", "individual"), ("no-mixup", "mixup")):
        other = recipes_of(arm)[0].model_dump()
        assert {k for k in other if other[k] != everything[k]} == {name}
        assert other[name] == 0
    assert [r.info.name for r in recipes_of("balanced-mixup")] == ["mixup", "balanced-sampling"]
    assert recipes_of("ce") == []


def test_figures_come_from_rows(finished):
    run = finished("rcal")
    rows = RunDir(run.out).rows("outcomes").to_pylist()
    own = [r for r in rows if r["condition"] == "seed0.rcal.test"]
    assert run.seed0["accuracy.rcal"]["value"] == pytest.approx(np.mean([r["correct"] for r in own]))
    rare = [r["correct"] for r in own if r["label"] > max(r["label"] for r in own) - 3]
    assert run.seed0["rare.rcal"]["value"] == pytest.approx(np.mean(rare))
    values = [run.result.measured[f"seed{i}.accuracy.{a}"]["value"] for a in ("rcal", "no-tail") for i in range(2)]
    apart = run.result.measured["over_seeds.rcal_minus_no-tail"]
    assert apart["value"] == pytest.approx(np.mean(values[:2]) - np.mean(values[2:]))
    epochs = RunDir(run.out).rows("rcal_epochs").to_pylist()
    by_epoch = {
        name: [r["correct"] for r in sorted(epochs, key=lambda r: r["epoch"]) if r["condition"] == f"seed0.rcal.{name}"]
        for name in ("choosing", "test")
    }
    lost = (by_epoch["test"][int(np.argmax(by_epoch["choosing"]))] - by_epoch["test"][-1]) / 60
    assert run.seed0["best_minus_last.rcal"] == pytest.approx(lost, abs=1e-4)
    assert run.seed0["gaussians.true.right"] == [1.0] * 5


def test_a_model_of_ones_own_is_refused(tints, tmp_path):
    with pytest.raises(ParameterError, match="pretrained on the long-tailed images"):
        run_paper("rcal", out=tmp_path / "run", data=tints, model="demo:standard")
