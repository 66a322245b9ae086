"""The rules by hand, and part (a) on images of one's own."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.papers import run_paper
from unshaken.papers.adversarial_training import AdversarialTrainingPaper
from unshaken.papers.frame.claim import Outcome, judge_parts
from unshaken.run.store import RunDir


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


@pytest.fixture
def measured():
    """Figures with which every part is shown."""
    trained = {"gain": figure(0.25), "clean": figure(0.8)}
    mixed = {"gain": figure(0.07), "clean_gain": figure(0.0)}
    return {
        "ordering": {"standard": {"clean": figure(0.9)}, "at": dict(trained), "trades": dict(trained)},
        "catastrophic": {"fgsm": {"best": 0.4, "last": 0.1}, "n-fgsm": {"best": 0.4, "last": 0.39}},
        "robust_overfitting": {
            "at": {"best": 0.4, "last": 0.25, "epochs": 10},
            "awp": {"best": 0.4, "last": 0.39},
            "ema": {"best": 0.4, "last": 0.38},
        },
        "corruptions": {"augmix": dict(mixed), "pixmix": dict(mixed)},
    }


def outcomes(measured):
    paper = AdversarialTrainingPaper()
    return {part.name: part.outcome for part in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_every_part_that_is_tried_is_shown(measured):
    found = outcomes(measured)
    assert found.pop("other-recipes") == Outcome.NOT_TRIED
    assert set(found.values()) == {Outcome.SHOWN}


@pytest.mark.parametrize(
    ("part", "path", "unclear", "opposite"),
    [
        ("robust-gain", ("ordering", "trades", "gain"), figure(0.2), figure(-0.02)),
        ("clean-cost", ("ordering", "at", "clean"), figure(0.89), figure(0.93)),
        ("catastrophic-overfitting", ("catastrophic", "fgsm", "last"), 0.2, 0.3),
        ("noise-prevents", ("catastrophic", "n-fgsm", "last"), 0.2, 0.1),
        ("weight-perturbation", ("robust_overfitting", "awp", "last"), 0.29, 0.15),
        ("averaging", ("robust_overfitting", "ema", "last"), 0.29, 0.15),
        ("augmix", ("corruptions", "augmix", "gain"), figure(0.055), figure(-0.02)),
        ("augmix", ("corruptions", "augmix", "clean_gain"), figure(-0.02), figure(-0.04)),
        ("pixmix", ("corruptions", "pixmix", "gain"), figure(0.02), figure(-0.02)),
        ("pixmix", ("corruptions", "pixmix", "clean_gain"), figure(-0.025), figure(-0.04)),
    ],
)
def test_each_part_falls_alone(measured, part, path, unclear, opposite):
    group, name, key = path
    for met, outcome in ((unclear, Outcome.NOT_VISIBLE), (opposite, Outcome.CONTRADICTED)):
        measured[group][name][key] = met
        found = outcomes(measured)
        assert found[part] == outcome
        assert [n for n, o in found.items() if o not in (Outcome.SHOWN, Outcome.NOT_TRIED)] == [part]


@pytest.mark.parametrize(("best", "last"), [(0.28, 0.25), (0.4, 0.4)])
def test_a_fall_within_the_intervals_does_not_show(measured, best, last):
    measured["robust_overfitting"]["at"] |= {"best": best, "last": last}
    assert outcomes(measured)["robust-overfitting"] == Outcome.NOT_VISIBLE


def test_a_smaller_fall_from_a_lower_maximum_is_no_remedy(measured):
    measured["robust_overfitting"]["awp"] = {"best": 0.27, "last": 0.25}
    assert outcomes(measured)["weight-perturbation"] == Outcome.NOT_VISIBLE


def test_other_images_leave_all_parts_but_the_first_untried(measured):
    found = outcomes({"ordering": measured["ordering"]})
    assert [name for name, outcome in found.items() if outcome != Outcome.NOT_TRIED] == ["robust-gain", "clean-cost"]


def test_own_images_run_part_a_from_rows(finished):
    run = finished("adversarial-training")
    assert {name.partition(".")[0] for name in run.result.measured} == {"ordering", "networks_from_cache"}
    found = RunDir(run.out).rows("outcomes").to_pylist()
    by_hand = [r["correct"] for r in found if r["condition"] == "clean.at"]
    assert run.result.measured["ordering.at.clean"]["value"] == pytest.approx(np.mean(by_hand))
    assert {r["condition"] for r in found if r["condition"].startswith("aa.")} == {
        f"aa.{name}-linf-0.1" for name in ("standard", "fgsm-rs", "at", "trades")
    }
    assert RunDir(run.out).rows("adversarial_training_training").num_rows > 0


def test_a_model_of_ones_own_makes_no_sense(tmp_path):
    with pytest.raises(ParameterError, match="trains its own networks"):
        run_paper("adversarial-training", model="demo:robust", out=tmp_path / "run")
