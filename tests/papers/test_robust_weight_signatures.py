"""The verdict's rule by hand, and the whole row on tints that a small network learns at once."""

from __future__ import annotations

import copy
import shutil

import numpy as np
import pytest
import torch

from tests.papers.tiny import Tiny, make_tints
from unshaken.core.errors import ParameterError
from unshaken.harden.surgery.surgery import body_of
from unshaken.models.networks.convolutions import PlainConvs
from unshaken.papers import run_paper
from unshaken.papers.claim import Outcome, judge_parts
from unshaken.papers.datasets import Split
from unshaken.store.run_dir import RunDir
from unshaken_papers.robust_weight_signatures import RobustWeightSignaturesPaper
from unshaken_papers.robust_weight_signatures.figures import mean_of
from unshaken_papers.robust_weight_signatures.nets import half_of

TINY = Tiny(
    make=make_tints,
)
"""How the battery runs the row, beside its tiny sizes."""

SHOWN, CONTRADICTED, NOT_VISIBLE = Outcome.SHOWN, Outcome.CONTRADICTED, Outcome.NOT_VISIBLE
SHORT = Outcome.SHORT


def pair(clean, changed):
    return {"clean": {"value": clean}, "changed": {"value": changed}}


@pytest.fixture
def seeds():
    """Two seeds whose means hold the rule barely: base 0.5 and 0.2, robust 0.4 under noise."""
    noise = {
        "base": pair(0.5, 0.2),
        "robust": pair(0.4, 0.4),
        "patched": pair(0.45, 0.31),
        "interpolated": pair(0.45, 0.3),
        "plain": pair(0.45, 0.3),
        "quantised": pair(0.45, 0.3),
        **{f"random{i}": pair(0.5, 0.2 + i / 100) for i in range(3)},
    }
    one, two = {"noise": noise}, {"noise": copy.deepcopy(noise)}
    two["noise"]["patched"] = pair(0.432, 0.291)
    return {"seed0": one, "seed1": two}


def test_the_means_by_hand(seeds):
    mean = mean_of(seeds.values())
    assert mean["gain"] == pytest.approx(0.1005)
    assert mean["recovered"] == pytest.approx(0.5025)
    assert mean["clean_loss"] == pytest.approx(0.059)
    assert mean["random_gain"] == pytest.approx(0.02)


@pytest.fixture
def measured():
    """Three seeds in which every part is shown."""
    seeds = {}
    for i in range(3):
        noise = {
            "base": pair(0.5, 0.2),
            "robust": pair(0.4, 0.4),
            "patched": pair(0.47 + i / 1000, 0.35 + i / 1000),
            "interpolated": pair(0.45, 0.3),
            "plain": pair(0.45, 0.3),
            "quantised": pair(0.469 + i / 1000, 0.349 + i / 1000),
            **{f"random{k}": pair(0.5, 0.2 + k / 100) for k in range(3)},
            "scaled-0.5": pair(0.48, 0.3),
            "scaled-1": pair(0.44, 0.38),
            "layers": 4,
        }
        other = {"base": pair(0.5, 0.2), "robust": pair(0.4, 0.4), "patched": pair(0.45, 0.35)}
        weights = {"size.ratio": 4.0 + i / 100, "cosine.transfer": 0.5}
        seeds[f"seed{i}"] = {
            "noise": noise,
            "blur": dict(other),
            "contrast": dict(other),
            "weights": {**weights, "cosine.noise.blur": 0.1 + i / 100, "cosine.noise.contrast": 0.0},
            "two_patches": {
                "both": {"noise": {"value": 0.3}, "blur": {"value": 0.3}},
                "base": {"noise": {"value": 0.2}, "blur": {"value": 0.2}},
            },
            "transfer": {"base": pair(0.5, 0.2), "patched": pair(0.5, 0.3), "random0": pair(0.5, 0.21)},
            "removed_changes": 0.0,
        }
    return seeds


def outcomes(measured):
    judged = judge_parts(RobustWeightSignaturesPaper.parts, RobustWeightSignaturesPaper().judge(measured))
    return {part.name: part.outcome for part in judged if not part.untried}


def change(measured, label, figures):
    """Set the figures of a label of noise, or at a dotted path, in each seed."""
    *way, last = [name for name in label.split("/") if name] if "/" in label else ("noise", label)
    for i, figure in enumerate(figures):
        part = measured[f"seed{i}"]
        for name in way:
            part = part[name]
        part[last] = figure


def test_every_part_is_shown(measured):
    assert set(outcomes(measured).values()) == {SHOWN}


@pytest.mark.parametrize(
    ("label", "figures", "part", "expected"),
    [
        ("patched", [pair(0.47, x) for x in (0.25, 0.26, 0.251)], "gain", SHORT),  # a quarter of the gain
        ("patched", [pair(0.47, x) for x in (0.21, 0.38, 0.5)], "gain", NOT_VISIBLE),  # the seeds are far apart
        ("patched", [pair(0.47, x) for x in (0.15, 0.151, 0.152)], "gain", CONTRADICTED),
        ("patched", [pair(x, 0.35) for x in (0.41, 0.45, 0.49)], "clean-cost", NOT_VISIBLE),
        ("patched", [pair(x, 0.35) for x in (0.41, 0.411, 0.412)], "clean-cost", CONTRADICTED),
        ("random1", [pair(0.5, x) for x in (0.2, 0.35, 0.45)], "control", NOT_VISIBLE),
        ("random0", [pair(0.5, x) for x in (0.4, 0.401, 0.402)], "control", CONTRADICTED),
        ("plain", [pair(0.5, x) for x in (0.35, 0.351, 0.352)], "projection", NOT_VISIBLE),
        ("plain", [pair(0.5, x) for x in (0.4, 0.401, 0.402)], "projection", CONTRADICTED),
        ("interpolated", [pair(0.5, x) for x in (0.35, 0.351, 0.352)], "control", NOT_VISIBLE),
        ("interpolated", [pair(0.5, x) for x in (0.4, 0.401, 0.402)], "control", CONTRADICTED),
        ("scaled-0.5", [pair(0.5, x) for x in (0.2, 0.19, 0.21)], "scaled", NOT_VISIBLE),
        ("scaled-1", [pair(0.5, x) for x in (0.2, 0.201, 0.202)], "scaled", CONTRADICTED),
        ("/removed_changes", [0.0, 0.002, 0.0], "scaled", NOT_VISIBLE),
        ("blur/patched", [pair(0.45, x) for x in (0.25, 0.26, 0.251)], "other-corruptions", SHORT),
        ("contrast/patched", [pair(0.45, x) for x in (0.1, 0.11, 0.12)], "other-corruptions", CONTRADICTED),
        ("two_patches/both/blur", [{"value": x} for x in (0.2, 0.3, 0.25)], "combined", NOT_VISIBLE),
        ("two_patches/both/noise", [{"value": x} for x in (0.1, 0.11, 0.12)], "combined", CONTRADICTED),
        ("transfer/random0", [pair(0.5, x) for x in (0.3, 0.31, 0.29)], "moved", NOT_VISIBLE),
        ("transfer/patched", [pair(0.5, x) for x in (0.15, 0.151, 0.152)], "moved", CONTRADICTED),
        ("weights/cosine.noise.contrast", [0.5, 0.6, 0.4], "identifies", NOT_VISIBLE),
        ("weights/cosine.noise.blur", [0.6, 0.61, 0.62], "identifies", CONTRADICTED),
        ("quantised", [pair(0.469, x) for x in (0.30, 0.35, 0.40)], "quantised", NOT_VISIBLE),
        ("quantised", [pair(0.40, x) for x in (0.35, 0.351, 0.352)], "quantised", CONTRADICTED),
        ("layers", [4, 6, 4], "first-layers", NOT_VISIBLE),
        ("layers", [4, 4, 0], "first-layers", NOT_VISIBLE),
    ],
)
def test_what_the_seeds_do_not_show(measured, label, figures, part, expected):
    change(measured, label, figures)
    assert outcomes(measured)[part] == expected


@pytest.mark.parametrize(("ratios", "expected"), [((4.4, 1.0, 4.4), NOT_VISIBLE), ((0.5, 0.51, 0.52), CONTRADICTED)])
def test_a_patch_must_be_smaller_in_all(measured, ratios, expected):
    for i, ratio in enumerate(ratios):
        measured[f"seed{i}"]["weights"]["size.ratio"] = ratio
    assert outcomes(measured)["small-file"] == expected


def test_one_seed_shows_nothing_of_many(measured):
    found = outcomes({"seed0": measured["seed0"]})
    assert {name for name, outcome in found.items() if outcome == SHOWN} == {"first-layers"}
    assert set(found.values()) == {SHOWN, NOT_VISIBLE}


def test_nothing_is_recovered_where_nothing_was_gained(seeds):
    for part in seeds.values():
        part["noise"]["robust"] = pair(0.4, 0.2)
    assert mean_of(seeds.values())["recovered"] == 0


def test_figures_come_from_rows(finished):
    result, run = finished("robust-weight-signatures").result, RunDir(finished("robust-weight-signatures").out)
    rows = run.rows("outcomes", ["id", "condition", "correct"]).to_pylist()
    right = [r["correct"] for r in rows if r["condition"] == "seed0.noise.robust.on-noise"]
    assert result.measured["seed0.noise.robust.changed"]["value"] == pytest.approx(np.mean(right))
    assert result.measured["seed0.noise.base.clean"]["n"] == 24
    upper = [int(r["id"]) % 3 >= 1 for r in rows if r["condition"] == "seed0.noise.base.on-clean"]
    for label in ("base", "robust", "patched"):
        assert result.measured[f"seed0.transfer.{label}.clean"]["n"] == sum(upper)
    assert result.measured["seed0.noise.layers"] in (0, 2, 4, 6)
    assert result.measured["seed0.weights.size.ratio"] > 1
    for kind in ("noise", "blur", "contrast"):
        assert result.measured[f"seed1.{kind}.patched.changed"]["n"] == 24
    assert result.measured["seed1.two_patches.both.blur"]["n"] == 24
    assert result.measured["seed0.removed_changes"] in (0, pytest.approx(1 / 24, abs=1e-6))
    assert "patch minus best random patch" in result.note


def test_halves_of_the_classes_are_labelled_from_0():
    data = Split.of(torch.arange(5).view(5, 1, 1, 1).byte(), torch.arange(5))
    low, high = (half_of(data, part) for part in ("low", "high"))
    assert (low.labels.tolist(), low.images.flatten().tolist(), low.classes) == ([0, 1], [0, 1], 2)
    assert (high.labels.tolist(), high.images.flatten().tolist(), high.classes) == ([0, 1, 2], [2, 3, 4], 3)


def test_a_finished_run_trains_nothing(finished, monkeypatch, tmp_path):
    run = finished("robust-weight-signatures")
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path / "elsewhere"))
    shutil.copytree(run.out, tmp_path / "run")
    again = run_paper(run.text, data=run.data, out=tmp_path / "run")
    assert {**again.measured, "networks_from_cache": False} == run.result.measured
    assert not (tmp_path / "elsewhere").exists()


def test_six_convolutions_are_six_layers():
    body = body_of(PlainConvs(10, 3, 32))
    assert len(body.layers) == 6
    assert [len(layer) for layer in body.layers] == [2] * 6
    assert sum(p.numel() for p in PlainConvs(10, 3, 32).parameters()) == 448 + 2320 + 4640 + 9248 + 18496 + 36928 + 650


def test_a_model_of_ones_own_has_a_command_of_its_own(tmp_path):
    with pytest.raises(ParameterError, match="unshaken harden surgery"):
        run_paper("robust-weight-signatures", model="demo", out=tmp_path)
