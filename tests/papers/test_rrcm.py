"""The verdict's rule by hand, and the whole row on tints that a small network learns at once."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from tests.papers.tiny import Tiny, make_faint_tints
from unshaken.core.errors import ParameterError
from unshaken.core.registry import find_method
from unshaken.harden.recipes.pretraining.rrcm import RepresentationConsistency
from unshaken.papers import run_paper
from unshaken.papers.claim import Outcome, judge_parts
from unshaken.papers.context import Context
from unshaken.papers.datasets import Datasets, Parts, Split
from unshaken.papers.effects import Nested
from unshaken.papers.folders import find_row
from unshaken.papers.record import Record
from unshaken.store.run_dir import RunDir
from unshaken_papers.rrcm import KINDS, RRCMPaper
from unshaken_papers.rrcm.experiment import Experiment, counted

TINY = Tiny(
    make=make_faint_tints,
    wall_times=("seconds",),
)
"""How the battery runs the row, beside its tiny sizes."""

SHOWN, CONTRADICTED, NOT_VISIBLE = Outcome.SHOWN, Outcome.CONTRADICTED, Outcome.NOT_VISIBLE


def figure(value, half=0.001):
    return {"value": value, "low": value - half, "high": value + half}


@pytest.fixture
def measured():
    """Figures with which every part is shown."""
    level = {kind: {f"full_minus_{other}": figure(0.02) for other in ("contrast", "scratch")} for kind in KINDS}
    return {
        "s0.5": level,
        "s1": copy.deepcopy(level),
        "pretraining": {"full": {"below_half": figure(1.0)}},
        "cost": {"times_fewer_passes": figure(2.0, 0.0), "times_fewer_seconds": figure(1.01)},
    }


def outcomes(measured):
    judged = judge_parts(RRCMPaper.parts, RRCMPaper().judge(measured))
    return {part.name: part.outcome for part in judged if not part.untried}


def test_every_part_is_shown(measured):
    assert set(outcomes(measured).values()) == {SHOWN}
    assert len(RRCMPaper().judge(measured)) == 9
    assert "not seen at this scale" not in RRCMPaper().remark(measured)


@pytest.mark.parametrize("sigma", ["s0.5", "s1"])
@pytest.mark.parametrize(
    ("kind", "other", "part"),
    [("tuned", "contrast", "consistency"), ("probe", "contrast", "frozen"), ("tuned", "scratch", "pretraining")],
)
def test_one_noise_level_is_enough_to_fail(measured, sigma, kind, other, part):
    for value, outcome in ((0.0005, NOT_VISIBLE), (-0.002, CONTRADICTED)):
        measured[sigma][kind][f"full_minus_{other}"] = figure(value)
        found = outcomes(measured)
        assert found.pop(part) == outcome
        assert set(found.values()) == {SHOWN}
        assert "not seen at this scale" in RRCMPaper().remark(measured)


@pytest.mark.parametrize(
    ("path", "value", "part", "expected"),
    [
        (("pretraining", "full", "below_half"), 0.0005, "representation", NOT_VISIBLE),
        (("pretraining", "full", "below_half"), -0.1, "representation", CONTRADICTED),
        (("cost", "times_fewer_seconds"), 1.0, "single-pass", NOT_VISIBLE),
        (("cost", "times_fewer_passes"), 1.0, "single-pass", NOT_VISIBLE),
        (("cost", "times_fewer_passes"), 0.5, "single-pass", CONTRADICTED),
    ],
)
def test_loss_and_cost(measured, path, value, part, expected):
    spot = measured
    for key in path[:-1]:
        spot = spot[key]
    spot[path[-1]] = figure(value)
    assert outcomes(measured)[part] == expected


def test_noise_levels_of_ones_own_are_judged_from_stored_figures(small):
    paper = RRCMPaper(**small.result.provenance["parameters"])
    assert paper.judge(Nested(small.result.measured)) == list(small.result.checks)
    assert paper.sigmas == (0.1, 0.2)


@pytest.fixture
def small(finished):
    return finished("rrcm")


def test_figures_come_from_rows(small):
    result, run = small.result, RunDir(small.out)
    rows = run.rows("outcomes", ["id", "condition", "correct"]).to_pylist()
    right = {}
    for row in sorted(rows, key=lambda r: r["id"]):
        right.setdefault(row["condition"], []).append(row["correct"])
    assert len(right) == 3 * 2 * 2 * 2 + 2
    assert {len(v) for v in right.values()} == {45}
    for kind in ("tuned", "probe"):
        names = {arm: [f"{arm}.s0.2.seed{s}.{kind}" for s in (0, 1)] for arm in ("contrast", "full")}
        both = {arm: np.array([right[name] for name in found]) for arm, found in names.items()}
        assert result.measured[f"s0.2.{kind}.full.mean"] == pytest.approx(both["full"].mean(), abs=1e-4)
        assert result.measured[f"s0.2.{kind}.full.seed1"]["value"] == pytest.approx(both["full"][1].mean())
        gap = both["full"].mean() - both["contrast"].mean()
        found = result.measured[f"s0.2.{kind}.full_minus_contrast"]
        assert found["value"] == pytest.approx(gap)
        assert found["interval"] == "student 95% over 2 seeds and 45 samples"
    losses = [r for r in run.rows("rrcm_pretraining").to_pylist() if r["arm"] == "full" and r["epoch"] == 2]
    assert len(losses) == 2
    wanted = np.mean([r["consistency"] for r in losses])
    assert result.measured["pretraining.full.consistency.last"] == pytest.approx(wanted, abs=1e-4)
    assert result.measured["pretraining.full.log_batch"] == pytest.approx(math.log(100), abs=1e-4)
    half = [math.log(100) / 2 - r["consistency"] for r in losses]
    assert result.measured["pretraining.full.below_half"]["value"] == pytest.approx(np.mean(half))
    assert "pretraining.contrast.consistency.last" not in result.measured
    costs = run.rows("rrcm_certification_cost").to_pylist()
    theirs = [r for r in costs if r["condition"] == "denoised.seed1"]
    assert len(costs) == 12
    assert result.measured["cost.seed1.denoised.seconds"] == pytest.approx(
        np.mean([r["seconds"] for r in theirs]), abs=1e-4
    )


def test_a_denoiser_before_a_classifier_takes_two_passes_a_vote(small):
    result = small.result
    assert result.measured["cost.seed1.rrcm.passes"] == 160
    assert result.measured["cost.seed1.denoised.passes"] == 320
    assert result.measured["cost.seed1.times_fewer_passes"] == 2.0


def test_the_tints_are_learned(small):
    result = small.result
    assert result.measured["s0.1.tuned.full.mean"] > 0.6
    assert not result.reproduced


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """From a seed to its experiment, on 60 images of noise."""
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path))
    paper = RRCMPaper(epochs=1, steps=20, per_class=4, denoiser_steps=2)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (60, 1, 14, 14), generator=generator, dtype=torch.uint8)
    data = Split.of(images, torch.arange(60) % 3)
    run = RunDir(tmp_path / "run")
    record = Record.pin(run, {}, "0" * 32)
    datasets = Datasets("none", False, record)
    context = Context("rrcm", 0, run, "none", "timed-cnn", False, record, datasets)
    return lambda seed: Experiment(paper, context, Parts(data, data, data), seed)


def test_arms_of_a_seed_start_alike_and_labels_are_few(experiment):
    zero, one = experiment(0), experiment(1)
    start = zero.pretrained("scratch")
    first, again, other = (e.pretrained("scratch").net.flat.weight for e in (zero, zero, one))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    data = zero.labelled()
    assert data.labels.bincount().tolist() == [4 * 109] * 3
    assert data.images.unique(dim=0).shape[0] == 12
    assert not torch.equal(one.labelled().images, data.images)
    tuned = zero.tuned(start, "scratch", 0.5, probe=True).model
    assert torch.equal(tuned.net.encoder.flat.weight, first)
    levels = [zero.tuned(start, "scratch", sigma).model.net.level.item() for sigma in (0.5, 1.0, 0.5)]
    assert levels == pytest.approx([0.96542, 2.00365, 0.96542], abs=1e-5)
    behind = zero.denoised(0.5)
    with counted(behind) as passes:
        behind(torch.rand(5, 1, 14, 14))
    assert passes == [5, 5]


@pytest.mark.long
def test_an_architecture_of_ones_own(small, tmp_path):
    text = "rrcm:unlabelled=60,test=20,per_class=2,epochs=1,steps=20,seeds=1,sigmas=0.1,images=1,n=20,denoiser_steps=1"
    spec = small.data
    result = run_paper(text, out=tmp_path / "run", data=spec, model="strided-cnn")
    assert result.measured["s0.1.tuned.full.seed0"]["n"] == 20
    with pytest.raises(ParameterError, match="no architecture 'smal'"):
        run_paper(text, out=tmp_path / "other", data=spec, model="smal")


def test_a_row_without_noise_levels_is_refused():
    with pytest.raises(ParameterError, match="sigmas"):
        RRCMPaper(sigmas=())


def test_recipe_and_row_are_both_found_by_their_name():
    assert find_row("rrcm") is RRCMPaper
    assert find_method("rrcm", "harden").cls is RepresentationConsistency
