"""The verdict's rule by hand, and part (a) on images of one's own."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.papers import run_paper
from unshaken.papers.adversarial_training import AdversarialTrainingPaper
from unshaken.run.store import RunDir


def value(x):
    return {"value": x}


@pytest.fixture
def measured():
    """Figures with which every part of the rule holds, some of them barely."""
    return {
        "ordering": {"at": {"gain": value(0.2)}, "trades": {"gain": value(0.6)}},
        "catastrophic": {"fgsm": {"best": 0.4, "last": 0.2}, "n-fgsm": {"best": 0.4, "last": 0.21}},
        "robust_overfitting": {
            "at": {"best": 0.3, "last": 0.279}, "awp": {"best": 0.3, "last": 0.27}, "ema": {"best": 0.3, "last": 0.29}
        },
        "corruptions": {
            "augmix": {"gain": value(0.05), "clean_gain": value(-0.02)},
            "pixmix": {"gain": value(0.01), "clean_gain": value(0.0)},
        },
    }  # fmt: skip


def failed(measured):
    return [c.words[:3] for c in AdversarialTrainingPaper().judge(measured) if not c.holds]


def test_the_rule_holds_barely(measured):
    assert failed(measured) == []


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("(a)", lambda m: m["ordering"].update(at={"gain": value(0.19)})),
        ("(b)", lambda m: m["catastrophic"]["fgsm"].update(last=0.21)),
        ("(b)", lambda m: m["catastrophic"]["n-fgsm"].update(last=0.1)),
        ("(c)", lambda m: m["robust_overfitting"]["at"].update(last=0.285)),
        ("(c)", lambda m: m["robust_overfitting"]["ema"].update(last=0.2)),
        ("(d)", lambda m: m["corruptions"].update(augmix={"gain": value(0.049), "clean_gain": value(0)})),
        ("(d)", lambda m: m["corruptions"].update(augmix={"gain": value(0.2), "clean_gain": value(-0.03)})),
    ],
)
def test_each_part_can_fail(measured, part, change):
    change(measured)
    assert failed(measured) == [part]


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
