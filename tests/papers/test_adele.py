"""The rule by hand, the scenes and the rough masks, what is watched, and the whole row on small drawings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.papers.tiny import Tiny, make_rows
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.masks import overlap_counts
from unshaken.harden.engine.recipe import Epoch
from unshaken.measure import iou
from unshaken.papers import run_paper
from unshaken.papers.claim import is_reproduced, judge_parts
from unshaken.store.run_dir import RunDir
from unshaken_papers.adele import ARMS, MORE, AdelePaper, two_errors
from unshaken_papers.adele.experiment import APPEARANCE, STEPS
from unshaken_papers.adele.figures import change
from unshaken_papers.adele.nets import WatchMasks, unet
from unshaken_papers.adele.scenes import draw_scenes, spoil_masks

TINY = Tiny(
    make=make_rows,
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


@pytest.fixture
def measured():
    """Figures with which every part that is tried is shown, barely."""
    kinds = ("trouser", "bag", "ankle_boot", "t_shirt")
    arms = {"plain": {"iou": dict.fromkeys(kinds, 0.5)}, "adele": {"iou": {**dict.fromkeys(kinds, 0.5), "bag": 0.01}}}
    seed = {"memorising": 2, "apart": 3, "corrected": 1, "lowered": 0, "starts": dict.fromkeys(kinds, 9), "arms": arms}
    gains = {name: figure(0.02) for name in ("gain", "adaptive_gain", "consistency_gain")}
    return {"seed0": seed, "seed1": dict(seed), **gains}


def outcomes(measured):
    paper = AdelePaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert found.pop("published-data") == "not tried"
    assert {*found.values()} == {"shown"}


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [("memorising", 1, "memorises"), ("apart", 2, "class-wise"), ("lowered", 1, "labels"), ("corrected", 0, "labels")],
)
def test_one_seed_decides_a_part_alone(measured, name, value, part):
    before = outcomes(measured)
    measured["seed1"][name] = value
    assert outcomes(measured) == {**before, part: "not visible at this scale"}
    paper = AdelePaper()
    assert not is_reproduced(judge_parts(paper.claim_parts(), paper.judge(measured)))


@pytest.mark.parametrize(
    ("name", "part"), [("gain", "gain"), ("adaptive_gain", "adaptive"), ("consistency_gain", "consistency")]
)
def test_a_gain_is_judged_by_two_standard_errors(measured, name, part):
    before = outcomes(measured)
    measured[name] = figure(0.005)
    assert outcomes(measured) == {**before, part: "not visible at this scale"}
    measured[name] = figure(-0.02)
    assert outcomes(measured) == {**before, part: "contradicted"}


def test_two_standard_errors_by_hand():
    found = two_errors([0.1, 0.2, 0.6])
    error = np.std([0.1, 0.2, 0.6], ddof=1) / np.sqrt(3)
    assert [found[k] for k in ("value", "low", "high")] == pytest.approx([0.3, 0.3 - 2 * error, 0.3 + 2 * error])
    assert two_errors([0.5])["low"] is None


def test_the_remark_says_where_nothing_is_memorised(measured):
    assert "trouser 9" in AdelePaper().remark(measured)
    measured["seed1"]["memorising"] = 1
    assert "The precondition is not met in seed1" in AdelePaper().remark(measured)


def test_the_remark_counts_classes_that_were_never_learned(measured):
    assert "Of 8 classes over seeds" in AdelePaper().remark(measured)
    assert AdelePaper().remark(measured).endswith(": plain 0, adele 2.")


def test_scenes_are_drawn_again_from_their_seed():
    garments = [torch.full((2, 1, 28, 28), 60 * (k + 1), dtype=torch.uint8) for k in range(4)]
    images, masks = draw_scenes(garments, 30, 3, **APPEARANCE)
    again = draw_scenes(garments, 30, 3, **APPEARANCE)
    other = draw_scenes(garments, 30, 4, **APPEARANCE)
    assert torch.equal(images, again[0])
    assert torch.equal(masks, again[1])
    assert not torch.equal(masks, other[1])
    assert set(masks.unique().tolist()) == {0, 1, 2, 3, 4}
    for k, side in enumerate(APPEARANCE["sizes"]):  # a garment that nothing hides is a whole square here
        assert side**2 in (masks == k + 1).flatten(1).sum(1).tolist()
    brightness = [images[:, 0][masks == k + 1].float().mean().item() for k in (0, 2, 3)]
    assert brightness == sorted(brightness)


def test_rough_masks_differ_by_image_and_are_fixed_by_the_seed():
    garments = [torch.full((2, 1, 28, 28), 200, dtype=torch.uint8)] * 4
    _, masks = draw_scenes(garments, 40, 0, **APPEARANCE)
    given = spoil_masks(masks, STEPS, 2, 0.5, seed=0)
    assert torch.equal(given, spoil_masks(masks, STEPS, 2, 0.5, seed=0))
    areas = {k: (given == k).flatten(1).sum(1) - (masks == k).flatten(1).sum(1) for k in (1, 2)}
    assert (areas[1] > 0).any()
    assert (areas[1] < 0).any()
    forgotten = ((masks == 2).flatten(1).any(1) & ~(given == 2).flatten(1).any(1)).sum()
    assert 3 <= forgotten <= 18


def test_what_is_watched_by_hand():
    truth, given = torch.zeros(2, 4, 4, dtype=torch.uint8), torch.zeros(2, 4, 4, dtype=torch.uint8)
    truth[:, :2], given[:, :1] = 1, 1  # the second row is wrong
    predicted = truth.clone()
    predicted[1, 1] = 0  # the second image's is memorised
    watch = WatchMasks(truth=truth, given=given)

    def evaluate(read):
        return torch.arange(2), given, predicted

    epoch = Epoch(None, 0, {}, {}, evaluate)
    watch.after_epoch(epoch)
    assert epoch.figures == {"early_1": 0.5, "memorised_1": 0.0}
    early, memorised = np.array([0.1, 0.5, 0.2]), np.array([0.1, 0.2, 0.6])
    assert change(early, memorised) == {"best_epoch": 1, "fall": 0.3, "rise": 0.4}


def test_figures_come_from_rows(finished):
    run = finished("adele")
    measured, directory = run.result.measured, RunDir(run.out)
    rows = directory.rows("adele_masks").to_pylist()
    own = [r for r in rows if r["condition"] == "seed0.adele"]
    counts = [
        [sum(r[c] for r in own if r["kind"] == k) for k in range(1, 5)]
        for c in ("intersection", "predicted", "labelled")
    ]
    assert measured["seed0.arms.adele.miou"] == pytest.approx(float(np.nanmean(iou(counts))))
    both = [measured[f"seed{s}.arms.adele.miou"] - measured[f"seed{s}.arms.plain.miou"] for s in (0, 1)]
    assert measured["gain"]["value"] == pytest.approx(np.mean(both))
    assert measured["gain"]["n"] == 2
    epochs = [r for r in directory.rows("adele_epochs").to_pylist() if r["condition"] == "seed1.plain"]
    assert len(epochs) == 5 * 4
    assert {r["start"] for r in epochs} == {None}
    before = next(r["labels"] for r in epochs if r["epoch"] == 0 and r["kind"] == 2)
    assert measured["seed1.labels.bag.before"] == pytest.approx(before, abs=1e-4)


def test_every_arm_is_run(finished):
    run = finished("adele")
    assert {k.split(".")[1] for k in run.result.measured if k.startswith("miou.")} == {*ARMS, *MORE}
    epochs = RunDir(run.out).rows("adele_epochs").to_pylist()
    starts = {
        arm: {r["kind"]: r["start"] for r in epochs if r["condition"] == f"seed0.{arm}" and r["epoch"] == 4}
        for arm in ("plain", "global", "consistency", "oracle")
    }
    assert {*starts["plain"].values(), *starts["consistency"].values()} == {None}
    assert len({*starts["global"].values()}) == 1
    plain = [r for r in epochs if r["condition"] == "seed0.plain"]
    for kind, start in starts["oracle"].items():
        early = [r["early"] for r in sorted(plain, key=lambda r: r["epoch"]) if r["kind"] == kind]
        assert start in (max(1, int(np.argmax(early))), None)


def test_what_cannot_be_run_is_said_in_one_line(tmp_path, tints):
    with pytest.raises(ParameterError, match="trains its own networks and takes no model"):
        run_paper("adele", out=tmp_path / "a", data=tints, model="demo:standard")
    with pytest.raises(DataError, match="the classes 1, 8, 9, 0 must all have images"):
        run_paper("adele", out=tmp_path / "b", data=tints)


def test_the_network_is_as_small_as_the_text_says():
    assert sum(p.numel() for p in unet(5, 1, 48).parameters()) == 29_813
    assert overlap_counts(torch.tensor([1]), torch.tensor([1]), 2).sum() == 3
