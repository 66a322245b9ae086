"""The verdict's rule by hand, and the whole row on tints, with networks trained here and with two of one's own."""

from __future__ import annotations

import copy
from itertools import pairwise

import numpy as np
import pytest

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import find_method
from unshaken.papers import run_paper
from unshaken.papers.fgsm_cw_distillation import GRID, DistillationPaper
from unshaken.run.store import RunDir


def value(x):
    return {"value": x}


@pytest.fixture
def measured():
    """Figures with which both parts of the rule hold, barely."""
    gains = {"0.05": value(0.02), "0.1": value(0.1), "0.2": value(-0.3)}
    masking = {"reasons": "hidden", "zero_gradients": value(0.5)}
    return {
        "student_minus_plain": dict.fromkeys(("fgsm", "fgsm-tau", "fgsm-margin", "pgd-margin"), gains),
        "plain": {"cw": {"success": value(1.0), "median_l2": value(1.2)}},
        "student": {
            "cw": {"success": value(0.95), "median_l2": None},
            "masking": {"0.05": masking, "0.1": masking, "0.2": {**masking, "reasons": ""}},
        },
        "logit_gap_ratio": 12.5,
    }


def failed(measured):
    return [c.words for c in DistillationPaper().judge(measured) if not c.holds]


def test_the_rule_holds(measured):
    assert failed(measured) == []
    assert len(DistillationPaper().judge(measured)) == 2


def test_each_part_can_fail_alone(measured):
    less = copy.deepcopy(measured)
    less["student_minus_plain"]["fgsm"]["0.1"] = value(0.099)
    assert "student minus undefended under FGSM: +0.020 at 0.05, +0.099 at 0.1" in failed(less)[0]
    for success in (value(0.949), None):
        measured["student"]["cw"]["success"] = success
        (only,) = failed(measured)
        assert "C&W succeeds on" in only


def test_the_remark_stands_beside_the_headline(measured):
    remark = DistillationPaper().remark(measured)
    assert "logit gap is 12.5 times" in remark
    assert "Signs of masked gradients in it at eps 0.1: hidden." in remark
    measured["student"]["masking"]["0.1"]["reasons"] = ""
    assert "at eps 0.1: none." in DistillationPaper().remark(measured)


def test_every_figure_is_there(finished):
    result = finished("fgsm-cw-distillation").result
    names = set(result.measured)
    for net in ("plain", "teacher", "student"):
        for eps in GRID:
            one, five = (result.measured[f"{net}.fgsm_errors.{eps:g}.{k}_error"]["value"] for k in ("top1", "top5"))
            assert five <= one
        for attack in ("fgsm", "fgsm-tau", "fgsm-margin", "pgd-margin"):
            assert {f"{net}.accuracy.{attack}.{e}" for e in ("0.05", "0.1", "0.2")} <= names
        assert {f"{net}.masking.0.1.{k}" for k in ("masked", "zero_gradients", "fgsm_minus_strongest")} <= names
    assert "student.accuracy.transfer.0.1" in names
    assert "plain.accuracy.transfer.0.1" not in names
    assert {f"{n}.cw.{k}" for n in ("plain", "student") for k in ("success", "median_l2", "mean_l2")} <= names
    assert "Run with train=200, test=40, attacked=16, nearest=6" in result.note
    assert "logit gap" in result.note


def test_figures_come_from_rows(finished):
    result, run = finished("fgsm-cw-distillation").result, RunDir(finished("fgsm-cw-distillation").out)
    rows = run.rows("outcomes").to_pylist()
    at = {(r["condition"], r["id"]): r for r in rows}
    ids = sorted(i for c, i in at if c == "student.fgsm.0.1")
    assert len(ids) == 16
    right = [np.mean([at[f"{n}.fgsm.0.1", i]["correct"] for i in ids]) for n in ("student", "plain")]
    assert result.measured["student_minus_plain.fgsm.0.1"]["value"] == pytest.approx(right[0] - right[1])
    five = [sorted(r["logits"])[-5] > r["logits"][r["label"]] for (c, _), r in at.items() if c == "plain.fgsm.0.1"]
    assert result.measured["plain.fgsm_errors.0.1.top5_error"]["value"] == pytest.approx(np.mean(five))
    broken = [r["distance"] for (c, i), r in at.items() if c == "plain.cw" and at["plain.clean", i]["correct"]]
    reached = [d for d in broken if d is not None]
    assert result.measured["plain.cw.success"]["value"] == pytest.approx(len(reached) / len(broken))
    assert result.measured["plain.cw.mean_l2"]["value"] == pytest.approx(np.mean(reached))
    gone = [
        r["largest"] == 0
        for r in run.rows("fgsm_cw_distillation_gradients").to_pylist()
        if r["condition"] == "student.clean"
    ]
    assert result.measured["student.masking.0.1.zero_gradients"]["value"] == pytest.approx(np.mean(gone))


def test_no_image_is_further_than_its_radius(finished):
    rows = RunDir(finished("fgsm-cw-distillation").out).rows("outcomes", ["condition", "eps", "distance"]).to_pylist()
    assert all(
        r["distance"] <= r["eps"] * (1 + 1e-6) for r in rows if r["eps"] is not None and r["distance"] is not None
    )


def test_what_fools_at_a_smaller_radius_counts_at_a_larger_one(finished):
    rows = RunDir(finished("fgsm-cw-distillation").out).rows("outcomes", ["id", "condition", "correct"]).to_pylist()
    right = {eps: {r["id"] for r in rows if r["condition"] == f"plain.fgsm.{eps:g}" and r["correct"]} for eps in GRID}
    assert all(right[b] <= right[a] for a, b in pairwise(GRID))
    assert right[GRID[-1]] < right[GRID[0]]


def test_two_networks_of_ones_own(tmp_path):
    text = "fgsm-cw-distillation:test=12,attacked=6,nearest=2,cw_steps=5,cw_searches=1"
    result = run_paper(text, out=tmp_path / "run", data="demo", model="demo:standard|demo:robust")
    assert result.measured["plain.clean.top1_error"]["n"] == 12
    assert not any(name.startswith("teacher.") for name in result.measured)
    assert "networks_from_cache" not in result.measured


def test_what_cannot_be_run_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    with pytest.raises(ParameterError, match="name an undefended and a distilled network"):
        run_paper("fgsm-cw-distillation", out=tmp_path / "run", data="demo", model="demo:standard")
    with pytest.raises(DataError, match="nowhere"):
        run_paper("fgsm-cw-distillation", out=tmp_path / "other", data="folder:nowhere")


def test_it_stands_in_the_registry():
    assert find_method("fgsm-cw-distillation", "papers").cls is DistillationPaper
    assert "temperature" in DistillationPaper.info.parameters()
