"""The verdict's rule by hand, and the whole row on tints that a small network learns at once."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from scipy.special import softmax

from unshaken.core.errors import ParameterError
from unshaken.core.registry import find_method
from unshaken.papers import run_paper
from unshaken.papers.adaptive_smoothing import AdaptiveSmoothingPaper
from unshaken.run.store import RunDir


def value(v):
    return {"value": v}


@pytest.fixture
def measured():
    """Figures with which both parts of the rule hold, barely, in two seeds."""
    one = {"clean": value(0.85), "worst": value(0.4), "above_chord": 0.0}
    sweep = {f"a{a:g}": copy.deepcopy(one) for a in (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)}
    margin = {"attacked": {"right": 0.3, "wrong": 0.29, "gap": 0.01}}
    part = {
        "h": {"clean": value(0.8), "worst": value(0.7), "margin": margin},
        "T1": sweep,
        "T2": copy.deepcopy(sweep),
        "careless": {"from_h": value(0.6)},
    }
    part["T2"]["a0.95"]["above_chord"] = 0.1
    return {"seed0": part, "seed1": copy.deepcopy(part)}


def failed(measured):
    return [c.words for c in AdaptiveSmoothingPaper().judge(measured) if not c.holds]


def test_the_rule_holds(measured):
    assert failed(measured) == []
    assert len(AdaptiveSmoothingPaper().judge(measured)) == 4


@pytest.mark.parametrize("gap", [0.0, -0.1, None])
def test_a_margin_that_is_no_larger_fails(measured, gap):
    measured["seed1"]["h"]["margin"]["attacked"] |= {"gap": gap, "wrong": None if gap is None else 0.3 - gap}
    assert len(failed(measured)) == 1
    assert failed(measured)[0].startswith("seed1: under attack the robust network's margin is 0.300 where right")


def test_a_mixture_on_the_chord_fails(measured):
    measured["seed0"]["T2"]["a0.95"]["above_chord"] = 0.0999
    assert failed(measured) == ["seed0: weight 0.95, T_h 2: clean 0.850, robust 0.400, +10.0 points above the chord"]
    measured["seed0"]["T1"]["a0.6"]["above_chord"] = 0.5  # not one of the weights that the rule names
    assert len(failed(measured)) == 1


def test_the_remark_speaks_of_a_network_that_chooses_the_weight_where_there_is_one(measured):
    remark = AdaptiveSmoothingPaper().remark(measured)
    assert remark.startswith("At weight 0.3 robust accuracy is 0.400, 0.400:")
    assert "chooses the weight" not in remark
    measured["seed0"]["mixing_network"] = {"b0": {"gain": -0.002}, "b1": {"gain": 0.01}}
    assert AdaptiveSmoothingPaper().remark(measured).endswith("by -0.0020, +0.0100.")


@pytest.fixture
def small(finished):
    return finished("adaptive-smoothing")


def test_figures_come_from_rows(small):
    result = small.result
    rows = RunDir(small.out).rows("outcomes").to_pylist()
    by = {}
    for row in rows:
        by.setdefault(row["condition"], {})[row["id"]] = row
    measured = result.measured
    for name in ("g", "h", "T1-a0.8", "T2-a0.95"):
        path = name.replace("-a", ".a")
        clean = by[f"seed1.{name}.clean"]
        assert measured[f"seed1.{path}.clean"]["value"] == pytest.approx(
            np.mean([r["correct"] for r in clean.values()])
        )
        ce, margin = (by[f"seed1.{name}.{loss}"] for loss in ("ce", "margin"))
        worst = [ce[i]["correct"] and margin[i]["correct"] for i in ce]
        assert len(worst) == 16
        assert measured[f"seed1.{path}.worst"]["value"] == pytest.approx(np.mean(worst))
        assert all(r["method"] == "pgd" and r["eps"] == 0.1 and r["norm"] == "linf" for r in ce.values())
    top = np.sort(softmax([r["logits"] for r in by["seed0.h.clean"].values()], axis=1), axis=1)
    right = np.array([r["correct"] for r in by["seed0.h.clean"].values()])
    assert measured["seed0.h.margin.clean.n_right"] == right.sum()
    if right.any():
        expected = (top[:, -1] - top[:, -2])[right].mean()
        assert measured["seed0.h.margin.clean.right"] == pytest.approx(expected, abs=1e-4)


def test_the_mixture_is_that_of_the_two(small):
    rows = RunDir(small.out).rows("outcomes").to_pylist()
    logits = {
        name: np.array([r["logits"] for r in sorted(rows, key=lambda r: r["id"]) if r["condition"] == f"seed0.{name}"])
        for name in ("g.clean", "h.clean", "T2-a0.7.clean")
    }
    wanted = 0.3 * softmax(logits["g.clean"], axis=1) + 0.7 * softmax(2 * logits["h.clean"], axis=1)
    assert np.exp(logits["T2-a0.7.clean"]) == pytest.approx(wanted, abs=1e-5)


def test_a_mixing_network_for_the_first_seed_and_certificates_for_all(small):
    result = small.result
    assert result.measured["seed0.mixing_network.b1.clean"]["n"] == 60
    assert not any(k.startswith("seed1.mixing_network") for k in result.measured)
    attacks = [result.measured[f"seed0.mixing_network.b1.knowing_attack.{s}"]["value"] for s in ("0.25", "0.5", "0.75")]
    assert result.measured["seed0.mixing_network.b1.worst"]["value"] <= min(attacks)
    rows = RunDir(small.out).rows("certificates").to_pylist()
    for alpha in ("0.6", "1"):
        for rule in ("sharp", "published"):
            one = [r for r in rows if r["condition"] == f"seed1.certified-a{alpha}-{rule}"]
            sure = [r["prediction"] == r["label"] and not r["abstained"] and r["radius"] > 0.1 for r in one]
            assert len(one) == 8
            assert result.measured[f"seed1.certified.a{alpha}.{rule}.r0.1"]["value"] == pytest.approx(np.mean(sure))
    assert "A network that chooses the weight" in result.note


def test_models_of_ones_own(tmp_path):
    text = "adaptive-smoothing:test=40,attacked=10,steps=3,seeds=1"
    result = run_paper(text, out=tmp_path / "run", data="demo", model="demo:standard|demo:robust")
    assert result.measured["seed0.g.clean"]["n"] == 40
    assert result.measured["seed0.h.worst"]["n"] == 10
    assert not any("mixing_network" in k or "certified" in k for k in result.measured)
    with pytest.raises(ParameterError, match="name two, the accurate and the robust one"):
        run_paper(text, out=tmp_path / "one", data="demo", model="demo:standard")


def test_certifier_and_row_are_both_found_by_their_name():
    assert find_method("adaptive-smoothing", "papers").cls is AdaptiveSmoothingPaper
    assert find_method("adaptive-smoothing", "certify").name == "adaptive-smoothing"
