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
from unshaken_papers.adaptive_smoothing.figures import Figures, above_chord, choose, chord_at, fixed_at, gained, kept

TINY = Tiny(
    make=partial(make_faint_tints, train=180, test=70),
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.001):
    return {"value": value, "low": value - half, "high": value + half}


SHOWN = {"margin": 0.4, "trade_off": 0.3, "keeps_most": 0.7, "mixing_network": 0.01, "certificate": 0.9}


def measured(**others):
    """Figures with which every part is shown, but for others."""
    over = {"choice": "weight 0.7"} | {name: figure(value) for name, value in (SHOWN | others).items()}
    return {f"seed{i}": {"T1": {"a0.3": {"worst": {"value": 0.55 + i / 1000}}}} for i in range(3)} | {
        "over_seeds": over
    }


def outcomes(measured):
    paper = AdaptiveSmoothingPaper()
    return {part.name: part.outcome for part in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_every_part_that_is_tried_is_shown():
    found = outcomes(measured())
    assert found.pop("published-scale") == Outcome.NOT_TRIED
    assert set(found.values()) == {Outcome.SHOWN}


def test_a_part_that_was_not_run_is_not_tried():
    found = measured()
    for name in ("mixing_network", "certificate"):
        del found["over_seeds"][name]
    assert [outcomes(found)[name] for name in ("mixing-network", "certificate")] == [Outcome.NOT_TRIED] * 2


@pytest.mark.parametrize(
    ("name", "unclear", "opposite"),
    [
        ("margin", 0.0005, -0.1),
        ("trade_off", 0.1005, -0.1),
        ("keeps_most", 0.5005, 0.49),
        ("mixing_network", 0.0005, -0.01),
        ("certificate", 0.5005, 0.49),
    ],
)
def test_each_part_falls_alone(name, unclear, opposite):
    for value, outcome in ((unclear, Outcome.NOT_VISIBLE), (opposite, Outcome.CONTRADICTED)):
        found = outcomes(measured(**{name: value}))
        assert found.pop(name.replace("_", "-")) == outcome
        assert set(found.values()) == {Outcome.SHOWN, Outcome.NOT_TRIED}


def model(clean, worst):
    return {"clean": {"value": clean}, "worst": {"value": worst}}


def test_other_images_choose_mixtures_and_bias_over_all_seeds():
    part = {"g": model(0.9, 0.0), "h": model(0.8, 0.7)}
    part |= {f"T{scale}": {f"a{a:g}": model(0.85, 0.5) for a in (0.6, 0.7, 0.8, 0.9, 0.95)} for scale in (1, 2)}
    part["mixing_network"] = {"b0": {"gain": 0.01}, "b1": {"gain": 0.02}, "b2": {"gain": 0.0}}
    other = copy.deepcopy(part)
    part["T1"]["a0.6"] = model(0.9, 0.7)  # not one of the weights that the rule names
    part["T2"]["a0.8"] = model(0.81, 1.0)  # far above the line, and keeps a tenth
    other["T1"]["a0.95"] = model(0.88, 0.5)
    other["mixing_network"]["b2"] = {"gain": 0.05}
    found = choose([part, other])
    assert (found.trade_off, found.keeps_most, found.bias) == ((2, "a0.8"), (1, "a0.95"), 2.0)
    assert str(found) == (
        "weight 0.8 with T_h 2 against the line, weight 0.95 with T_h 1 for the shares kept, "
        "and bias 2 for mixing networks"
    )
    del part["mixing_network"]
    assert choose([part]).bias is None


def test_measures_by_hand():
    g, h = (0.9, 0.0), (0.8, 0.8)
    assert above_chord((0.85, 0.6), g, h) == pytest.approx(0.2)
    assert kept((0.85, 0.6), g, h) == pytest.approx(0.5)
    assert kept((0.89, 0.2), g, h) == pytest.approx(0.25)
    assert kept((0.85, 0.6), h, h) == 0.0  # a network that is no more accurate leaves nothing to keep
    assert gained((0.85, 0.4), g, h, [[(0.86, 0.2), (0.82, 0.6)], [(0.83, 0.4)]]) == pytest.approx(0.01)


def test_columns_by_image_have_the_measures_as_means(tmp_path):
    """Attacks see the first two of four images."""
    run = RunDir(tmp_path)
    for name, clean, robust in (("g", "1110", "00"), ("h", "1100", "11"), ("T1-a0.8", "1110", "10")):
        for how in ("clean", "ce", "margin"):
            right = [r == "1" for r in (clean if how == "clean" else robust)]
            part = Part(
                "outcomes", Condition(f"{name}.{how}", "pgd"), {"id": list("abcd")[: len(right)], "correct": right}
            )
            run.write_rows(table_of(part), "outcomes", f"{name}.{how}", 0)
    found = Figures(Rows(run, "adaptive-smoothing", 0))
    assert found.points("T1-a0.8").mean(0) == pytest.approx([0.75, 0.5])
    assert found.mixture_by_image(1, "a0.8", above_chord).mean() == pytest.approx(0.5 - 0.0)
    assert found.mixture_by_image(1, "a0.8", kept).mean() == pytest.approx(0.5)
    assert len(found.mixture_by_image(1, "a0.8", kept)) == 4


def test_the_remark_speaks_of_the_choice_and_of_small_weights():
    remark = AdaptiveSmoothingPaper().remark(measured())
    assert remark.startswith(
        "Half of the images chose weight 0.7. At weight 0.3 robust accuracy is 0.550, 0.551, 0.552:"
    )


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
    rows = RunDir(small.out).rows("certificates").to_pylist()
    for alpha in ("0.6", "1"):
        for rule in ("sharp", "published"):
            one = [r for r in rows if r["condition"] == f"seed1.certified-a{alpha}-{rule}"]
            sure = [r["prediction"] == r["label"] and not r["abstained"] and r["radius"] > 0.1 for r in one]
            assert len(one) == 8
            assert result.measured[f"seed1.certified.a{alpha}.{rule}.r0.1"]["value"] == pytest.approx(np.mean(sure))
    assert "bias" in result.note
    for name in ("trade_off", "keeps_most", "mixing_network"):
        assert 0 < result.measured[f"over_seeds.{name}"]["n"] < 60
    kept = result.measured["over_seeds.certificate"]
    shares = [
        result.measured[f"seed{i}.certified.a0.8.published.r0.1"]["value"]
        / result.measured[f"seed{i}.certified.a1.published.r0.1"]["value"]
        for i in (0, 1)
    ]
    assert kept["value"] == pytest.approx(np.mean(shares))
    assert kept["interval"] == "student 95% over 2 seeds and 8 samples"


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
