"""The rules by hand, and part (a) on images of one's own."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from tests.papers.tiny import Tiny, make_tints
from unshaken.attack.ensembles.autoattack import AutoAttack
from unshaken.core.errors import ParameterError
from unshaken.papers import run_paper
from unshaken.papers.claim import Outcome, judge_parts
from unshaken.store.run_dir import RunDir
from unshaken_papers.adversarial_training import AdversarialTrainingPaper
from unshaken_papers.adversarial_training.figures import collapse, courses

TINY = Tiny(
    make=make_tints,
    patches={"unshaken_papers.adversarial_training.experiment.AutoAttack": partial(AutoAttack, steps=10, queries=50)},
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


def course(best, last):
    return {"best": figure(best), "last": figure(last), "best_epoch": 6}


@pytest.fixture
def measured():
    """Figures of three seeds with which every part is shown."""
    seeds = {}
    for i in range(3):
        trained, more = {"gain": figure(0.25), "clean_gain": figure(-0.05)}, 0.001 * i
        mixed = {"gain": figure(0.07), "clean_gain": figure(0.0)}
        seeds[f"seed{i}"] = {
            "ordering": {"at": dict(trained), "trades": dict(trained)},
            "catastrophic": {"fgsm": {"left": 0.2 + more}, "n-fgsm": {"left": 0.9 + more}},
            "robust_overfitting": {
                "at": course(0.4, 0.25 + more), "awp": course(0.4, 0.39), "ema": course(0.4, 0.38 - more),
            },
            "corruptions": {
                "crop-flip": {"clean": figure(0.7), "corrupted": 0.6}, "augmix": dict(mixed), "pixmix": dict(mixed),
            },
        }  # fmt: skip
    return seeds


def outcomes(measured):
    paper = AdversarialTrainingPaper()
    return {part.name: part.outcome for part in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_every_part_that_is_tried_is_shown(measured):
    found = outcomes(measured)
    assert found.pop("other-recipes") == Outcome.NOT_TRIED
    assert set(found.values()) == {Outcome.SHOWN}


@pytest.mark.parametrize(
    ("part", "path", "bound", "opposite"),
    [
        ("robust-gain", ("ordering", "trades", "gain"), 0.2, -0.02),
        ("clean-cost", ("ordering", "at", "clean_gain"), 0.0, 0.03),
        ("catastrophic-overfitting", ("catastrophic", "fgsm", "left"), 0.5, 0.9),
        ("noise-prevents", ("catastrophic", "n-fgsm", "left"), 0.5, 0.1),
        ("augmix", ("corruptions", "augmix", "gain"), 0.05, -0.02),
        ("augmix", ("corruptions", "augmix", "clean_gain"), -0.02, -0.04),
        ("pixmix", ("corruptions", "pixmix", "gain"), 0.05, -0.02),
        ("pixmix", ("corruptions", "pixmix", "clean_gain"), -0.02, -0.04),
    ],
)
def test_each_part_falls_alone_by_the_interval_over_seeds(measured, part, path, bound, opposite):
    group, name, key = path
    for met, outcome in ((bound, Outcome.NOT_VISIBLE), (opposite, Outcome.CONTRADICTED)):
        for i, seed in enumerate(measured.values()):
            value = met + 0.001 * (i - 1)
            seed[group][name] = seed[group][name] | {key: value if key == "left" else figure(value)}
        found = outcomes(measured)
        assert found[part] == outcome
        assert [n for n, o in found.items() if o not in (Outcome.SHOWN, Outcome.NOT_TRIED)] == [part]


def test_one_seed_that_does_not_collapse_is_not_enough_to_contradict(measured):
    measured["seed1"]["catastrophic"]["fgsm"] = {"left": 1.0}
    assert outcomes(measured)["catastrophic-overfitting"] == Outcome.NOT_VISIBLE


@pytest.mark.parametrize(
    ("falls", "outcome"),
    [((0.03, 0.031, 0.032), "shown"), ((0.03, 0.031, 0.0), "not visible"), ((-0.03, -0.031, -0.032), "contradicted")],
)
def test_robust_overfitting_over_the_seeds(measured, falls, outcome):
    for part, fall in zip(measured.values(), falls, strict=True):
        part["robust_overfitting"]["at"] = course(0.3, 0.3 - fall)
    assert outcomes(measured)["robust-overfitting"].startswith(outcome)


@pytest.mark.parametrize(
    ("best", "last", "outcome"),
    [
        (0.27, 0.25, Outcome.NOT_VISIBLE),  # it falls less, but from a lower maximum, and ends no higher
        (0.6, 0.39, Outcome.CONTRADICTED),  # it ends higher, but falls more
        (0.25, 0.2, Outcome.CONTRADICTED),
    ],
)
def test_a_remedy_falls_less_and_ends_higher(measured, best, last, outcome):
    for part in measured.values():
        part["robust_overfitting"]["ema"] = course(best, last)
    assert outcomes(measured)["averaging"] == outcome


def test_the_best_epoch_is_that_of_the_other_seeds():
    curves = {"a": {3: 0.9, 6: 0.5, 9: 0.4}, "b": {3: 0.2, 6: 0.5, 9: 0.3}, "c": {3: 0.1, 6: 0.4, 9: 0.2}}
    found = courses(curves, 10)
    assert {name: (one["best_epoch"], one["best"]["value"]) for name, one in found.items()} == {
        "a": (6, 0.5), "b": (3, 0.2), "c": (3, 0.1)
    }  # fmt: skip
    assert [(one["highest"], one["last"]["value"]) for one in found.values()] == [(0.9, 0.4), (0.5, 0.3), (0.4, 0.2)]
    assert (found["a"]["best"]["n"], found["a"]["epochs"], found["a"]["checks"]) == (10, 9, 3)


def test_a_collapse_is_the_largest_fall_within_a_training_in_whatever_epoch():
    found = collapse({1: 0.2, 2: 0.4, 3: 0.1, 4: 0.3, 5: 0.6, 6: 0.5}, 10)
    assert (found["left"], found["from_epoch"], found["to_epoch"]) == (0.25, 2, 3)
    assert [found[name]["value"] for name in ("before", "after", "last")] == [0.4, 0.1, 0.5]
    assert collapse({1: 0.0, 2: 0.1, 3: 0.3}, 10)["left"] == 1.0


def test_other_images_leave_all_parts_but_the_first_untried(measured):
    found = outcomes({name: {"ordering": part["ordering"]} for name, part in measured.items()})
    assert [name for name, outcome in found.items() if outcome != Outcome.NOT_TRIED] == ["robust-gain", "clean-cost"]


@pytest.mark.long
def test_own_images_run_part_a_from_rows(finished):
    run = finished("adversarial-training")
    groups = {name.partition(".")[2].partition(".")[0] for name in run.result.measured}
    assert groups == {"ordering", ""}
    found = RunDir(run.out).rows("outcomes").to_pylist()
    by_hand = [r["correct"] for r in found if r["condition"] == "seed1.clean.at"]
    assert run.result.measured["seed1.ordering.at.clean"]["value"] == pytest.approx(np.mean(by_hand))
    assert {r["condition"] for r in found if ".aa." in r["condition"]} == {
        f"seed{seed}.aa.{name}-linf-0.1" for seed in range(2) for name in ("standard", "fgsm-rs", "at", "trades")
    }
    assert RunDir(run.out).rows("adversarial_training_training").num_rows > 0


def test_a_model_of_ones_own_makes_no_sense(tmp_path):
    with pytest.raises(ParameterError, match="trains its own networks"):
        run_paper("adversarial-training", model="demo:robust", out=tmp_path / "run")
