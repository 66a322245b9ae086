"""The verdict's rule by hand, the unit of mCE, and the whole row on tints."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from PIL import Image

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import find_method
from unshaken.measure import ALEXNET_ERROR, BENCHMARK, corruption_error
from unshaken.models import save_model
from unshaken.papers import run_paper
from unshaken.papers.frame.datasets import Split
from unshaken.papers.frame.networks import untrained
from unshaken.papers.token_attention import TokenAttentionPaper
from unshaken.run.store import RunDir


def attention(adl, overfocus):
    return {
        "adl": adl,
        "overfocus": overfocus,
        "entropy": 0.9,
        "stability": {"noise": 0.8},
        "by_layer": {"overfocus": [overfocus] * 4},
    }


@pytest.fixture
def measured():
    """Figures with which every part of the rule holds, some of them barely."""
    arms = {"plain": attention(0.5, 3.0), "tap": attention(0.5, 3.0)}
    arms |= {"adl": attention(0.49, 2.9), "tap+adl": attention(0.1, 1.5)}
    seed = {name: {"attention": part, "scales": [[0.75, 0.25], [0.25, 0.75]]} for name, part in arms.items()}
    gap = {"clean": {"value": -0.01}, "corrupted": {"value": 0.02, "low": 0.001, "high": 0.04}}
    over = {name: copy.deepcopy(gap) for name in ("tap", "adl", "tap+adl")}
    return {
        "seed0": seed,
        "seed1": copy.deepcopy(seed),
        "over_seeds": over,
    }


def failed(measured):
    return [c.words for c in TokenAttentionPaper().judge(measured) if not c.holds]


def test_the_rule_holds(measured):
    assert failed(measured) == []
    assert len(TokenAttentionPaper().judge(measured)) == 6


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("over_seeds", "tap+adl", "corrupted", "low"), 0.0, "accuracy under corruptions by +0.0200"),
        (("over_seeds", "tap+adl", "clean", "value"), -0.011, "clean accuracy by -0.0110"),
        (("seed0", "adl", "attention", "adl"), 0.5, "seed0: adl takes ADL from 0.500 to 0.500"),
        (("seed1", "adl", "attention", "overfocus"), 3.1, "overfocus from 3.00 to 3.10"),
        (("seed1", "tap+adl", "attention", "adl"), 0.6, "seed1: tap+adl takes ADL from 0.500 to 0.600"),
    ],
)
def test_every_part_of_the_rule_can_fail_alone(measured, path, value, words):
    at = measured
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    (only,) = failed(measured)
    assert words in only


def test_pooling_alone_is_not_judged(measured):
    measured["over_seeds"]["tap"]["corrupted"] = {"value": -0.2, "low": -0.3, "high": -0.1}
    assert failed(measured) == []
    assert "leaves 0.50 of each token its own" in TokenAttentionPaper().remark(measured)


def test_mce_of_alexnet_is_one_hundred_and_that_of_no_error_nought():
    n = 2000
    for scale, wanted in ((1.0, 1.0), (0.0, 0.0)):
        names, levels, right, ids = [], [], [], []
        for name in BENCHMARK:
            for severity in range(1, 6):
                wrong = round(scale * ALEXNET_ERROR[name] * n)
                names += [name] * n
                levels += [severity] * n
                ids += [str(i) for i in range(n)]
                right += [False] * wrong + [True] * (n - wrong)
        found = corruption_error(ids, names, levels, right, imagenet=True, resamples=2)
        assert 100 * found.mce.value == pytest.approx(100 * wanted, abs=0.05)


def test_every_figure_is_there(finished):
    result = finished("token-attention").result
    names = set(result.measured)
    arms = ("plain", "tap", "adl", "tap+adl")
    assert {f"seed0.{a}.clean" for a in arms} <= names
    assert {f"seed0.{a}.corrupted.{k}" for a in arms for k in ("noise", "blur", "contrast", "mean")} <= names
    measures = ("adl", "overfocus", "entropy", "surviving", "stability.noise", "by_layer.stability_blur")
    assert {f"seed0.{a}.attention.{m}" for a in arms for m in measures} <= names
    assert result.measured["seed0.plain.clean"]["n"] == 30
    assert 1 <= result.measured["seed0.plain.attention.overfocus"] <= 17
    assert result.measured["seed0.plain.scales"] == []
    scales = np.array(result.measured["seed0.tap.scales"])
    assert scales.shape == (4, 4)
    assert np.allclose(scales.sum(1), 1, atol=1e-3)
    assert scales[:, 0].min() > 0.8  # it begins near the network as it is


def test_figures_come_from_rows(finished):
    result, run = finished("token-attention").result, RunDir(finished("token-attention").out)
    right = {(r["condition"], r["id"]): r["correct"] for r in run.rows("outcomes").to_pylist()}
    ids = sorted({i for c, i in right if c == "seed0.adl.clean"})
    kinds = [f"{k}-{s}" for k in ("noise", "blur", "contrast") for s in (1, 3, 5)]
    mean = {a: np.mean([right[f"seed0.{a}.{k}", i] for k in kinds for i in ids]) for a in ("plain", "tap+adl")}
    assert result.measured["seed0.plain.corrupted.mean"]["value"] == pytest.approx(mean["plain"])
    gap = result.measured["over_seeds.tap+adl.corrupted"]["value"]
    assert gap == pytest.approx(mean["tap+adl"] - mean["plain"])
    rows = [r for r in run.rows("token_attention_attention").to_pylist() if r["condition"] == "seed0.adl.noise-5"]
    assert len(rows) == 40
    assert result.measured["seed0.adl.attention.overfocus"] == pytest.approx(
        np.mean([r["overfocus"] for r in rows]), abs=1e-4
    )


def test_a_transformer_of_ones_own(finished, tmp_path):
    run = finished("token-attention")
    split = Split.of(torch.zeros(3, 3, 12, 12, dtype=torch.uint8), torch.arange(3))
    save_model(untrained("small-vit", split, 0), tmp_path / "own", arch="small-vit")
    result = run_paper(run.text, out=tmp_path / "run", data=run.data, model=f"run:{tmp_path}/own")
    assert result.measured["seed0.plain.clean"]["n"] == 30


def test_images_that_are_no_squares_are_refused(tmp_path):
    for split in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("RGB", (16, 12)).save(tmp_path / split / name / "0.png")
    with pytest.raises(ParameterError, match="images of 12 x 16 pixels"):
        run_paper("token-attention", out=tmp_path / "run", data=f"folder:{tmp_path}")


def test_what_cannot_be_run_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    with pytest.raises(DataError, match="cifar10"):
        run_paper("token-attention", out=tmp_path / "run")
    with pytest.raises(ParameterError, match="name a vision transformer"):
        run_paper("token-attention", out=tmp_path / "other", model="demo:standard")


def test_it_stands_in_the_registry():
    assert find_method("token-attention", "papers").cls is TokenAttentionPaper
