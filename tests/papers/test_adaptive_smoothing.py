"""The rules by hand, and the whole row on tints that a small network learns at once."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
from scipy.special import softmax

from tests.papers.tiny import Tiny, make_faint_tints
from unshaken.core.errors import ParameterError
from unshaken.core.part import Condition, Part
from unshaken.core.registry import find_method
from unshaken.papers import run_paper
from unshaken.papers.claim import Outcome, judge_parts
from unshaken.papers.folders import find_row
from unshaken.papers.rows import Rows
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of
from unshaken_papers.adaptive_smoothing import AdaptiveSmoothingPaper
from unshaken_papers.adaptive_smoothing.figures import Figures, chord_at, chosen_of, fixed_at

TINY = Tiny(
    make=partial(make_faint_tints, train=180, test=70),
)
"""How the battery runs the row, beside its tiny sizes."""


def value(v):
    return {"value": v}


def seed(i):
    """Figures of a seed with which every part is shown."""
    more = 0.001 * i
    one = {"clean": value(0.87), "worst": value(0.55 + more), "above_chord": 0.3 + more}
    sweep = {f"a{a:g}": copy.deepcopy(one) for a in (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)}
    return {
        "g": {"clean": value(0.9), "worst": value(0.0)},
        "h": {
            "clean": value(0.8),
            "worst": value(0.7),
            "margin": {"attacked": {"right": 0.6, "wrong": 0.2 - more, "gap": 0.4 + more}},
        },
        "T1": sweep,
        "T2": copy.deepcopy(sweep),
        "certified": {
            "a0.8": {"published": {"r0.1": value(0.7 + more)}}, "a1": {"published": {"r0.1": value(0.8)}}
        },
    }  # fmt: skip


def gate(gain, clean=0.85):
    return {"gain": gain, "clean": {"value": clean, "low": clean - 0.01, "high": clean + 0.01}}


@pytest.fixture
def measured():
    """Three seeds."""
    gates = {"b0": gate(0.02), "b1": gate(-0.3), "b2": gate(0)}
    return {f"seed{i}": {**seed(i), "mixing_network": copy.deepcopy(gates)} for i in range(3)}


def outcomes(measured):
    paper, parts = AdaptiveSmoothingPaper(), list(measured.values())
    for part, chosen in zip(parts, chosen_of(parts, parts), strict=True):
        part["chosen"] = chosen
    return {part.name: part.outcome for part in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_every_part_that_is_tried_is_shown(measured):
    found = outcomes(measured)
    assert found.pop("published-scale") == Outcome.NOT_TRIED
    assert set(found.values()) == {Outcome.SHOWN}


def test_a_part_that_was_not_run_is_not_tried(measured):
    for part in measured.values():
        part.pop("mixing_network", None)
        del part["certified"]
    found = outcomes(measured)
    assert [found[name] for name in ("mixing-network", "certificate")] == [Outcome.NOT_TRIED] * 2


@pytest.mark.parametrize(
    ("gaps", "outcome"),
    [
        ((0.4, 0.4, 0.0), Outcome.NOT_VISIBLE),
        ((0.4, 0.4, None), Outcome.NOT_VISIBLE),
        ((0.4, 0.1, 0.01), Outcome.NOT_VISIBLE),  # above 0 in every seed, but not clearly
        ((-0.1, -0.1, -0.11), Outcome.CONTRADICTED),
    ],
)
def test_margins(measured, gaps, outcome):
    for part, gap in zip(measured.values(), gaps, strict=True):
        part["h"]["margin"]["attacked"] |= {"gap": gap, "wrong": None if gap is None else 0.6 - gap}
    assert outcomes(measured)["margin"] == outcome


@pytest.mark.parametrize(
    ("above", "outcome"),
    [
        ((0.3, 0.3, 0.3), Outcome.SHOWN),
        ((0.3, 0.3, 0.0999), Outcome.NOT_VISIBLE),
        ((0.16, 0.12, 0.105), Outcome.NOT_VISIBLE),  # ten points in every seed, but not clearly
        ((-0.1, -0.101, -0.102), Outcome.CONTRADICTED),
    ],
)
def test_mixtures_against_the_line(measured, above, outcome):
    for part, met in zip(measured.values(), above, strict=True):
        for scale in ("T1", "T2"):
            for weight in ("a0.7", "a0.8", "a0.9", "a0.95"):
                part[scale][weight]["above_chord"] = met if (scale, weight) == ("T2", "a0.95") else met - 0.2
        part["T1"]["a0.6"]["above_chord"] = 0.5  # not one of the weights that the rule names
    assert outcomes(measured)["trade-off"] == outcome


@pytest.mark.parametrize(
    ("clean", "worst", "outcome"),
    [
        (0.851, 0.36, Outcome.SHOWN),
        (0.849, 0.6, Outcome.CONTRADICTED),  # less than half of ten points
        (0.87, 0.34, Outcome.CONTRADICTED),
        (0.79, 0.6, Outcome.CONTRADICTED),
    ],
)
def test_what_a_mixture_keeps(measured, clean, worst, outcome):
    for part in measured.values():
        for scale in ("T1", "T2"):
            for one in part[scale].values():
                one |= {"clean": value(clean), "worst": value(worst)}
    assert outcomes(measured)["keeps-most"] == outcome
    measured["seed1"]["h"]["clean"] = value(0.74)  # of 16 points more than half is kept: seeds that differ say nothing
    if outcome != Outcome.SHOWN:
        measured["seed1"] |= {"g": {"clean": value(0.81), "worst": value(0)}, "h": measured["seed1"]["h"]}
        measured["seed1"]["h"]["worst"] = value(0.1)
        assert outcomes(measured)["keeps-most"] == Outcome.NOT_VISIBLE


def test_what_one_half_of_the_images_chooses_is_judged_on_the_other(measured):
    others = copy.deepcopy(measured)
    for part in others.values():
        part["T2"]["a0.8"]["above_chord"] = 0.9
        part["T1"]["a0.95"] |= {"clean": value(0.89), "worst": value(0.69)}
        part["mixing_network"]["b2"] = gate(0.5)
    for part in measured.values():
        part["T2"]["a0.8"]["above_chord"] = 0.01
        part["T1"]["a0.95"] |= {"clean": value(0.81), "worst": value(0.69)}
        part["mixing_network"]["b2"] = gate(-0.01)
    for chosen in chosen_of(list(others.values()), list(measured.values())):
        assert (chosen["trade_off"]["mixture"], chosen["trade_off"]["met"]) == ("weight 0.8, T_h 2", 0.01)
        assert (chosen["keeps_most"]["mixture"], chosen["keeps_most"]["met"]) == ("weight 0.95, T_h 1", 0.1)
        assert (chosen["mixing_network"]["bias"], chosen["mixing_network"]["gain"]) == ("2", -0.01)


def test_mixing_networks_of_several_seeds_by_the_interval_over_seeds(measured):
    for part, gain in zip(measured.values(), (0.004, 0.005, 0.006), strict=True):
        part["mixing_network"] = {f"b{b}": gate(gain) for b in range(3)}
    assert outcomes(measured)["mixing-network"] == Outcome.SHOWN
    measured["seed2"]["mixing_network"] = {f"b{b}": gate(-0.006) for b in range(3)}
    assert outcomes(measured)["mixing-network"] == Outcome.NOT_VISIBLE


@pytest.mark.parametrize(
    ("certified", "outcome"),
    [
        ((0.41, 0.41, 0.41), Outcome.SHOWN),
        ((0.41, 0.7, 0.42), Outcome.NOT_VISIBLE),
        ((0.39, 0.39, 0.39), Outcome.CONTRADICTED),
    ],
)
def test_certificates(measured, certified, outcome):
    for part, share in zip(measured.values(), certified, strict=True):
        part["certified"]["a0.8"]["published"]["r0.1"] = value(share)
    assert outcomes(measured)["certificate"] == outcome


def test_one_seed_shows_nothing_over_seeds(measured):
    found = outcomes({"seed0": measured["seed0"]})
    assert {found[name] for name in ("margin", "trade-off", "keeps-most")} == {Outcome.NOT_VISIBLE}


def test_the_remark_speaks_of_small_weights(measured):
    remark = AdaptiveSmoothingPaper().remark(measured)
    assert remark.startswith("At weight 0.3 robust accuracy is 0.550, 0.551, 0.552:")


def test_a_model_is_as_robust_as_under_the_worse_loss_for_each_image(tmp_path):
    """Of four images one withstands both losses."""
    run, ids = RunDir(tmp_path), ["a", "b", "c", "d"]
    for name, right in {"clean": (1, 1, 1, 1), "ce": (1, 1, 0, 0), "margin": (1, 0, 1, 0)}.items():
        part = Part("outcomes", Condition(f"g.{name}", "pgd"), {"id": ids, "correct": [bool(r) for r in right]})
        run.write_rows(table_of(part), "outcomes", f"g.{name}", 0)
    found = Figures(Rows(run, "adaptive-smoothing", 0)).model("g")
    assert {name: figure["value"] for name, figure in found.items()} == {
        "clean": 1.0, "ce": 0.5, "margin": 0.5, "worst": 0.25
    }  # fmt: skip


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


def test_a_mixing_network_and_certificates_for_all_seeds(small):
    result = small.result
    for seed in ("seed0", "seed1"):
        assert result.measured[f"{seed}.mixing_network.b1.clean"]["n"] == 60
        under = result.measured[f"{seed}.mixing_network.b1.worst"]["value"]
        assert all(
            under <= result.measured[f"{seed}.mixing_network.b1.knowing_attack.{share}"]["value"]
            for share in ("0.25", "0.5", "0.75")
        )
        assert 0 < result.measured[f"{seed}.chosen.trade_off.clean"]["n"] < 60
    rows = RunDir(small.out).rows("certificates").to_pylist()
    for alpha in ("0.6", "1"):
        for rule in ("sharp", "published"):
            one = [r for r in rows if r["condition"] == f"seed1.certified-a{alpha}-{rule}"]
            sure = [r["prediction"] == r["label"] and not r["abstained"] and r["radius"] > 0.1 for r in one]
            assert len(one) == 8
            assert result.measured[f"seed1.certified.a{alpha}.{rule}.r0.1"]["value"] == pytest.approx(np.mean(sure))
    assert "bias" in result.note


@pytest.mark.long
def test_models_of_ones_own(tmp_path):
    text = "adaptive-smoothing:test=40,attacked=10,steps=3,seeds=1"
    result = run_paper(text, out=tmp_path / "run", data="demo", model="demo:standard|demo:robust")
    assert result.measured["seed0.g.clean"]["n"] == 40
    assert result.measured["seed0.h.worst"]["n"] == 10
    assert not any("mixing_network" in k or "certified" in k for k in result.measured)
    with pytest.raises(ParameterError, match="name two, the accurate and the robust one"):
        run_paper(text, out=tmp_path / "one", data="demo", model="demo:standard")


def test_certifier_and_row_are_both_found_by_their_name():
    assert find_row("adaptive-smoothing") is AdaptiveSmoothingPaper
    assert find_method("adaptive-smoothing", "certify").name == "adaptive-smoothing"


def test_chord_and_fixed_weights_by_hand():
    g, h = (0.873, 0.0), (0.806, 0.723)
    assert chord_at(0.83, g, h) == pytest.approx(0.43 / 0.67 * 0.723, abs=1e-9)
    assert chord_at(0.9, g, h) == 0.0
    assert chord_at(0.7, g, h) == 0.723
    assert chord_at(0.8, (0.7, 0.2), (0.75, 0.5)) == 0.5  # a robust network that is the more accurate, too
    points = [(0.9, 0.0), (0.8, 0.4), (0.7, 0.6)]
    assert fixed_at(0.2, points) == pytest.approx(0.85)
    assert fixed_at(0.6, points) == pytest.approx(0.7)
    assert fixed_at(0.9, points) == 0.7
