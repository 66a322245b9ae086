"""The rule by hand, figures against rows, and the warnings of the defences that are tried."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from tests.papers.tiny import Tiny, make_tints
from unshaken.attack.ensembles.autoattack import AutoAttack
from unshaken.papers.claim import judge_parts
from unshaken.papers.effects import Nested
from unshaken.papers.run import flat
from unshaken.store.run_dir import RunDir
from unshaken_papers.attack_suite import EXPECTED, MASKED, WARNINGS, AttackSuitePaper

TINY = Tiny(
    make=make_tints,
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half, "n": 3, "interval": "by hand"}


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown, some of them barely."""
    return {
        "gap": {"robust": figure(0.011), **{name: figure(0.111) for name in MASKED}},
        "spent": {"standard": figure(0.189)},
        "lost": {"standard": 0, "robust": 0},
        "warned": {net: {w: float(w in due) for w in WARNINGS} for net, due in EXPECTED.items()},
    }


def outcomes(measured):
    paper = AttackSuitePaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert {name for name, outcome in found.items() if outcome == "not tried"} == {"peers"}
    assert {*found.values()} == {"not tried", "shown"}
    assert outcomes(Nested(flat(measured))) == found


@pytest.mark.parametrize(
    ("part", "path", "new", "outcome"),
    [
        ("stronger", ("gap", "robust"), figure(0.009), "not visible at this scale"),
        ("stronger", ("gap", "robust"), figure(-0.011), "contradicted"),
        ("masked", ("gap", "cold"), figure(0.109), "not visible at this scale"),
        ("masked", ("gap", "bit_depth"), figure(-0.011), "contradicted"),
        ("cheap", ("spent", "standard"), figure(0.191), "not visible at this scale"),
        ("cheap", ("spent", "standard"), figure(1.011), "contradicted"),
        ("same-verdict", ("lost", "robust"), 1, "contradicted"),
        ("warnings", ("warned", "noise", "randomness"), 0.5, "not visible at this scale"),
        ("warnings", ("warned", "standard", "zero-gradient"), 0.5, "contradicted"),
    ],
)
def test_each_figure_decides_its_part_alone(measured, part, path, new, outcome):
    changed = copy.deepcopy(measured)
    *way, last = path
    place = changed
    for key in way:
        place = place[key]
    place[last] = new
    assert outcomes(changed) == {**outcomes(measured), part: outcome}


def test_figures_come_from_rows(finished):
    run, measured = RunDir(finished("attack-suite").out), finished("attack-suite").result.measured
    table = {}
    for row in run.rows("outcomes").to_pylist():
        table.setdefault(row["condition"], {})[row["id"]] = row
    whole = AutoAttack(steps=2, queries=3).most_passes(3)
    for net in ("standard", "robust", *MASKED):
        gaps, spent = [], []
        for seed in (0, 1):
            name = next(c for c in table if c.startswith(f"seed{seed}.{net}.autoattack"))
            clean, pgd, best = (table[c] for c in (f"seed{seed}.{net}.clean", f"seed{seed}.{net}.pgd", name))
            gaps.append(np.mean([pgd[i]["correct"] for i in pgd]) - np.mean([best[i]["correct"] for i in best]))
            passes = [r["forwards"] + r["backwards"] for i, r in best.items() if clean[i]["correct"]]
            spent.append(min(np.mean(passes) / whole, 1))
        assert measured[f"gap.{net}"]["value"] == pytest.approx(np.mean(gaps))
        assert measured[f"spent.{net}"]["value"] == pytest.approx(np.mean(spent))


def test_seeds_that_agree_in_a_count_are_not_certain(finished):
    measured = finished("attack-suite").result.measured
    counted = [figure for name, figure in measured.items() if name.startswith(("gap.", "accuracy."))]
    assert len(counted) > len(MASKED)
    assert all(figure["low"] < figure["high"] for figure in counted)


def test_the_defences_raise_their_warnings(finished):
    measured = finished("attack-suite").result.measured
    assert measured["warned.bit_depth.zero-gradient"] == 1
    assert measured["warned.noise.randomness"] == 1
    assert measured["warned.standard.zero-gradient"] == measured["warned.standard.randomness"] == 0
