"""The rule by hand, and figures against rows: what is chosen, and on which half it is judged."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from tests.papers.tiny import Tiny, make_bands
from unshaken.measure.detection.ranking import auroc
from unshaken.papers.claim import judge_parts
from unshaken.papers.effects import Nested
from unshaken.papers.run import flat
from unshaken.store.run_dir import RunDir
from unshaken_papers.detection_suite import SCORES, DetectionSuitePaper

TINY = Tiny(
    make=make_bands,
    patches={"unshaken_papers.detection_suite.experiment.FAR": ()},
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half, "n": 3, "interval": "by hand"}


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown, some of them barely: nine scores of seventeen rise."""
    return {
        "chosen": {"far": "vim", "near": "msp"},
        "far_gain": figure(0.011),
        "near_gain": figure(0.011),
        "over_softmax": figure(0.031),
        "with_corrupted": figure(0.011),
        "on_noise": {"msp": figure(0.111), "energy": figure(0.111)},
        "harder": {name: figure(0.011 if i < 9 else 0.009) for i, name in enumerate(SCORES)},
    }


def outcomes(measured):
    paper = DetectionSuitePaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert {name for name, outcome in found.items() if outcome == "not tried"} == {"networks"}
    assert {*found.values()} == {"not tried", "shown"}
    assert outcomes(Nested(flat(measured))) == found


@pytest.mark.parametrize(
    ("part", "name", "hidden", "opposed"),
    [
        ("no-best-score", "far_gain", 0.009, -0.011),
        ("no-best-score", "near_gain", 0.009, -0.011),
        ("beyond-softmax", "over_softmax", 0.029, -0.011),
        ("corrupted", "with_corrupted", 0.009, -0.011),
    ],
)
def test_each_figure_decides_its_part_alone(measured, part, name, hidden, opposed):
    for value, outcome in ((hidden, "not visible at this scale"), (opposed, "contradicted")):
        assert outcomes({**measured, name: figure(value)}) == {**outcomes(measured), part: outcome}


def test_both_scores_of_logits_must_fail_on_noise(measured):
    for value, outcome in ((0.109, "not visible at this scale"), (-0.011, "contradicted")):
        changed = copy.deepcopy(measured)
        changed["on_noise"]["energy"] = figure(value)
        assert outcomes(changed)["noise"] == outcome


def test_more_than_half_of_the_scores_decide_which_images_are_harder(measured):
    changed = copy.deepcopy(measured)
    changed["harder"][SCORES[0]] = figure(0.009)
    assert outcomes(changed)["near-is-harder"] == "not visible at this scale"
    changed["harder"] = {name: figure(-0.011 if i < 9 else 0.011) for i, name in enumerate(SCORES)}
    assert outcomes(changed)["near-is-harder"] == "contradicted"


def test_figures_come_from_rows_and_scores_are_chosen_on_the_other_half(finished):
    run, measured = RunDir(finished("detection-suite").out), finished("detection-suite").result.measured
    known = {}
    for row in run.rows("scores").to_pylist():
        known.setdefault((row["condition"], row["detector"], row["split"]), []).append(row["score"])

    def area(detector, name, split):
        pairs = [[known[f"seed{s}.{kind}", detector, split] for kind in ("normal", name)] for s in (0, 1)]
        return np.mean([auroc(*map(np.array, pair)).value for pair in pairs])

    far, near = (max(SCORES, key=lambda d: area(d, kind, "choose")) for kind in ("noise", "near"))
    assert (measured["chosen.far"], measured["chosen.near"]) == (far, near)
    assert {d for _, d, _ in known} == set(SCORES)
    for detector in SCORES:
        assert measured[f"auroc.{detector}.near"]["value"] == pytest.approx(area(detector, "near", "judge"))
    gap = area(far, "noise", "judge") - area(near, "noise", "judge")
    assert measured["far_gain"]["value"] == pytest.approx(gap)
    gap = area("knn", "noise", "judge") - area("energy", "noise", "judge")
    assert measured["on_noise.energy"]["value"] == pytest.approx(gap)


def test_only_examples_that_fool_the_network_count_as_attacked(finished):
    run, measured = RunDir(finished("detection-suite").out), finished("detection-suite").result.measured
    values = []
    for seed in (0, 1):
        outcome = {r["id"]: r["correct"] for r in run.rows("outcomes").to_pylist()
                   if r["condition"] == f"seed{seed}.pgd.outcome"}  # fmt: skip
        rows = [r for r in run.rows("scores").to_pylist() if r["detector"] == "msp" and r["split"] == "judge"]
        own = [r["score"] for r in rows if r["condition"] == f"seed{seed}.normal"]
        moved = [r["score"] for r in rows if r["condition"] == f"seed{seed}.pgd" and not outcome[r["id"]]]
        values.append(auroc(np.array(own), np.array(moved)).value)
    assert measured["auroc.msp.pgd"]["value"] == pytest.approx(np.mean(values))
