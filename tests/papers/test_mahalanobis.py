"""The rule by hand, both ways; the pieces against direct formulas; and the whole row with tiny networks."""

import copy

import numpy as np
import pytest
import torch

from unshaken.core.errors import DataError
from unshaken.papers import run_paper
from unshaken.papers.frame.roles import Roles
from unshaken.papers.mahalanobis import MahalanobisPaper
from unshaken.papers.mahalanobis.experiment import redrawn
from unshaken.papers.mahalanobis.figures import judged, weighted


def figure(value):
    return {"value": value}


def methods(msp, equal, fgsm):
    each = {"msp": msp, "layer2": equal, "equal": equal, "fgsm": fgsm, "tuned": equal}
    return {name: {"auroc": figure(v)} for name, v in each.items()}


@pytest.fixture
def measured():
    rates = {"0": figure(0.95), "0.2": figure(0.94), "0.4": figure(0.93)}
    return {
        "abnormal": {"near": methods(0.6, 0.5, 0.5), "far": methods(0.7, 0.74, 0.8)},
        "adversarial": {"fgsm-8": methods(0.6, 0.7, 0.7), "pgd-8": methods(0.2, 0.7, 0.76)},
        "label_noise": {
            "near": {"last": dict.fromkeys(rates, figure(0.5))},
            "far": {"last": rates, "equal": {**rates}},
        },
        "layers": 2,
    }


def failed(measured):
    return [c.words for c in MahalanobisPaper().judge(measured) if not c.holds]


def test_the_rule_holds(measured):
    assert failed(measured) == []
    assert len(MahalanobisPaper().judge(measured)) == 4


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("abnormal", "far", "equal", "auroc"), 0.72, "far: AUROC 0.720, softmax 0.700"),
        (("adversarial", "pgd-8", "fgsm", "auroc"), 0.74, "PGD-10 at 8/255: AUROC 0.740"),
        (("label_noise", "far", "equal", "0.4"), 0.91, "far, equal: AUROC 0.950 with right labels, 0.910"),
        (("label_noise", "far", "last", "0.4"), 0.91, "far, last: AUROC 0.950 with right labels, 0.910"),
    ],
)
def test_every_part_of_the_rule_can_fail_alone(measured, path, value, words):
    measured = copy.deepcopy(measured)
    *way, last = path
    place = measured
    for key in way:
        place = place[key]
    place[last] = figure(value)
    (only,) = failed(measured)
    assert words in only


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
