"""The verdict's rule by hand, and the whole row on bright and dark squares."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import DataError, ParameterError
from unshaken.papers import run_paper
from unshaken.papers.frame.context import Context
from unshaken.papers.frame.datasets import Datasets
from unshaken.papers.frame.record import Record
from unshaken.papers.frame.tables import register_tables
from unshaken.papers.robust_mae import MAIN, RobustMaePaper, settled
from unshaken.papers.robust_mae.figures import Figures
from unshaken.papers.robust_mae.pretraining import compare_pretrainings
from unshaken.run.store import RunDir


def value(x, low=None):
    return {"value": x, "low": x if low is None else low, "high": x + 0.1, "n": 150}


@pytest.fixture
def measured():
    """Figures with which every part of the rule holds, some of them barely."""
    control = {
        "unaware": {"0.04": value(0.5)},
        "adaptive": {"0.04": value(0.3)},
        "main_minus_this": {"unaware": value(0.02, 0.001)},
    }
    main = {
        "clean_minus_undefended": value(-0.0299),
        "gain": {"unaware": {"0.04": value(0.1)}},
        **{kind: {"0.04": value(0.55)} for kind in ("unaware", "fixed", "adaptive", "worst")},
    }
    return {
        MAIN: main,
        "k20-b0.3": {"clean_minus_undefended": value(-0.05)},
        "undefended": {"white_box": {"0.04": value(0.4)}},
        "shuffled": control,
        "random": {**control, "main_minus_this": {"unaware": value(0.3)}},
        "confirmed": {"autoattack": value(0.41), "undefended_autoattack": value(0.21)},
        "selection": {"flipped": {"0.04": value(0.125)}, "purity": 0.66},
    }


def failed(measured):
    return [c.words for c in RobustMaePaper().judge(measured) if not c.holds]


def test_the_rule_holds(measured):
    assert failed(measured) == []
    assert len(RobustMaePaper().judge(measured)) == 4


@pytest.mark.parametrize(
    ("path", "figure", "words"),
    [
        ((MAIN, "gain", "unaware", "0.04"), value(0.099), "unaware at 0.04: +0.099"),
        ((MAIN, "clean_minus_undefended"), value(-0.03), "drops by 0.030"),
        (("shuffled", "main_minus_this", "unaware"), value(0.02, 0.0), "ahead of the shuffled prompts by 0.020"),
        (("random", "main_minus_this", "unaware"), value(-0.1), "ahead of the random prompts by -0.100"),
    ],
)
def test_every_part_of_the_rule_can_fail_alone(measured, path, figure, words):
    at = measured
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = figure
    (only,) = failed(measured)
    assert words in only


def test_the_remark_begins_with_the_attacks_that_know_the_prompts(measured):
    said = RobustMaePaper().remark(measured)
    assert said.startswith("The verdict is of attacks that do not know the prompts.")
    assert "were not compared" in said
    assert "67% of that gain" in said  # 0.5 - 0.4 over 0.55 - 0.4
    arm = {"pgd-1": value(0.3)}
    measured["pretraining"] = {
        **dict.fromkeys(("pixels", "features", "none"), arm),
        "pixels_minus_features": {"pgd-1": {"value": -0.02, "low": -0.06, "high": 0.01}},
    }
    assert "inconclusive at this size" in RobustMaePaper().remark(measured)
    measured["pretraining"] = {"absent": "no data"}
    assert "were not compared: no data" in RobustMaePaper().remark(measured)


def test_when_a_difference_is_beyond_chance():
    assert settled({"low": 0.01, "high": 0.2})
    assert settled({"low": -0.2, "high": -0.01})
    assert not settled({"low": -0.2, "high": 0.0})


def test_every_figure_is_there(finished):
    result = finished("robust-mae").result
    names = set(result.measured)
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
    assert result.measured["undefended.clean"]["n"] == 24
    assert result.measured["confirmed.autoattack"]["n"] == 4
    assert not any(k.startswith("pretraining") for k in names)


def test_figures_are_those_of_the_rows(finished):
    run = finished("robust-mae")
    result, rows = run.result, RunDir(run.out).rows("outcomes", ["id", "condition", "correct"]).to_pylist()
    right = {(r["condition"], r["id"]): r["correct"] for r in rows}
    ids = sorted({i for c, i in right if c == "undefended.clean"})
    kinds = ("unaware", "fixed", "adaptive-linf", "through-clip-linf")
    worst = [all(right[f"{MAIN}.{k}-0.04", i] for k in kinds) for i in ids]
    assert result.measured[f"{MAIN}.worst.0.04"]["value"] == pytest.approx(np.mean(worst))
    bare = [right["undefended.pgd-linf-0.04", i] for i in ids]
    gain = result.measured[f"{MAIN}.gain.unaware.0.04"]["value"]
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
    record = Record(run, {}, {})
    datasets = Datasets(data, False, record.add_input)
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
