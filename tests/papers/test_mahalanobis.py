"""The rule by hand, both ways; the pieces against direct formulas; and the whole row with tiny networks."""

import json

import numpy as np
import pytest
import torch

from unshaken.core.errors import DataError
from unshaken.papers import run_paper
from unshaken.papers.frame.claim import judge_parts
from unshaken.papers.frame.roles import Roles
from unshaken.papers.mahalanobis import MahalanobisPaper
from unshaken.papers.mahalanobis.experiment import redrawn
from unshaken.papers.mahalanobis.figures import judged, weighted


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


def methods(msp, equal, fgsm, last=0.4):
    each = {"msp": msp, "layer2": last, "equal": equal, "fgsm": fgsm}
    return {name: {"auroc": figure(v)} for name, v in each.items()}


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown, some of them barely."""
    rates = {"0": figure(0.95, 0.001), "0.2": figure(0.94, 0.001), "0.4": figure(0.93, 0.001)}
    return {
        "abnormal": {"near": methods(0.9, 0.77, 0.5), "far": methods(0.7, 0.76, 0.8)},
        "adversarial": {
            "fgsm-8": methods(0.6, 0.5, 0.77),
            "pgd-8": methods(0.2, 0.5, 0.77),
            "pgd-2": methods(0.7, 0.5, 0.77),
        },
        "label_noise": {"far": {"last": rates, "equal": {**rates}}},
        "layers": 2,
    }


def outcomes(measured):
    paper = MahalanobisPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def changed(measured, path, new):
    """The figures with the one at a path replaced."""
    *way, last = path
    place = measured = json.loads(json.dumps(measured))  # nothing shared
    for key in way:
        place = place[key]
    place[last] = new
    return measured


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    untried = {name for name, outcome in found.items() if outcome == "not tried"}
    assert untried == {"published-method", "other-attacks", "noisy-training", "new-classes"}
    assert {*found.values()} == {"not tried", "shown"}


@pytest.mark.parametrize(
    ("path", "hidden", "opposed", "part"),
    [
        (("abnormal", "far", "msp", "auroc"), 0.72, 0.79, "far-images"),
        (("adversarial", "fgsm-8", "msp", "auroc"), 0.74, 0.8, "attacks"),
        (("adversarial", "pgd-8", "msp", "auroc"), 0.74, 0.8, "attacks"),
        (("adversarial", "fgsm-8", "fgsm", "auroc"), 0.75, 0.4, "attacks"),
        (("label_noise", "far", "equal", "0.4"), 0.92, 0.9, "wrong-labels"),
        (("label_noise", "far", "last", "0.4"), 0.92, 0.9, "wrong-labels"),
        (("abnormal", "far", "layer2", "auroc"), 0.75, 0.8, "layers"),
        (("adversarial", "pgd-8", "layer2", "auroc"), 0.76, 0.8, "layers"),
        (("abnormal", "near", "equal", "auroc"), 0.75, 0.4, "near-images"),
        (("adversarial", "pgd-2", "msp", "auroc"), 0.76, 0.8, "small-attacks"),
        (("adversarial", "pgd-2", "fgsm", "auroc"), 0.75, 0.4, "small-attacks"),
    ],
)
def test_one_figure_decides_a_part_alone(measured, path, hidden, opposed, part):
    before = outcomes(measured)
    assert outcomes(changed(measured, path, figure(hidden))) == {**before, part: "not visible at this scale"}
    assert outcomes(changed(measured, path, figure(opposed))) == {**before, part: "contradicted"}


def test_redrawn_labels_are_wrong_at_the_rate_and_spread_over_all_others():
    labels = torch.arange(4).repeat(5000)
    noisy = redrawn(labels, 0.4, 0)
    assert (noisy != labels).float().mean().item() == pytest.approx(0.4, abs=0.02)
    wrong = noisy[(labels == 0) & (noisy != labels)].bincount(minlength=4) / 2000
    assert wrong.tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3], abs=0.04)
    assert torch.equal(redrawn(labels, 0.0, 0), labels)


def test_tuned_weights_find_the_layer_that_tells():
    rng = np.random.default_rng(0)
    tune, test = (
        [(rng.normal(size=400), rng.normal(size=400)), (rng.normal(size=400), rng.normal(4, size=400))] for _ in "ab"
    )
    normal, abnormal = weighted(tune, test)
    assert np.corrcoef(np.concatenate([normal, abnormal]), np.concatenate(test[1]))[0, 1] > 0.99


class Made:
    def __init__(self, scores, tune):
        self.scores, self.roles = scores, Roles(tune)


def test_a_step_is_chosen_on_tuning_samples_and_judged_on_the_others():
    rng = np.random.default_rng(0)
    tune = np.arange(200) < 100
    normal = {"msp": rng.normal(size=200), "layer1": rng.normal(size=200)}
    abnormal = {"msp": rng.normal(size=200), "layer1": rng.normal(size=200)}
    for name, shift in (("step-0.001", 3.0), ("step-0.005", 1.0)):
        normal[name] = rng.normal(size=200)
        abnormal[name] = rng.normal(size=200) + np.where(tune, shift, -5)
    all_of_it = np.ones(200, bool)
    found = judged([(Made(normal, tune), all_of_it)], (Made(abnormal, tune), all_of_it), ["layer1"])
    assert found["last_tuned_step"]["auroc"] < 0.01  # the best on tuning samples, and the worst afterwards
    assert set(found) == {"msp", "layer1", "last_tuned_step", "tuned"}
    assert found["layer1"]["auroc"] == pytest.approx(0.5, abs=0.12)


def test_every_figure_is_there(finished):
    result = finished("mahalanobis").result
    names = set(result.measured)
    ways = ("msp", "layer1", "layer4", "last_tuned_step", "equal", "fgsm", "tuned")
    for group, sets in (("abnormal", ("near", "noise")), ("adversarial", ("fgsm-8", "pgd-8", "pgd-2"))):
        assert {f"{group}.{s}.{w}.{f}" for s in sets for w in ways for f in ("auroc", "fpr95")} <= names
    assert {f"label_noise.noise.{w}.{r}" for w in ("last", "equal") for r in ("0", "0.2", "0.4")} <= names
    assert {"accuracy.softmax", "accuracy.layer4", "noise_accuracy.0.4"} <= names
    assert result.measured["accuracy.softmax"]["value"] > 0.6
    assert result.measured["abnormal.noise.equal.auroc"]["value"] > 0.9


def test_too_few_classes_are_refused(finished, tmp_path):
    run = finished("mahalanobis")
    with pytest.raises(DataError, match="3 classes: four or more"):
        run_paper(run.text, out=tmp_path / "run", data=finished("dverge").data)
