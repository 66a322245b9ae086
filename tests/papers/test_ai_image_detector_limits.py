"""The row of detectors' limits: its rules both ways, its figures by hand, and a tiny run on images made here."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.measure.detection.wasserstein_bound import wasserstein_bound
from unshaken.papers import run_paper
from unshaken.papers.ai_image_detector_limits import AIImageDetectorLimitsPaper
from unshaken.papers.ai_image_detector_limits.figures import Figures
from unshaken.papers.ai_image_detector_limits.generated import resized
from unshaken.papers.ai_image_detector_limits.scores import MOST, as_saved, peak_signal_to_noise
from unshaken.papers.frame.claim import Outcome, judge_parts
from unshaken.papers.frame.rows import Rows
from unshaken.run.store import RunDir


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


def cell(auroc, psnr):
    return {"auroc": figure(auroc), "margin": -3.0, "psnr": psnr, "error": figure(0.6)}


@pytest.fixture
def measured():
    """Figures with which every part is shown, some of them barely."""
    noise = {f"{s:g}": cell(0.95 - s / 4, 20.0) for s in (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)}
    noise["0"]["margin"] = -99.0  # without noise there is nothing to judge
    denoised = {f"{s:g}": cell(0.8, 20.1) for s in (0.1, 0.2)}
    diffusion = {f"{s:g}": cell(0.6, 20.0) for s in (0.1, 0.2, 0.3)}
    marks = {"noise": noise, "denoised": denoised, "diffusion": diffusion}
    return {
        **{kind: {f"a{a}": copy.deepcopy(row) for a in (2, 8)} for kind, row in marks.items()},
        "substitute": {
            "accuracy": {"seed0": figure(0.99), "seed1": figure(0.911)},
            "evade": {"universal_beyond_uniform": figure(-0.12)},
            "spoof": {"universal_beyond_uniform": figure(0.1)},
        },
        "blend": {mark: {"difference": figure(0.3)} for mark in ("spread", "dct", "learned")},
        "generated": {"clean": {k: {"value": 0.5} for k in ("alike", "found", "false_alarms", "precision")}},
    }


def outcomes(measured):
    paper = AIImageDetectorLimitsPaper()
    return {part.name: part.outcome for part in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_every_part_that_is_tried_is_shown(measured):
    found = outcomes(measured)
    assert [found.pop(name) for name in ("strong-marks", "deepfakes")] == [Outcome.NOT_TRIED] * 2
    assert set(found.values()) == {Outcome.SHOWN}
    assert "AUROC of 0.500" in AIImageDetectorLimitsPaper().remark(measured)


@pytest.mark.parametrize(
    ("part", "path", "value", "outcome"),
    [
        ("error-bound", ("noise", "a2", "0.1", "margin"), -3.01, Outcome.CONTRADICTED),
        ("error-bound", ("denoised", "a8", "0.1", "margin"), -3.01, Outcome.CONTRADICTED),
        ("error-bound", ("diffusion", "a2", "0.3", "margin"), -3.01, Outcome.CONTRADICTED),
        ("more-noise", ("noise", "a2", "0.1", "auroc"), figure(0.945), Outcome.NOT_VISIBLE),
        ("more-noise", ("noise", "a2", "0.8", "auroc"), figure(0.75, 0.2), Outcome.NOT_VISIBLE),
        ("more-noise", ("noise", "a8", "0.8", "auroc"), figure(0.97), Outcome.CONTRADICTED),
        ("purification", ("diffusion", "a2", "0.1", "error"), figure(0.505), Outcome.NOT_VISIBLE),
        ("purification", ("diffusion", "a2", "0.3", "error"), figure(0.4), Outcome.CONTRADICTED),
        ("image-quality", ("denoised", "a2", "0.1", "psnr"), 20.0, Outcome.NOT_VISIBLE),
        ("substitution", ("substitute", "accuracy", "seed1"), figure(0.91), Outcome.NOT_VISIBLE),
        ("substitution", ("substitute", "evade", "universal_beyond_uniform"), figure(-0.11), Outcome.NOT_VISIBLE),
        ("substitution", ("substitute", "evade", "universal_beyond_uniform"), figure(0.1), Outcome.CONTRADICTED),
        ("spoofing", ("blend", "dct", "difference"), figure(0.01), Outcome.NOT_VISIBLE),
        ("spoofing", ("blend", "spread", "difference"), figure(-0.1), Outcome.CONTRADICTED),
        ("spoofing", ("substitute", "spoof", "universal_beyond_uniform"), figure(0.0), Outcome.NOT_VISIBLE),
    ],
)
def test_each_part_falls_alone(measured, part, path, value, outcome):
    inner = measured
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    found = outcomes(measured)
    assert found[part] == outcome
    assert [n for n, o in found.items() if o not in (Outcome.SHOWN, Outcome.NOT_TRIED)] == [part]


def test_images_as_files_hold_them():
    images = torch.tensor([-0.2, 0.5, 0.501, 1.3]).view(1, 1, 2, 2)
    assert torch.allclose(as_saved(images).flatten() * 255, torch.tensor([0.0, 128.0, 128.0, 255.0]))
    half = torch.full((2, 1, 2, 2), 0.5)
    assert peak_signal_to_noise(half + 0.1, half).tolist() == pytest.approx([20, 20], abs=1e-4)
    assert peak_signal_to_noise(half, half).tolist() == [MOST, MOST]
    assert resized(torch.rand(2, 1, 9, 12), 0.5, None).shape == (2, 1, 9, 12)
    assert torch.allclose(resized(half, 0.5, None), half)


def test_figures_are_those_of_the_rows(finished):
    run = finished("ai-image-detector-limits")
    result, rows = run.result, RunDir(run.out).rows("ai_image_detector_limits_detector_scores").to_pylist()
    for seed in (0, 1):
        mine = [r for r in rows if r["condition"] == f"s{seed}.noise.a8.0.1"]
        assert len(mine) == 80
        assert sum(r["abnormal"] for r in mine) == 40
        assert sum(r["fold"] for r in mine) == 40
        assert max(r["change"] for r in mine) <= 8 / 255 * math.sqrt(768) + 1e-5
    assert {r["id"] for r in rows if r["condition"] == "s0.noise.a2.0"}.isdisjoint(
        {r["id"] for r in rows if r["condition"] == "s1.noise.a2.0"}
    )
    mine = [r for r in rows if ".noise.a8.0.1" in r["condition"]]
    clean, marked = ([r["score"] for r in mine if r["abnormal"] == k] for k in (False, True))
    bound = wasserstein_bound([r["change"] for r in mine], 0.1).error
    assert result.measured["noise.a8.0.1.bound"] == pytest.approx(bound, abs=5e-3)
    pairs = np.subtract.outer(marked, clean)
    assert result.measured["noise.a8.0.1.auroc"]["value"] == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert result.measured["noise.a2.0.bound"] == 0
    bits = [r["score"] for r in rows if r["condition"].endswith("substitute.evade-universal")]
    assert result.measured["substitute.evade.universal"]["value"] == pytest.approx(np.mean(bits))
    uniform = [r["score"] for r in rows if r["condition"].endswith("substitute.evade-uniform")]
    beyond = result.measured["substitute.evade.universal_beyond_uniform"]["value"]
    assert beyond == pytest.approx(np.mean(bits) - np.mean(uniform))
    shares = [
        np.mean([result.measured[f"blend.spread.{peak}.{kind}"]["value"] for peak in ("1", "0.75", "0.5")])
        for kind in ("control", "marked")
    ]
    assert result.measured["blend.spread.difference"]["value"] == pytest.approx(shares[1] - shares[0])
    clean = [r for r in rows if r["condition"].endswith("generated.clean")]
    assert sum(r["abnormal"] for r in clean) == 16
    assert result.measured["generated.clean.alike"]["n"] == 2
    assert result.measured["generated.jpeg_50.found"]["n"] == 16


def test_half_of_the_images_sets_the_threshold(finished):
    """Rows whose scores of the judged half are forged move the error; the threshold stays."""
    slug = "ai-image-detector-limits"
    figures = Figures(Rows(RunDir(finished(slug).out), slug, 0), 2)
    name = "noise.a8.0"
    assert figures.errors(name, 0.1)["error"]["value"] == 0
    for seed in (0, 1):
        part = figures.parts[f"s{seed}.{name}"]
        part["score"] = np.where((part["fold"] == 1) & part["abnormal"], -9.0, part["score"])
    worse = figures.errors(name, 0.1)
    assert worse["error"]["value"] == 1
    assert worse["margin"] > 3


def test_a_model_cannot_be_named(tmp_path):
    with pytest.raises(ParameterError, match="leave --model out"):
        run_paper("ai-image-detector-limits", out=tmp_path / "run", model="demo:standard")
