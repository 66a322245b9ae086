"""The verdict's rule by hand, and the whole row on tints that small networks learn at once."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy import ndimage

from tests.papers.tiny import Tiny, make_tints
from unshaken.core import Batch
from unshaken.core.errors import ParameterError
from unshaken.papers import run_paper
from unshaken.papers.claim import judge_parts
from unshaken.store.run_dir import RunDir
from unshaken_papers.efficient_robustify import EfficientRobustifyPaper
from unshaken_papers.efficient_robustify.experiment import BINOMIAL, blocks, changed, half

TINY = Tiny(
    make=make_tints,
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown, some of them barely."""
    return {
        "three": {
            "unclean": {"corrupted_minus_original": figure(0.05)},
            "combined": {"corrupted_minus_original": figure(0.05)},
            "route": {"clean_minus_original": figure(-0.005)},
            "routing": {"clean_to_clean": 0.6, "changed_to_clean": 0.4},
        },
        "teacher_effect": {"unclean": figure(0.02), "combined": figure(0.02)},
        "cost": {
            "original_recovered": True,
            "tunable_share": 0.15,
            "seconds": {"three": 10.0, "teacher": 5.0, "full": 31.0},
        },
    }


def outcomes(measured):
    paper = EfficientRobustifyPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def changed_at(measured, path, new):
    """The figures with the one at a path replaced."""
    *way, last = path
    place = measured = json.loads(json.dumps(measured))  # nothing shared
    for key in way:
        place = place[key]
    place[last] = new
    return measured


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert {name for name, outcome in found.items() if outcome == "not tried"} == {"unseen-shifts", "zero-shot"}
    assert {*found.values()} == {"not tried", "shown"}


@pytest.mark.parametrize(
    ("path", "hidden", "opposed", "part"),
    [
        (("three", "unclean", "corrupted_minus_original"), figure(0.035), figure(-0.02), "gain"),
        (("three", "combined", "corrupted_minus_original"), figure(0.035), figure(-0.02), "gain"),
        (("teacher_effect", "unclean"), figure(0.01), figure(-0.02), "teacher"),
        (("teacher_effect", "combined"), figure(0.01), figure(-0.02), "teacher"),
        (("three", "route", "clean_minus_original"), figure(-0.015), figure(-0.04), "clean-kept"),
        (("three", "routing", "clean_to_clean"), 0.51, 0.4, "routing"),
        (("three", "routing", "changed_to_clean"), 0.49, 0.6, "routing"),
        (("cost", "tunable_share"), 0.16, 1.01, "cost"),
    ],
)
def test_one_figure_decides_a_part_alone(measured, path, hidden, opposed, part):
    before = outcomes(measured)
    assert outcomes(changed_at(measured, path, hidden)) == {**before, part: "not visible at this scale"}
    assert outcomes(changed_at(measured, path, opposed)) == {**before, part: "contradicted"}


def test_what_is_not_tuned_must_stay_and_time_must_be_saved(measured):
    lost = changed_at(measured, ("cost", "original_recovered"), False)
    assert outcomes(lost)["abilities-kept"] == "contradicted"
    slow = changed_at(measured, ("cost", "seconds", "full"), 30.0)
    assert outcomes(slow)["cost"] == "not visible at this scale"


def test_changes_of_test_images_by_hand():
    batch = Batch(torch.rand(6, 3, 12, 12, generator=torch.Generator().manual_seed(0)), None, tuple("abcdef"))
    flat = changed(batch, "contrast", 0.25, 0).images
    mean = batch.images.mean((2, 3), keepdim=True)
    assert torch.allclose(flat - mean, 0.25 * (batch.images - mean), atol=1e-6)
    twice = changed(batch, "blur", 2, 0).images
    kernel = np.outer(BINOMIAL, BINOMIAL)
    assert kernel.sum() == 1
    wanted = ndimage.correlate(
        ndimage.correlate(batch.images[0, 0].numpy(), kernel, mode="nearest"), kernel, mode="nearest"
    )
    assert np.allclose(twice[0, 0].numpy(), wanted, atol=1e-6)
    grey = Batch(torch.full((6, 3, 12, 12), 0.5), None, tuple("abcdef"))
    noise = changed(grey, "noise", 0.08, 0).images - 0.5
    assert float(noise.std()) == pytest.approx(0.08, rel=0.05)
    assert not torch.equal(noise, changed(grey, "noise", 0.08, 1).images - 0.5)


def test_sizes_of_the_networks():
    counts = [sum(p.numel() for p in build(10, 3, 32).parameters()) for build in (blocks, half)]
    assert counts == [109_870, 27_940]


def test_figures_come_from_rows(finished):
    result, run = finished("efficient-robustify").result, RunDir(finished("efficient-robustify").out)
    rows = [r for r in run.rows("outcomes").to_pylist() if r["condition"].startswith("three0.unclean.")]
    right = {c: np.mean([r["correct"] for r in rows if r["condition"] == c]) for c in {r["condition"] for r in rows}}
    assert len(right) == 10
    clean = right.pop("three0.unclean.on-clean-0")
    assert result.measured["three.unclean.clean"]["value"] == pytest.approx(clean)
    assert result.measured["three.unclean.corrupted"]["value"] == pytest.approx(np.mean(list(right.values())))
    assert result.measured["original.clean"]["n"] == 16
    assert "Routing sends" in result.note


def test_the_cost_by_hand(finished):
    measured = finished("efficient-robustify").result.measured
    assert measured["cost.original_recovered"] is True
    whole = sum(p.numel() for p in blocks(3, 3, 12).parameters())
    tuned = 2 * (40 * 80 * 9 + 160 + 80 * 80 * 9 + 160 + 80 * 3 + 3)
    assert measured["cost.tunable_share"] == pytest.approx(tuned / whole, abs=1e-4)


def test_the_clean_head_is_the_original(finished):
    rows = RunDir(finished("efficient-robustify").out).rows("outcomes", ["id", "condition", "logits"]).to_pylist()
    for condition in ("clean-0", "noise-0.12"):
        logits = {
            name: {r["id"]: r["logits"] for r in rows if r["condition"] == f"{name}.on-{condition}"}
            for name in ("original0.model", "three0.clean", "three0.unclean")
        }
        for i, own in logits["original0.model"].items():
            assert logits["three0.clean"][i] == pytest.approx(own, abs=1e-4)
        assert logits["three0.unclean"] != logits["three0.clean"]


def test_a_finished_run_trains_nothing(finished, monkeypatch, tmp_path):
    run = finished("efficient-robustify")
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path / "elsewhere"))
    again = run_paper(run.text, data=run.data, out=run.out)
    assert {**again.measured, "networks_from_cache": False} == run.result.measured
    assert not (tmp_path / "elsewhere").exists()


def test_a_model_of_ones_own_has_a_recipe(tmp_path):
    with pytest.raises(ParameterError, match="--method three-heads"):
        run_paper("efficient-robustify", model="demo", out=tmp_path)
