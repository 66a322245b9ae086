"""The verdict's rule by hand, and the whole row on tints, with networks trained here and with two of one's own."""

from __future__ import annotations

import json
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from tests.papers.tiny import Tiny, make_tints
from unshaken.core.errors import DataError, ParameterError
from unshaken.papers import run_paper
from unshaken.papers.claim import judge_parts
from unshaken.papers.folders import find_row
from unshaken.store.run_dir import RunDir
from unshaken_papers.fgsm_cw_distillation import GRID, DistillationPaper

TINY = Tiny(
    make=partial(make_tints, classes=6),
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown, some of them barely."""
    masking = {"reasons": "hidden", "zero_gradients": figure(0.021), "fgsm_minus_strongest": figure(0.07)}
    fgsm = {"0.05": figure(0.12), "0.1": figure(0.12), "0.2": figure(0.12)}
    margin = {"fgsm-margin": {"0.1": figure(0.03)}, "pgd-margin": {"0.1": figure(0.0)}}
    part = {
        "student_minus_plain": {"fgsm": fgsm, **margin},
        "plain": {"cw": {"success": figure(1.0), "median_l2": figure(1.0)}},
        "student": {"cw": {"success": figure(0.97), "median_l2": figure(1.0)}, "masking": {"0.1": masking}},
        "logit_gap_ratio": 12.5,
    }
    return {f"seed{i}": json.loads(json.dumps(part)) for i in range(2)}


def outcomes(measured):
    paper = DistillationPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def changed(measured, path, new):
    """The figures with the one at a path replaced."""
    *way, last = ("seed1", *path)
    place = measured = json.loads(json.dumps(measured))  # nothing shared
    for key in way:
        place = place[key]
    place[last] = new
    return measured


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert found.pop("imagenet-networks") == "not tried"
    assert {*found.values()} == {"shown"}


@pytest.mark.parametrize(
    ("path", "hidden", "opposed", "part"),
    [
        (("student_minus_plain", "fgsm", "0.05"), 0.1, -0.02, "blunts-fgsm"),
        (("student_minus_plain", "fgsm", "0.1"), 0.1, -0.02, "blunts-fgsm"),
        (("student_minus_plain", "fgsm", "0.2"), 0.1, -0.02, "blunts-fgsm"),
        (("student", "cw", "success"), 0.95, 0.4, "yields-to-cw"),
        (("student", "masking", "0.1", "fgsm_minus_strongest"), 0.05, -0.02, "hides-gradients"),
        (("student_minus_plain", "fgsm-margin", "0.1"), 0.045, 0.07, "hides-gradients"),
        (("student_minus_plain", "pgd-margin", "0.1"), 0.045, 0.07, "hides-gradients"),
        (("student", "cw", "median_l2"), 0.81, 0.7, "boundary"),
        (("student", "cw", "median_l2"), 1.24, 1.5, "boundary"),
    ],
)
def test_one_figure_decides_a_part_alone(measured, path, hidden, opposed, part):
    before = outcomes(measured)
    assert outcomes(changed(measured, path, figure(hidden))) == {**before, part: "not visible at this scale"}
    assert outcomes(changed(measured, path, figure(opposed))) == {**before, part: "contradicted"}


def test_gradients_that_are_there_hide_nothing(measured):
    few = changed(measured, ("student", "masking", "0.1", "zero_gradients"), figure(0.015))
    assert outcomes(few)["hides-gradients"] == "not visible at this scale"


def test_an_attack_without_images_shows_nothing(measured):
    none = changed(measured, ("student", "cw"), {"success": None, "median_l2": None})
    assert {outcomes(none)[name] for name in ("yields-to-cw", "boundary")} == {"not visible at this scale"}
    endless = changed(measured, ("student", "cw", "median_l2"), {"value": 1.0, "low": None, "high": None})
    assert outcomes(endless)["boundary"] == "not visible at this scale"


def test_the_remark_stands_beside_the_headline(measured):
    remark = DistillationPaper().remark(measured)
    assert "logit gap is 12.5, 12.5 times" in remark
    assert "Signs of masked gradients in it at eps 0.1: seed0, hidden; seed1, hidden." in remark
    measured["seed0"]["student"]["masking"]["0.1"]["reasons"] = ""
    assert "at eps 0.1: seed0, none; " in DistillationPaper().remark(measured)


def test_every_figure_is_there(finished):
    run = finished("fgsm-cw-distillation")
    names = set(run.seed0)
    for net in ("plain", "teacher", "student"):
        for eps in GRID:
            one, five = (run.seed0[f"{net}.fgsm_errors.{eps:g}.{k}_error"]["value"] for k in ("top1", "top5"))
            assert five <= one
        for attack in ("fgsm", "fgsm-tau", "fgsm-margin", "pgd-margin"):
            assert {f"{net}.accuracy.{attack}.{e}" for e in ("0.05", "0.1", "0.2")} <= names
        assert {f"{net}.masking.0.1.{k}" for k in ("masked", "zero_gradients", "fgsm_minus_strongest")} <= names
    assert "student.accuracy.transfer.0.1" in names
    assert "plain.accuracy.transfer.0.1" not in names
    assert {f"{n}.cw.{k}" for n in ("plain", "student") for k in ("success", "median_l2", "mean_l2")} <= names
    assert "Run with seeds=1, train=200, test=40, attacked=16, nearest=6" in run.result.note
    assert "logit gap" in run.result.note


def test_figures_come_from_rows(finished):
    measured, run = finished("fgsm-cw-distillation").seed0, RunDir(finished("fgsm-cw-distillation").out)
    rows = run.rows("outcomes").to_pylist()
    at = {(r["condition"].removeprefix("seed0."), r["id"]): r for r in rows}
    ids = sorted(i for c, i in at if c == "student.fgsm.0.1")
    assert len(ids) == 16
    right = [np.mean([at[f"{n}.fgsm.0.1", i]["correct"] for i in ids]) for n in ("student", "plain")]
    assert measured["student_minus_plain.fgsm.0.1"]["value"] == pytest.approx(right[0] - right[1])
    five = [sorted(r["logits"])[-5] > r["logits"][r["label"]] for (c, _), r in at.items() if c == "plain.fgsm.0.1"]
    assert measured["plain.fgsm_errors.0.1.top5_error"]["value"] == pytest.approx(np.mean(five))
    broken = [r["distance"] for (c, i), r in at.items() if c == "plain.cw" and at["plain.clean", i]["correct"]]
    reached = [d for d in broken if d is not None]
    assert measured["plain.cw.success"]["value"] == pytest.approx(len(reached) / len(broken))
    assert measured["plain.cw.mean_l2"]["value"] == pytest.approx(np.mean(reached))
    gone = [
        r["largest"] == 0
        for r in run.rows("fgsm_cw_distillation_gradients").to_pylist()
        if r["condition"] == "seed0.student.clean"
    ]
    assert measured["student.masking.0.1.zero_gradients"]["value"] == pytest.approx(np.mean(gone))


def test_no_image_is_further_than_its_radius(finished):
    rows = RunDir(finished("fgsm-cw-distillation").out).rows("outcomes", ["condition", "eps", "distance"]).to_pylist()
    assert all(
        r["distance"] <= r["eps"] * (1 + 1e-6) for r in rows if r["eps"] is not None and r["distance"] is not None
    )


def test_what_fools_at_a_smaller_radius_counts_at_a_larger_one(finished):
    rows = RunDir(finished("fgsm-cw-distillation").out).rows("outcomes", ["id", "condition", "correct"]).to_pylist()
    right = {
        eps: {r["id"] for r in rows if r["condition"] == f"seed0.plain.fgsm.{eps:g}" and r["correct"]} for eps in GRID
    }
    assert all(right[b] <= right[a] for a, b in pairwise(GRID))
    assert right[GRID[-1]] < right[GRID[0]]


@pytest.mark.long
def test_two_networks_of_ones_own(tmp_path):
    text = "fgsm-cw-distillation:test=12,attacked=6,nearest=2,cw_steps=5,cw_searches=1,seeds=1"
    result = run_paper(text, out=tmp_path / "run", data="demo", model="demo:standard|demo:robust")
    assert result.measured["seed0.plain.clean.top1_error"]["n"] == 12
    assert not any(".teacher." in name for name in result.measured)
    assert "networks_from_cache" not in result.measured


def test_what_cannot_be_run_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    with pytest.raises(ParameterError, match="name an undefended and a distilled network"):
        run_paper("fgsm-cw-distillation", out=tmp_path / "run", data="demo", model="demo:standard")
    with pytest.raises(DataError, match="nowhere"):
        run_paper("fgsm-cw-distillation", out=tmp_path / "other", data="folder:nowhere")


def test_it_stands_in_the_registry():
    assert find_row("fgsm-cw-distillation") is DistillationPaper
    assert "temperature" in DistillationPaper.info.parameters()
