"""The rule by hand, both ways; the pieces against direct formulas; and the whole row with tiny networks."""

import json

import numpy as np
import pytest
import torch

from tests.papers.tiny import Tiny, make_bands
from unshaken.attack.minimal_norm.carlini_wagner import CarliniWagner
from unshaken.core.batch import Batch
from unshaken.core.errors import DataError
from unshaken.measure.detection.ranking import auroc
from unshaken.measure.statistics.influence import auroc_influence
from unshaken.papers import run_paper
from unshaken.papers.claim import judge_parts
from unshaken.papers.effects import Nested
from unshaken.papers.roles import Roles
from unshaken.papers.run import flat
from unshaken_papers.mahalanobis import MahalanobisPaper
from unshaken_papers.mahalanobis.choice import Pair, choose, regressed
from unshaken_papers.mahalanobis.experiment import ATTACKS, Budget
from unshaken_papers.mahalanobis.figures import added, measured
from unshaken_papers.mahalanobis.images import noisy_as, redrawn
from unshaken_papers.mahalanobis.rules import PAIRS

SHORT_CW = Budget(CarliniWagner(steps=20, search_steps=1, initial_c=1.0, lr=0.05, polish=0), "l2", 10.0)
"""Carlini and Wagner's attack in few and large steps."""

TINY = Tiny(
    make=make_bands,
    patches={"unshaken_papers.mahalanobis.experiment.ATTACKS": {**ATTACKS, "cw": SHORT_CW}},
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


def methods(auroc=0.77, gain=0.05, last=0.4):
    names = ("msp", "layer1", "equal", "ensemble", "step", "published")
    each = {name: {"auroc": figure(auroc)} for name in names} | {"last": {"auroc": figure(last)}}
    return {**each, "ahead": {f"{a}-{b}": figure(gain) for a, b in PAIRS}}


@pytest.fixture
def shown():
    """Figures with which all parts are shown, some of them barely."""
    fitted = {"auroc": figure(0.9), "gained": figure(-0.019)}
    saturated = methods(0.995, 0.05, last=0.995)
    saturated["ahead"].update({f"{name}-last": figure(-0.004, 0.0005) for name in ("equal", "step", "published")})
    return {
        "abnormal": {"near": methods(gain=-0.3), "far": methods(), "noise": saturated},
        "adversarial": {name: methods() for name in ("fgsm-8", "bim", "pgd-8", "pgd-2", "deepfool", "cw")},
        "examples": dict.fromkeys(("fgsm-8", "bim", "pgd-8", "pgd-2", "deepfool", "cw"), 40),
        "fitted": {name: {"last": dict(fitted), "equal": dict(fitted)} for name in ("far", "noise")},
        "trained": {group: {"far": methods(), "noise": methods()} for group in ("wrong", "few")},
        "new_classes": {"shared": {"new": figure(0.12)}, "ahead": {"area_gained": figure(0.02)}, "classes": 10},
    }


def outcomes(found):
    paper = MahalanobisPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(found))}


def changed(found, path, new):
    """The figures with the one at a path replaced."""
    *way, last = path
    place = found = json.loads(json.dumps(found))  # nothing shared
    for key in way:
        place = place[key]
    place[last] = new
    return found


def test_all_parts_are_shown(shown):
    found = outcomes(shown)
    assert {*found.values()} == {"shown"}
    assert set(found) == set(MahalanobisPaper.parts)
    assert outcomes(Nested(flat(shown))) == found
    assert "boundary: DeepFool 0.770, Carlini and Wagner 0.770." in MahalanobisPaper().remark(shown)


@pytest.mark.parametrize(
    ("path", "hidden", "opposed", "part"),
    [
        (("abnormal", "far", "ahead", "equal-msp"), 0.02, -0.02, "far-images"),
        (("abnormal", "noise", "ahead", "equal-msp"), 0.02, -0.02, "far-images"),
        (("adversarial", "bim", "published", "auroc"), 0.75, 0.4, "attacks"),
        (("adversarial", "fgsm-8", "ahead", "published-msp"), 0.03, -0.02, "attacks"),
        (("adversarial", "pgd-8", "ahead", "published-msp"), 0.03, -0.02, "attacks"),
        (("fitted", "far", "equal", "gained"), -0.025, -0.05, "wrong-labels"),
        (("fitted", "noise", "last", "gained"), -0.025, -0.05, "wrong-labels"),
        (("abnormal", "far", "ahead", "published-last"), 0.005, -0.02, "published-method"),
        (("abnormal", "noise", "ahead", "published-last"), -0.006, -0.02, "published-method"),
        (("adversarial", "bim", "ahead", "published-last"), 0.005, -0.02, "published-method"),
        (("abnormal", "far", "ahead", "equal-last"), 0.005, -0.02, "layers"),
        (("adversarial", "pgd-8", "ahead", "ensemble-last"), 0.005, -0.02, "layers"),
        (("abnormal", "far", "ahead", "step-last"), 0.005, -0.02, "input-step"),
        (("abnormal", "near", "equal", "auroc"), 0.75, 0.4, "near-images"),
        (("adversarial", "pgd-2", "published", "auroc"), 0.75, 0.4, "small-attacks"),
        (("adversarial", "pgd-2", "ahead", "published-msp"), 0.0, -0.02, "small-attacks"),
        (("adversarial", "cw", "published", "auroc"), 0.75, 0.4, "other-attacks"),
        (("adversarial", "deepfool", "published", "auroc"), 0.75, 0.4, "other-attacks"),
        (("trained", "wrong", "far", "equal", "auroc"), 0.75, 0.4, "noisy-training"),
        (("trained", "few", "noise", "ahead", "equal-msp"), 0.03, -0.02, "noisy-training"),
        (("new_classes", "ahead", "area_gained"), 0.005, -0.02, "new-classes"),
        (("new_classes", "shared", "new"), 0.1, 0.08, "new-classes"),
    ],
)
def test_one_figure_decides_a_part_alone(shown, path, hidden, opposed, part):
    before = outcomes(shown)
    assert outcomes(changed(shown, path, figure(hidden))) == {**before, part: "not visible at this scale"}
    assert outcomes(changed(shown, path, figure(opposed))) == {**before, part: "contradicted"}


def test_redrawn_labels_are_wrong_at_the_rate_and_spread_over_all_others():
    labels = torch.arange(4).repeat(5000)
    noisy = redrawn(labels, 0.4, 0)
    assert (noisy != labels).float().mean().item() == pytest.approx(0.4, abs=0.02)
    wrong = noisy[(labels == 0) & (noisy != labels)].bincount(minlength=4) / 2000
    assert wrong.tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3], abs=0.04)
    assert torch.equal(redrawn(labels, 0.0, 0), labels)


def test_noise_is_as_long_as_what_an_attack_changed():
    """For each image: the one that was moved by 8 steps of 255 gets longer noise than the one moved by 2."""
    clean = Batch(torch.full((2, 3, 32, 32), 128 / 255), None, ("a", "b"))
    moved = clean.with_images(clean.images + torch.tensor([8.0, 2.0]).view(2, 1, 1, 1) / 255)
    noise = (noisy_as(clean, moved, 0).images - clean.images).flatten(1)
    assert (255 * noise.std(1)).tolist() == pytest.approx([8, 2], rel=0.03)
    assert noise.mean(1).abs().max() < 1 / 255
    assert noise.mul(255).round().sub(noise * 255).abs().max() < 1e-3  # an 8-bit file holds them


class Made:
    """Scores of a set: of a seed's cell only these are asked for."""

    def __init__(self, scores, tune):
        self.scores, self.roles = scores, Roles(tune)


def pair(shift, tune, seed=0):
    """200 normal and abnormal samples; the abnormal ones are shifted, in rows for choosing and in the others."""
    rng, every = np.random.default_rng(seed), np.ones(200, bool)
    normal, abnormal = ({name: rng.normal(size=200) for name in shift} for _ in "ab")
    for name, (choosing, judging) in shift.items():
        abnormal[name] += np.where(tune, choosing, judging)
    return Pair([(Made(normal, tune), every)], (Made(abnormal, tune), every))


TUNE = np.arange(200) < 100


def test_weights_find_the_layer_that_tells():
    one = pair({"layer1": (0, 0), "layer2": (3, 3)}, TUNE)
    found = choose(one, ("layer1", "layer2"), (0.0,))
    assert abs(found.weights[0]) < 0.3 * found.weights[1]
    assert auroc(*found.scores(one)).value > 0.95


def test_weights_are_for_scores_as_they_are():
    """Scores that are a thousand times as large get a thousandth of the weight."""
    rng = np.random.default_rng(0)
    normal, abnormal = rng.normal(size=(80, 2)), rng.normal(1, 1, (80, 2))
    plain, large = regressed(normal, abnormal), regressed(normal * [1, 1000], abnormal * [1, 1000])
    assert (large * [1, 1000]).tolist() == pytest.approx(plain.tolist())


def test_step_and_weights_are_chosen_on_their_own_rows_and_judged_on_the_others():
    """The step that is best on the rows for choosing is the worst one afterwards, and is taken all the same."""
    one = pair({"layer1": (0, 0), "layer1@0.001": (3, -5), "layer1@0.005": (1, 5)}, TUNE)
    found = choose(one, ("layer1",), (0.0, 0.001, 0.005))
    assert found.names == ("layer1@0.001",)
    assert found.weights.tolist() == [1]
    assert auroc(*found.scores(one)).value < 0.01
    both = pair({"layer1": (3, 0), "layer2": (0, 3)}, TUNE)
    weights = choose(both, ("layer1", "layer2"), (0.0,)).weights
    assert weights[0] > 3 * abs(weights[1])  # though it is the other layer that tells afterwards


def test_the_step_is_chosen_on_other_rows_than_the_weights():
    """A layer that tells only on the half that weights are learned from chooses no step."""
    half = np.arange(200) % 2 == 0
    one = pair({"layer1": (0, 0), "layer2": (0, 0), "layer1@0.001": (0, 0), "layer2@0.001": (0, 0)}, TUNE)
    one.abnormal[0].scores["layer1@0.001"] += np.where(half & TUNE, 8, 0)
    one.abnormal[0].scores["layer1"] += np.where(TUNE, 2, 0)
    assert choose(one, ("layer1", "layer2"), (0.0, 0.001)).names == ("layer1", "layer2")


def test_too_few_samples_to_choose_on_are_refused():
    with pytest.raises(DataError, match="2 normal and 2 abnormal samples are too few"):
        choose(pair({"layer1": (0, 0)}, np.arange(200) < 2), ("layer1",), (0.0,))


def test_differences_are_those_of_one_network():
    low, high = np.zeros(50), np.arange(50.0)
    found = measured({"msp": (high, low), "equal": (low, high + 1), "last": (high, high)}, auroc_influence)
    ahead = {name: column.mean() for name, column in found["ahead"].items()}
    assert ahead == pytest.approx({"equal-msp": 1 - found["msp"]["auroc"].mean(), "equal-last": 0.5})


def test_an_auroc_by_image_is_of_the_rows_to_judge_by_and_aligned_by_ids():
    """The mean is the AUROC; images that serve to choose by have no influence on it."""
    one = pair({"layer1": (0, 2)}, TUNE)
    for (cell, _), name in zip([*one.normal, one.abnormal], "ab", strict=True):
        cell.ids = np.array([f"{name}{i:03}" for i in range(200)])
    normal, abnormal = (scores[:, 0] for scores in one.values(["layer1"]))
    found = one.auroc(normal, abnormal)
    assert len(found) == 400
    assert found.mean() == pytest.approx(auroc(normal, abnormal).value)
    assert found[:200][TUNE] == pytest.approx(found.mean())
    assert found[:200][~TUNE].std() > 0


def test_added_classes_by_hand():
    """Two old images and two new ones, of which one is wrong among its own: 2 of 4 pairs can be right at once."""
    rows = [
        {"way": way, "label": label, "fresh": label > 1, "old": old, "new": new, "gap": gap}
        for way in ("shared", "euclidean")
        for label, old, new, gap in ((0, 0, 2, -1.0), (1, 1, 2, 0.5), (2, 0, 2, 0.2), (3, 0, 2, 9.0))
    ]
    found = added(rows)
    # of pairs of a right old and a right new image, gaps -1 and 0.5 against 0.2: one of two is in order
    assert found["shared"] == {"area": 0.5 * 0.5, "old": 0.5, "new": 0.5}
    assert found["ahead"] == {"area_gained": 0, "new_gained": 0}


def test_every_figure_is_there(finished):
    result = finished("mahalanobis").result
    names = set(result.measured)
    ways = ("msp", "layer1", "last", "step", "equal", "ensemble", "published")
    for group, sets in (("abnormal", ("near", "noise")), ("adversarial", ("fgsm-8", "bim", "pgd-8", "deepfool", "cw"))):
        assert {f"{group}.{s}.{w}.{f}" for s in sets for w in ways for f in ("auroc", "fpr95")} <= names
    assert "abnormal.noise.own.auroc" in names
    assert {f"fitted.noise.{w}.{f}" for w in ("last", "equal") for f in ("auroc", "gained")} <= names
    assert {"accuracy.softmax", "accuracy.layer4", "accuracy.wrong", "accuracy.few"} <= names
    assert result.measured["accuracy.softmax"]["value"] > 0.6
    assert result.measured["abnormal.noise.equal.auroc"]["value"] > 0.9
    assert result.measured["new_classes.shared.new"]["value"] > 0.5
    assert result.measured["new_classes.classes"] == 5
    tried = {c.part for c in result.checks}
    assert tried == set(MahalanobisPaper.parts)


def test_too_few_classes_are_refused(finished, tmp_path):
    run = finished("mahalanobis")
    with pytest.raises(DataError, match="3 classes: four or more"):
        run_paper(run.text, out=tmp_path / "run", data=finished("dverge").data)
