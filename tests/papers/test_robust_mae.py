"""The verdict's rule by hand, and the whole row on bright and dark squares."""

from __future__ import annotations

import io
import json
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.papers.tiny import Tiny
from unshaken.attack.ensembles.autoattack import AutoAttack
from unshaken.core.errors import DataError, ParameterError
from unshaken.papers import run_paper
from unshaken.papers.claim import judge_parts
from unshaken.papers.context import Context
from unshaken.papers.datasets import Datasets
from unshaken.papers.effects import Nested
from unshaken.papers.record import Record
from unshaken.papers.run import flat
from unshaken.papers.tables import register_tables
from unshaken.store.run_dir import RunDir
from unshaken_papers.robust_mae import MAIN, VARIANTS, RobustMaePaper, settled
from unshaken_papers.robust_mae.figures import Figures
from unshaken_papers.robust_mae.pretraining import compare_pretrainings


def make_squares(folder: Path) -> str:
    """Grey noise with a bright square in one of three corners, as Parquet with 120 training and 30 test images."""
    rng = np.random.default_rng(0)
    columns: dict[str, list[object]] = {"id": [], "image": [], "label": [], "split": []}
    for split, n in (("train", 120), ("test", 30)):
        labels = np.arange(n) % 3
        images = rng.integers(40, 160, (n, 12, 12)).astype(np.uint8)
        for i, (pixels, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            top, left = divmod(label, 2)
            pixels[6 * top : 6 * top + 6, 6 * left : 6 * left + 6] += 50
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, "PNG")
            for key, entry in zip(columns, (f"{split}{i}", out.getvalue(), label, split), strict=True):
                columns[key].append(entry)
    pq.write_table(pa.table(columns), folder / "squares.parquet")
    return f"parquet:{folder}/squares.parquet"


TINY = Tiny(
    make=make_squares,
    patches={
        "unshaken_papers.robust_mae.experiment.AutoAttack": partial(AutoAttack, steps=3),
        "unshaken_papers.robust_mae.experiment.VARIANTS": {
            name: {**options, "clusters": min(options["clusters"], 3)} for name, options in VARIANTS.items()
        },
    },
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown, some of them barely."""
    control = {"unaware": {"0.04": figure(0.5)}, "main_minus_this": {"unaware": figure(0.02)}}
    main = {
        "clean_minus_undefended": figure(-0.01),
        "gain": {"unaware": {"0.04": figure(0.12)}, "worst": {"0.04": figure(0.02)}},
        "unaware": {"0.04": figure(0.55)},
    }
    part = {
        MAIN: main,
        "undefended": {"white_box": {"0.04": figure(0.4)}},
        "shuffled": control,
        "random": control,
        "confirmed": {"gain": figure(0.02)},
        "pretraining": {
            "pixels": {"pgd-1": figure(0.2)},
            "features": {"pgd-1": figure(0.3)},
            "none": {"pgd-1": figure(0.23)},
            "pixels_minus_features": {"pgd-1": figure(-0.02), "clean": figure(0.0), "low-4": figure(-0.03)},
        },
    }
    return {f"seed{i}": json.loads(json.dumps(part)) for i in range(2)}


def outcomes(measured):
    paper = RobustMaePaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def changed(measured, path, new):
    """The figures with the one at a path replaced."""
    *way, last = ("seed1", *path)
    place = measured = json.loads(json.dumps(measured))  # nothing shared
    for key in way:
        place = place[key]
    place[last] = new
    return measured


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert found.pop("masked-autoencoder") == "not tried"
    assert {*found.values()} == {"shown"}
    assert outcomes(Nested(flat(measured))) == found | {"masked-autoencoder": "not tried"}


@pytest.mark.parametrize(
    ("path", "hidden", "opposed", "part"),
    [
        ((MAIN, "gain", "unaware", "0.04"), 0.105, -0.02, "gain"),
        ((MAIN, "gain", "worst", "0.04"), 0.01, -0.02, "informed-attacks"),
        (("confirmed", "gain"), 0.01, -0.02, "informed-attacks"),
        ((MAIN, "clean_minus_undefended"), -0.025, -0.05, "clean-kept"),
        (("shuffled", "main_minus_this", "unaware"), 0.01, -0.02, "prototypes"),
        (("random", "main_minus_this", "unaware"), 0.01, -0.02, "prototypes"),
        (("pretraining", "pixels_minus_features", "pgd-1"), -0.01, 0.02, "pixels-weakest"),
        (("pretraining", "none", "pgd-1"), 0.21, 0.17, "pixels-weakest"),
        (("pretraining", "pixels_minus_features", "low-4"), -0.01, 0.03, "pixels-high"),
    ],
)
def test_one_figure_decides_a_part_alone(measured, path, hidden, opposed, part):
    before = outcomes(measured)
    assert outcomes(changed(measured, path, figure(hidden))) == {**before, part: "not visible at this scale"}
    assert outcomes(changed(measured, path, figure(opposed))) == {**before, part: "contradicted"}


def test_pretrainings_that_are_not_there_are_not_tried(measured):
    for part in ({}, {"pretraining": {"absent": "no data"}}):
        left = {**{k: v for k, v in measured["seed0"].items() if k != "pretraining"}, **part}
        assert {outcomes({"seed0": left})[name] for name in ("pixels-weakest", "pixels-high")} == {"not tried"}


def test_the_remark_tells_what_any_pattern_gains_and_compares_pretrainings(measured):
    remark = RobustMaePaper().remark(measured)
    assert remark.startswith(
        "67%, 67% of the gain against attacks that do not know the prompts"
    )  # 0.5 - 0.4 over 0.55 - 0.4
    assert "a difference beyond chance" in remark
    first = measured["seed0"]
    first["pretraining"]["pixels_minus_features"]["pgd-1"] = figure(0.0)
    assert "inconclusive at this size" in RobustMaePaper().remark(measured)
    first["pretraining"] = {"absent": "no data"}
    assert "were not compared: no data" in RobustMaePaper().remark(measured)
    del first["pretraining"]
    assert "were not compared." in RobustMaePaper().remark(measured)


def test_when_a_difference_is_beyond_chance():
    assert settled({"low": 0.01, "high": 0.2})
    assert settled({"low": -0.2, "high": -0.01})
    assert not settled({"low": -0.2, "high": 0.0})


def test_every_figure_is_there(finished):
    measured = finished("robust-mae").seed0
    names = set(measured)
    budgets = ("0.01", "0.02", "0.04")
    assert {
        f"{MAIN}.{k}.{e}" for k in ("unaware", "fixed", "adaptive", "through_clip", "worst") for e in budgets
    } <= names
    others = ("k20-b0.3", "k50-b0.1", "k1-b0.1", "replace-k20-b0.1")
    assert {f"{v}.{k}.{e}" for v in others for k in ("unaware", "adaptive") for e in budgets} <= names
    assert {f"{c}.main_minus_this.unaware" for c in ("shuffled", "random")} <= names
    assert {f"confirmed.{k}" for k in ("autoattack", "undefended_autoattack", "pgd50", "gain", "adaptive")} <= names
    assert {f"selection.{k}" for k in ("flipped.0.04", "purity", "of_own_class")} <= names
    spectrum = ("low_pass.0.125", "high_pass.0.5", "energy_inside.0.25", "band.low", "band.high", "white.0.25")
    assert {f"spectrum.{k}" for k in (*spectrum, "heat.inside", "heat.outside")} <= names
    assert measured["undefended.clean"]["n"] == 24
    assert measured["confirmed.autoattack"]["n"] == 4
    assert not any(k.startswith("pretraining") for k in names)


def test_figures_are_those_of_the_rows(finished):
    run = finished("robust-mae")
    measured, rows = run.seed0, RunDir(run.out).rows("outcomes", ["id", "condition", "correct"]).to_pylist()
    right = {(r["condition"].removeprefix("seed0."), r["id"]): r["correct"] for r in rows}
    ids = sorted({i for c, i in right if c == "undefended.clean"})
    kinds = ("unaware", "fixed", "adaptive-linf", "through-clip-linf")
    worst = [all(right[f"{MAIN}.{k}-0.04", i] for k in kinds) for i in ids]
    assert measured[f"{MAIN}.worst.0.04"]["value"] == pytest.approx(np.mean(worst))
    bare = [right["undefended.pgd-linf-0.04", i] for i in ids]
    gain = measured[f"{MAIN}.gain.unaware.0.04"]["value"]
    assert gain == pytest.approx(np.mean([right[f"{MAIN}.unaware-0.04", i] for i in ids]) - np.mean(bare))


def test_attacked_images_are_inside_the_budget(finished):
    run = RunDir(finished("robust-mae").out)
    rows = [r for r in run.rows("outcomes").to_pylist() if r["condition"].endswith(".adaptive-linf-0.02")]
    assert len(rows) == 24 * 5
    assert max(r["distance"] for r in rows) <= 0.02 * (1 + 1e-6)


def context_of(finished, tmp_path, monkeypatch):
    """A run directory of its own beside the data of the tiny run."""
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path / "cache"))
    register_tables([RobustMaePaper])
    run, data = RunDir(tmp_path / "run"), finished("robust-mae").data
    record = Record(run, {}, {"rule": "", "date": ""})
    datasets = Datasets(data, False, record)
    return Context("robust-mae", 0, run, data, "small", False, record, datasets)


def test_three_pretrainings(finished, tmp_path, monkeypatch):
    context = context_of(finished, tmp_path, monkeypatch)
    paper = RobustMaePaper(comparison=context.data, vit_train=60, vit_test=12, pretrain=1, tune=1)
    compare_pretrainings(paper, context)
    found = Figures(context.rows()).pretraining()["pretraining"]
    assert {"pixels", "features", "none", "pixels_minus_features"} == set(found)
    assert found["pixels"]["clean"]["n"] == 12
    assert set(found["none"]) == {"clean", "pgd-0.5", "pgd-1", "pgd-2", "low-4", "low-8", "low-12"}
    gap = found["features"]["pgd-1"]["value"] - found["pixels"]["pgd-1"]["value"]
    assert found["pixels_minus_features"]["pgd-1"]["value"] == pytest.approx(-gap)


def test_why_pretrainings_were_left_out_is_a_row(finished, tmp_path, monkeypatch):
    context = context_of(finished, tmp_path, monkeypatch)
    assert Figures(context.rows()).pretraining() == {}
    compare_pretrainings(RobustMaePaper(comparison=f"folder:{tmp_path}/no-such-set"), context)
    assert "no-such-set" in Figures(context.rows()).pretraining()["pretraining"]["absent"]


def test_what_cannot_be_run_is_said_in_one_line(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    with pytest.raises(DataError, match="cifar10"):
        run_paper("robust-mae", out=tmp_path / "run", data="cifar10")
    monkeypatch.setattr(Context, "load_model", lambda self, spec: Blind())
    with pytest.raises(ParameterError, match="gives no gradients"):
        run_paper("robust-mae", out=tmp_path / "run2", model="onnx:net.onnx")


class Blind:
    differentiable = False
