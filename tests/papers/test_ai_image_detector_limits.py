"""The row of detectors' limits: its rules both ways, its figures by hand, and a tiny run on images made here."""

from __future__ import annotations

import copy
import io
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from tests.papers.tiny import Tiny
from unshaken.core.errors import ParameterError
from unshaken.measure.detection.wasserstein_bound import wasserstein_bound
from unshaken.measure.statistics.intervals import share
from unshaken.papers import run_paper
from unshaken.papers.claim import Outcome, judge_parts
from unshaken.papers.datasets import Split
from unshaken.papers.rows import Rows
from unshaken.store.run_dir import RunDir
from unshaken_papers.ai_image_detector_limits import AIImageDetectorLimitsPaper
from unshaken_papers.ai_image_detector_limits.deepfakes import swapped, swapped_within_classes
from unshaken_papers.ai_image_detector_limits.figures import (
    Figures,
    best_threshold,
    reach,
    threshold_at,
    two_shares,
    worst_margin,
)
from unshaken_papers.ai_image_detector_limits.rules import GRID
from unshaken_papers.ai_image_detector_limits.scores import MOST, as_saved, peak_signal_to_noise


def make_tiles(folder: Path) -> str:
    """Smooth images of 16 pixels in colour, two classes, as Parquet with 120 training and 90 test images."""
    rng = np.random.default_rng(0)
    columns: dict[str, list[object]] = {"id": [], "image": [], "label": [], "split": []}
    for split, n in (("train", 120), ("test", 90)):
        for i in range(n):
            tile = rng.integers(40, 215, (4, 4, 3)).astype(np.uint8)
            out = io.BytesIO()
            Image.fromarray(tile).resize((16, 16), Image.Resampling.BILINEAR).save(out, "PNG")
            for key, entry in zip(columns, (f"{split}{i}", out.getvalue(), i % 2, split), strict=True):
                columns[key].append(entry)
    pq.write_table(pa.table(columns), folder / "tiles.parquet")
    return f"parquet:{folder}/tiles.parquet"


TINY = Tiny(
    make=make_tiles,
    patches={"unshaken_papers.ai_image_detector_limits.experiment.DCT_BITS": 8},
)
"""How the battery runs the row, beside its tiny sizes."""


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
    strong = {f"{s:g}": cell(0.9, 20.0) | {"error": figure(0.48)} for s in (0.1, 0.2, 0.3)}
    rows = {kind: {f"a{a}": copy.deepcopy(row) for a in (2, 8)} for kind, row in marks.items()}
    return {
        **rows,
        "diffusion": {"a2": diffusion, "strong": strong},
        "distance": {"a2": figure(0.4), "a8": figure(1.7), "strong": figure(1.73)},
        "substitute": {
            "accuracy": {"seed0": figure(0.99), "seed1": figure(0.911)},
            "evade": {"universal_beyond_uniform": figure(-0.12)},
            "spoof": {"universal_beyond_uniform": figure(0.1)},
        },
        "blend": {mark: {"difference": figure(0.3)} for mark in ("spread", "dct", "strong")},
        "deepfakes": {"gained": figure(0.5), "lost": figure(0.02), "margin": -3.0},
    }


def outcomes(measured):
    paper = AIImageDetectorLimitsPaper()
    return {part.name: part.outcome for part in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_every_part_that_is_tried_is_shown(measured):
    found = outcomes(measured)
    assert found.pop("faces") == Outcome.NOT_TRIED
    assert set(found.values()) == {Outcome.SHOWN}


@pytest.mark.parametrize(
    ("part", "path", "value", "outcome"),
    [
        ("error-bound", ("noise", "a2", "0.1", "margin"), -3.01, Outcome.CONTRADICTED),
        ("error-bound", ("denoised", "a8", "0.1", "margin"), -3.01, Outcome.CONTRADICTED),
        ("error-bound", ("diffusion", "a2", "0.3", "margin"), -3.01, Outcome.CONTRADICTED),
        ("strong-marks", ("diffusion", "strong", "0.3", "error"), figure(0.495), Outcome.NOT_VISIBLE),
        ("strong-marks", ("diffusion", "strong", "0.1", "error"), figure(0.6), Outcome.CONTRADICTED),
        ("deepfakes", ("deepfakes", "gained"), figure(0.005), Outcome.NOT_VISIBLE),
        ("deepfakes", ("deepfakes", "gained"), figure(-0.5), Outcome.CONTRADICTED),
        ("deepfakes", ("deepfakes", "lost"), figure(0.01), Outcome.NOT_VISIBLE),
        ("deepfakes", ("deepfakes", "lost"), figure(-0.1), Outcome.CONTRADICTED),
        ("deepfakes", ("deepfakes", "margin"), -3.01, Outcome.CONTRADICTED),
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


@pytest.mark.parametrize(("distance", "outcome"), [(1.715, Outcome.NOT_VISIBLE), (1.2, Outcome.CONTRADICTED)])
def test_a_mark_that_changes_little_is_not_strong(measured, distance, outcome):
    measured["distance"]["strong"] = figure(distance)
    found = outcomes(measured)
    assert [n for n, o in found.items() if o == outcome] == ["strong-marks", "substitution"]


def test_images_as_files_hold_them():
    images = torch.tensor([-0.2, 0.5, 0.501, 1.3]).view(1, 1, 2, 2)
    assert torch.allclose(as_saved(images).flatten() * 255, torch.tensor([0.0, 128.0, 128.0, 255.0]))
    half = torch.full((2, 1, 2, 2), 0.5)
    assert peak_signal_to_noise(half + 0.1, half).tolist() == pytest.approx([20, 20], abs=1e-4)
    assert peak_signal_to_noise(half, half).tolist() == [MOST, MOST]


def test_donors_are_of_the_same_class():
    images = torch.arange(5, dtype=torch.uint8).mul(50).view(5, 1, 1, 1) + torch.zeros(5, 1, 16, 16, dtype=torch.uint8)
    images[:, :, 7, 7] += torch.tensor([1, 2, 3, 4, 5], dtype=torch.uint8).view(5, 1)
    data = Split.of(images, torch.tensor([0, 1, 0, 1, 2]))
    made = swapped_within_classes(data)
    alone = made[4] * 255
    assert torch.allclose(alone, images[4].float(), atol=0.51)  # a lone one of its class stays as it is
    assert torch.equal(made[:, :, 0], images[:, :, 0].float() / 255)


def test_reach_is_where_more_than_one_percent_of_answers_are_turned():
    """On a grid of factors of root 2: half a step of log2 each."""
    assert reach([0.02] + [0.5] * 13) == -0.5
    assert reach([0.01, 0.02, 0.0] + [0.5] * 11) == 0
    assert reach([0.0] * 14) == 6.5
    assert GRID[0] * 2 ** reach([0.0] * 14) == pytest.approx(GRID[-1], abs=1e-3)


def test_a_classifier_that_noise_never_turns_must_know_nothing_of_what_is_near():
    """Features 1 apart, answers all right and not turned by noise of 18: far above the bound, by hand."""
    part = {"score": np.repeat([1.0, -1.0], 50), "abnormal": np.arange(100) < 50, "change": np.ones(100)}
    bound = wasserstein_bound(1.0, GRID[-1]).total_variation
    error = math.sqrt(2 / (4 * 50) / 50)
    assert worst_margin(part, [0.0] * 14) == pytest.approx((bound - 1) / error)
    assert worst_margin(part, [0.5] * 14) == 0  # where noise turns half of the answers anything is possible
    blind = part | {"score": np.ones(100)}
    assert worst_margin(blind, [0.0] * 14) == pytest.approx(bound / error)


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
    for noise in ("n0", "n10"):
        made, real = (
            [[r["score"] for r in rows if r["condition"] == f"s{s}.deepfake.{noise}.clean" and r["abnormal"] == k]
             for s in (0, 1)]
            for k in (True, False)
        )  # fmt: skip
        areas = [(np.subtract.outer(a, b) > 0).mean() for a, b in zip(made, real, strict=True)]
        assert result.measured[f"deepfakes.{noise}.auroc"]["value"] == pytest.approx(np.mean(areas))
    assert len([r for r in rows if r["condition"] == "s1.deepfake.n3.flips.0.2"]) == 20
    marked = [r for r in rows if r["condition"].endswith(".noise.strong.0")]
    assert result.measured["distance.strong"]["value"] == pytest.approx(np.mean([r["change"] for r in marked]))
    assert result.measured["distance.strong"]["value"] <= 64 / 255 * math.sqrt(768)


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


def test_bits_that_are_all_right_have_bounded_intervals(finished):
    slug = "ai-image-detector-limits"
    figures = Figures(Rows(RunDir(finished(slug).out), slug, 0), 2)
    for name, part in figures.parts.items():
        if ".substitute.evade-" in name:
            part["score"] = np.ones(len(part["score"]))
    evade = figures.substitute()["evade"]
    assert 0 < evade["universal"]["low"] < evade["universal"]["high"] == 1
    beyond = evade["universal_beyond_uniform"]
    assert -1 < beyond["low"] < 0 < beyond["high"] < 1


def test_a_model_cannot_be_named(tmp_path):
    with pytest.raises(ParameterError, match="leave --model out"):
        run_paper("ai-image-detector-limits", out=tmp_path / "run", model="demo:standard")


def test_thresholds_by_hand():
    clean, marked = np.array([0.0, 1.0, 2.0, 5.0]), np.array([1.5, 3.0, 4.0, 6.0])
    assert best_threshold(clean, marked) == 1.25  # two of four false alarms and no miss; none has less in all
    assert best_threshold(np.array([0.0]), np.array([1.0])) == 0.5
    assert best_threshold(np.array([1.0]), np.array([0.0])) == -np.inf  # the wrong way round: alarm always
    assert best_threshold(np.array([0.0, 1.0]), np.array([np.inf])) == 1
    scores = np.arange(100.0)
    assert threshold_at(scores, 0.1) == 89
    assert (scores > threshold_at(scores, 0.1)).sum() == 10
    assert threshold_at(scores, 0.0) == 99
    assert (np.array([1.0, 1, 1, 0]) > threshold_at(np.array([1.0, 1, 1, 0]), 0.25)).sum() == 0


def test_two_shares_add_up():
    found = two_shares(np.array([[1, 10], [0, 20]]))
    assert (found.value, found.n) == (0.1, 30)
    assert found.low <= 0.1 < 0.1 + 0.1 < found.high
    one, other = share(1, 10, level=0.975), share(0, 20, level=0.975)
    assert (found.low, found.high) == pytest.approx((one.low + other.low, one.high + other.high))


def test_the_middle_is_swapped_in_the_colours_of_the_place():
    small = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    x = (torch.nn.functional.interpolate(small, 32, mode="bilinear") * 255).round() / 255
    donors = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    made = swapped(x, donors)
    assert torch.equal(made[:, :, :3], x[:, :, :3])  # outside of the ellipse nothing changes
    assert torch.equal(made[..., :5], x[..., :5])
    middle = (..., slice(12, 20), slice(13, 19))
    assert torch.allclose(made[middle].mean((2, 3)), x[middle].mean((2, 3)), atol=0.12)
    assert not torch.allclose(made[middle], x[middle], atol=0.05)
    assert torch.allclose(swapped(x, x), x, atol=1 / 510 + 1e-6)
    assert torch.allclose(swapped(x, 0.5 * x + 0.2), x, atol=1 / 510 + 1e-6)  # colours are the place's
