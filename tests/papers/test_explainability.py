"""The rules by hand, both ways; ranks and correlations by hand; figures against rows."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from tests.papers.tiny import Tiny, make_colours
from unshaken.core.registry import parse_method
from unshaken.explain import Attribution
from unshaken.papers.claim import judge_parts
from unshaken.papers.effects import Nested
from unshaken.papers.run import flat
from unshaken.store.run_dir import RunDir
from unshaken_papers.explainability import BEST, CONTROLS, METHODS, NETS, ExplainabilityPaper
from unshaken_papers.explainability.figures import bootstrapped, rank_correlation

QUICK_MAPS = {"gradient": ("gradient", "input-x-gradient"), "cam": ("gradcam",), "perturbation": ("rise:samples=2",)}
"""Methods of `explainability` in few passes, by family."""

TINY = Tiny(
    make=make_colours,
    patches={
        "unshaken_papers.explainability.experiment.STRIDES": (2, 2, 1, 1),
        "unshaken_papers.explainability.experiment.STEPS": 2,
        "unshaken_papers.explainability.experiment.METHODS": sum(QUICK_MAPS.values(), ()),
        "unshaken_papers.explainability.figures.FAMILIES": QUICK_MAPS,
        "unshaken_papers.explainability.figures.NAMES": ("gradient", "input-x-gradient", "gradcam", "rise"),
        **{f"unshaken_papers.explainability.{f}.CONTROLS": ("random-map",) for f in ("experiment", "figures")},
    },
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half, "n": 3, "interval": "by hand"}


AREAS = ("insertion", "deletion", "insertion_of_constant_maps", "deletion_of_constant_maps")


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown, barely."""
    return {
        "gradient_gains_more_than": {"cam": figure(0.011), "perturbation": figure(0.011)},
        "standard_minus_advprop": figure(-0.009),
        "rank_margin": {method: figure(0.011) for method in BEST},
        "confidence": {name: figure(0.011) for name in AREAS},
        "missed": figure(0.011),
    }


def outcomes(measured):
    paper = ExplainabilityPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert {name for name, outcome in found.items() if outcome == "not tried"} == {"large-scale"}
    assert {*found.values()} == {"not tried", "shown"}
    assert outcomes(Nested(flat(measured))) == found


@pytest.mark.parametrize(
    ("part", "path", "hidden", "opposed"),
    [
        ("gradient-gain", ("gradient_gains_more_than", "cam"), 0.009, -0.011),
        ("gradient-gain", ("gradient_gains_more_than", "perturbation"), 0.009, -0.011),
        ("advprop", ("standard_minus_advprop",), -0.011, -0.031),
        ("best-methods", ("rank_margin", "gradcam"), 0.009, -0.011),
        ("best-methods", ("rank_margin", "rise"), 0.009, -0.011),
        *(("confidence", ("confidence", name), 0.009, -0.011) for name in AREAS),
        ("no-winner", ("missed",), 0.009, -0.011),
    ],
)
def test_each_figure_decides_its_part_alone(measured, part, path, hidden, opposed):
    for value, outcome in ((hidden, "not visible at this scale"), (opposed, "contradicted")):
        changed = copy.deepcopy(measured)
        *way, last = path
        place = changed
        for key in way:
            place = place[key]
        place[last] = figure(value)
        assert outcomes(changed) == {**outcomes(measured), part: outcome}


def test_all_nine_methods_are_attributions():
    assert all(isinstance(parse_method(m, "explain"), Attribution) for m in (*METHODS, *CONTROLS))
    assert len(METHODS) == 9


def test_rank_correlation_by_hand():
    means = np.array([[1.0, 2, 3, 10, 20, 30], [1, 2, 3, 30, 20, 10], [1, 2, 3, 1, 3, 2], [1, 2, 3, 5, 5, 5]])
    assert rank_correlation(means).tolist() == pytest.approx([1, -1, 0.5, 0])


def test_a_bootstrap_of_what_never_varies_tells_nothing_of_others():
    columns = np.tile([0.2, 0.4, 0.1, 0.3], (5, 1))
    found = bootstrapped(columns, rank_correlation)
    assert (found["value"], found["low"], found["high"], found["n"]) == (1.0, None, None, 5)


def test_figures_come_from_rows(finished):
    run, measured = RunDir(finished("explainability").out), finished("explainability").result.measured
    shares: dict[str, dict[str, float]] = {}
    for row in run.rows("explainability_shares").to_pylist():
        shares.setdefault(row["condition"], {})[row["id"]] = row["value"]
    seeds, ids = (0, 1), sorted(shares["seed0.standard.gradient"])
    assert len(shares) == 2 * (3 * 5 + 3 * 2)

    def mean(net, methods):
        return np.mean([[shares[f"seed{s}.{net}.{m}"][i] for i in ids] for s in seeds for m in methods])

    gradient = ["gradient", "input-x-gradient"]
    assert measured["gain.gradient"]["value"] == pytest.approx(mean("robust", gradient) - mean("standard", gradient))
    names = [*gradient, "gradcam", "rise"]
    assert measured["advprop_minus_standard"]["value"] == pytest.approx(
        mean("advprop", names) - mean("standard", names)
    )
    curves: dict[str, list[float]] = {}
    for row in run.rows("explainability_curves").to_pylist():
        curves.setdefault(row["condition"], []).append(row["confidence"])
        if row["map"] == "constant":
            assert 0 <= row["insertion"] <= 1
    assert len(curves) == 2 * len(NETS) * 2
    right = {}
    for row in run.rows("outcomes").to_pylist():
        if row["condition"].endswith(".clean"):
            right.setdefault(row["id"], []).append(row["correct"])
    kept = {row["id"]: row["right"] for row in run.rows("explainability_chosen").to_pylist()}
    assert kept == {i: pytest.approx(np.mean(right[i])) for i in kept}
    assert min(kept.values()) >= max((np.mean(v) for i, v in right.items() if i not in kept), default=0)
