"""The verdict's rule by hand, and the whole row on tints that a small network learns at once."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.harden.surgery.surgery import body_of
from unshaken.models.networks.convolutions import PlainConvs
from unshaken.papers import run_paper
from unshaken.papers.frame.datasets import Split
from unshaken.papers.robust_weight_signatures import RobustWeightSignaturesPaper
from unshaken.papers.robust_weight_signatures.figures import mean_of
from unshaken.papers.robust_weight_signatures.nets import half_of
from unshaken.run.store import RunDir


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


def failed(seeds):
    checks = RobustWeightSignaturesPaper().judge({"mean": mean_of(seeds.values()), **seeds})
    assert len(checks) == 3
    return [c.words for c in checks if not c.holds]


def test_the_rule_holds(seeds):
    assert failed(seeds) == []


@pytest.mark.parametrize(
    ("label", "figure", "words"),
    [
        ("patched", pair(0.45, 0.3), "recovers 0.48"),
        ("patched", pair(0.42, 0.31), "costs 0.074"),
        ("random2", pair(0.5, 0.4), "random patches gain"),
    ],
)
def test_every_part_of_the_rule_can_fail_alone(seeds, label, figure, words):
    seeds["seed0"]["noise"][label] = figure
    if label == "random2":
        seeds["seed1"]["noise"][label] = figure
    (only,) = failed(seeds)
    assert words in only


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
    assert not any(name.startswith("seed1.blur") for name in result.measured)
    assert "recovers" in result.note


def test_halves_of_the_classes_are_labelled_from_0():
    data = Split.of(torch.arange(5).view(5, 1, 1, 1).byte(), torch.arange(5))
    low, high = (half_of(data, part) for part in ("low", "high"))
    assert (low.labels.tolist(), low.images.flatten().tolist(), low.classes) == ([0, 1], [0, 1], 2)
    assert (high.labels.tolist(), high.images.flatten().tolist(), high.classes) == ([0, 1, 2], [2, 3, 4], 3)


def test_a_finished_run_trains_nothing(finished, monkeypatch, tmp_path):
    run = finished("robust-weight-signatures")
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path / "elsewhere"))
    again = run_paper(run.text, data=run.data, out=run.out)
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
