"""The verdict's rule by hand, and the whole row on tints that small networks learn at once."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy import ndimage

from unshaken.core import Batch
from unshaken.core.errors import ParameterError
from unshaken.papers import run_paper
from unshaken.papers.efficient_robustify import EfficientRobustifyPaper
from unshaken.papers.efficient_robustify.experiment import BINOMIAL, blocks, changed, half
from unshaken.run.store import RunDir


def gains(clean, corrupted):
    return {"clean_minus_original": {"value": clean}, "corrupted_minus_original": {"value": corrupted}}


@pytest.fixture
def measured():
    """Figures with which every part of the rule holds, barely."""
    three = {"unclean": gains(-0.04, 0.01), "combined": gains(-0.02, 0.03), "route": gains(-0.02, 0.02)}
    return {"three": three, "teacher_effect": {"unclean": {"value": 0.0001}}}


def failed(measured):
    checks = EfficientRobustifyPaper().judge(measured)
    assert len(checks) == 3
    return [c.words for c in checks if not c.holds]


def test_the_rule_holds(measured):
    assert failed(measured) == []


@pytest.mark.parametrize(
    ("path", "figure", "words"),
    [
        (("three", "combined"), gains(0, 0.029), "(1) the combined head gains +0.029"),
        (("three", "route"), gains(-0.021, 0.02), "(2) routing loses 0.021"),
        (("teacher_effect", "unclean"), {"value": 0.0}, "(3) the teacher adds +0.0000"),
    ],
)
def test_every_part_of_the_rule_can_fail_alone(measured, path, figure, words):
    measured = copy.deepcopy(measured)
    measured[path[0]][path[1]] = figure
    (only,) = failed(measured)
    assert words in only


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
            for name in ("original.model", "three0.clean", "three0.unclean")
        }
        for i, own in logits["original.model"].items():
            assert logits["three0.clean"][i] == pytest.approx(own, abs=1e-4)
        assert logits["three0.unclean"] != logits["three0.clean"]


def test_a_finished_run_trains_nothing(finished, monkeypatch, tmp_path):
    run = finished("efficient-robustify")
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path / "elsewhere"))
    again = run_paper(run.text, data=run.data, out=run.out)
    assert {**again.measured, "networks_from_cache": False} == run.result.measured
    assert not (tmp_path / "elsewhere").exists()


def test_a_model_of_ones_own_has_a_recipe(tmp_path):
    with pytest.raises(ParameterError, match="--recipe three-heads"):
        run_paper("efficient-robustify", model="demo", out=tmp_path)
