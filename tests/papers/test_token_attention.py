"""The verdict's rule by hand, the unit of mCE, and the whole row on tints."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tests.papers.tiny import Tiny, make_tints
from unshaken.core.errors import DataError, ParameterError
from unshaken.harden.recipes.architecture.tap import add_token_pooling
from unshaken.measure import BENCHMARK, corruption_error
from unshaken.measure.robustness.corruption import ALEXNET_ERROR
from unshaken.models import save_model
from unshaken.papers import run_paper
from unshaken.papers.claim import Outcome, judge_parts
from unshaken.papers.datasets import Split
from unshaken.papers.effects import across_seeds
from unshaken.papers.folders import find_row
from unshaken.papers.networks import untrained
from unshaken.store.run_dir import RunDir
from unshaken_papers.token_attention import TokenAttentionPaper
from unshaken_papers.token_attention.nets import WiderViT

TINY = Tiny(
    make=make_tints,
)
"""How the battery runs the row, beside its tiny sizes."""

SHOWN, CONTRADICTED, NOT_VISIBLE = Outcome.SHOWN, Outcome.CONTRADICTED, Outcome.NOT_VISIBLE
SHORT = Outcome.SHORT


def arm(clean, corrupted, adl, overfocus, entropy, stability):
    return {
        "clean": {"value": clean},
        "fitted": {"value": clean + 0.1},
        "corrupted": {"mean": {"value": corrupted}},
        "attention": {
            "adl": adl,
            "overfocus": overfocus,
            "entropy": entropy,
            "stability": dict.fromkeys(("noise", "blur", "contrast"), stability),
        },
        "scales": [[0.75, 0.25], [0.25, 0.75]],
    }


@pytest.fixture
def measured():
    """Three seeds in which every part is shown."""
    seeds = {}
    for i in range(3):
        more = i / 1000
        seeds[f"seed{i}"] = {
            "plain": arm(0.5, 0.3, 0.5, 3 + more, 0.9, 0.8),
            "tap": arm(0.1, 0.1, 0.9, 9.0, 0.9, 0.1),
            "adl": arm(0.1, 0.1, 0.4, 2.9, 0.9, 0.1),
            "tap+adl": arm(0.51 + more, 0.32 + more, 0.1, 1.5, 0.89 + more, 0.85 + more),
            "wide": arm(0.5, 0.31, 0.5, 3.0, 0.9, 0.8),
            "continued": {
                "plain": arm(0.6, 0.33, 0.5, 3.0, 0.9, 0.8),
                "tap+adl": arm(0.6, 0.34 + more, 0.5, 3.0, 0.9, 0.8),
            },
        }
    return seeds


def with_gaps(measured):
    """The figures with what TAP and ADL gain, over the seeds."""
    pairs = [(arms["tap+adl"], arms["plain"]) for arms in measured.values()]
    gaps = {
        "clean": across_seeds([one["clean"]["value"] - other["clean"]["value"] for one, other in pairs]),
        "corrupted": across_seeds(
            [one["corrupted"]["mean"]["value"] - other["corrupted"]["mean"]["value"] for one, other in pairs]
        ),
    }
    return {**measured, "over_seeds": {"tap+adl": gaps}}


def outcomes(measured):
    judged = judge_parts(TokenAttentionPaper.parts, TokenAttentionPaper().judge(with_gaps(measured)))
    return {part.name: part.outcome for part in judged if not part.untried}


def change(measured, name, values, *path):
    for i, value in enumerate(values):
        spot = measured[f"seed{i}"]
        for key in (*name.split("/"), *path[:-1]):
            spot = spot[key]
        spot[path[-1]] = value


def test_every_part_is_shown_and_pooling_alone_is_not_judged(measured):
    assert set(outcomes(measured).values()) == {SHOWN}
    remark = TokenAttentionPaper().remark(measured)
    assert "0.600 of its training images and 0.500 of test images right: it fits them." in remark
    assert "leaves 0.50 of each token its own" in remark
    for seed in measured.values():
        seed["plain"]["fitted"]["value"] = 0.54
    assert "it still underfits" in TokenAttentionPaper().remark(measured)


@pytest.mark.parametrize(
    ("name", "values", "path", "part", "expected"),
    [
        ("tap+adl", (0.29, 0.3, 0.33), ("corrupted", "mean", "value"), "corrupted", NOT_VISIBLE),
        ("tap+adl", (0.28, 0.281, 0.282), ("corrupted", "mean", "value"), "corrupted", CONTRADICTED),
        ("tap+adl", (0.5, 0.5, 0.5), ("clean", "value"), "clean", NOT_VISIBLE),
        ("tap+adl", (0.49, 0.491, 0.492), ("clean", "value"), "clean", CONTRADICTED),
        ("plain", (1.5, 2.4, 3.0), ("attention", "overfocus"), "overfocus", NOT_VISIBLE),
        ("plain", (1.6, 1.61, 1.62), ("attention", "overfocus"), "overfocus", CONTRADICTED),
        ("tap+adl", (0.95, 0.951, 0.952), ("attention", "entropy"), "stable", SHORT),  # stable for free
        ("tap+adl", (0.7, 0.701, 0.702), ("attention", "stability", "blur"), "stable", CONTRADICTED),
        ("wide", (0.31, 0.33, 0.32), ("corrupted", "mean", "value"), "capacity", NOT_VISIBLE),
        ("wide", (0.33, 0.331, 0.332), ("corrupted", "mean", "value"), "capacity", CONTRADICTED),
        ("continued/plain", (0.34, 0.35, 0.33), ("corrupted", "mean", "value"), "continued", NOT_VISIBLE),
        ("continued/plain", (0.35, 0.351, 0.352), ("corrupted", "mean", "value"), "continued", CONTRADICTED),
        ("adl", (0.4, 0.5, 0.4), ("attention", "adl"), "diversified", NOT_VISIBLE),
        ("tap+adl", (1.5, 1.5, 3.1), ("attention", "overfocus"), "diversified", NOT_VISIBLE),
    ],
)
def test_what_the_seeds_do_not_show(measured, name, values, path, part, expected):
    change(measured, name, values, *path)
    if path[-1] == "blur":
        change(measured, name, values, "attention", "stability", "noise")
    assert outcomes(measured)[part] == expected


def test_one_seed_shows_nothing_of_many(measured):
    found = outcomes({"seed0": measured["seed0"]})
    assert {name for name, outcome in found.items() if outcome == SHOWN} == {"diversified"}


def test_a_network_of_ones_own_is_only_trained_on(measured):
    for arms in measured.values():
        del arms["wide"], arms["continued"]
    found = outcomes(measured)
    assert {found.pop(part) for part in ("capacity", "continued")} == {Outcome.NOT_TRIED}
    assert set(found.values()) == {SHOWN}


def test_a_plain_network_has_at_least_the_weights_that_pooling_brings():
    split = Split.of(torch.zeros(10, 3, 32, 32, dtype=torch.uint8), torch.arange(10))
    sizes = [sum(p.numel() for p in net.parameters()) for net in (
        add_token_pooling(untrained("small-vit", split, 0)), untrained(WiderViT, split, 0)
    )]  # fmt: skip
    assert sizes == [151_850, 159_606]


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
    assert {f"seed0.{a}.{k}" for a in (*arms, "wide") for k in ("clean", "fitted")} <= names
    assert {f"seed0.continued.{a}.corrupted.mean" for a in arms} <= names
    assert {f"seed0.{a}.corrupted.{k}" for a in arms for k in ("noise", "blur", "contrast", "mean")} <= names
    measures = ("adl", "overfocus", "entropy", "surviving", "stability.noise", "by_layer.stability_blur")
    assert {f"seed0.{a}.attention.{m}" for a in arms for m in measures} <= names
    assert result.measured["seed0.plain.clean"]["n"] == 30
    assert 1 <= result.measured["seed0.plain.attention.overfocus"] <= 17
    assert result.measured["seed0.plain.scales"] == []
    fresh, near = (np.array(result.measured[f"seed0.{a}.scales"]) for a in ("tap", "continued.tap"))
    for scales in (fresh, near):
        assert scales.shape == (4, 4)
        assert np.allclose(scales.sum(1), 1, atol=1e-3)
    assert fresh[:, 0].max() < 0.8 < near[:, 0].min()  # near the network as it is, only where there is one


def test_figures_come_from_rows(finished):
    result, run = finished("token-attention").result, RunDir(finished("token-attention").out)
    right = {(r["condition"], r["id"]): r["correct"] for r in run.rows("outcomes").to_pylist()}
    ids = sorted({i for c, i in right if c == "seed0.adl.clean"})
    kinds = [f"{k}-{s}" for k in ("noise", "blur", "contrast") for s in (1, 3, 5)]
    mean = {a: np.mean([right[f"seed0.{a}.{k}", i] for k in kinds for i in ids]) for a in ("plain", "tap+adl")}
    assert result.measured["seed0.plain.corrupted.mean"]["value"] == pytest.approx(mean["plain"])
    gap = result.measured["over_seeds.tap+adl.corrupted.value"]
    assert gap == pytest.approx(mean["tap+adl"] - mean["plain"])
    rows = [r for r in run.rows("token_attention_attention").to_pylist() if r["condition"] == "seed0.adl.noise-5"]
    assert len(rows) == 40
    assert result.measured["seed0.adl.attention.overfocus"] == pytest.approx(
        np.mean([r["overfocus"] for r in rows]), abs=1e-4
    )


@pytest.mark.long
def test_a_transformer_of_ones_own(finished, tmp_path):
    run = finished("token-attention")
    split = Split.of(torch.zeros(3, 3, 12, 12, dtype=torch.uint8), torch.arange(3))
    save_model(untrained("small-vit", split, 0), tmp_path / "own", arch="small-vit")
    result = run_paper(run.text, out=tmp_path / "run", data=run.data, model=f"run:{tmp_path}/own")
    assert result.measured["seed0.plain.clean"]["n"] == 30
    assert not any("wide" in name or "continued" in name for name in result.measured)


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
    assert find_row("token-attention") is TokenAttentionPaper
