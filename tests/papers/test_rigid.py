"""The row of RIGID: its sets by hand, its rule both ways, figures from rows, and a tiny run on pictures made here."""

import json

import numpy as np
import pytest

from unshaken.core.errors import DataError
from unshaken.papers import run_paper
from unshaken.papers.frame.claim import judge_parts
from unshaken.papers.frame.measured import Nested
from unshaken.papers.frame.rows import Rows
from unshaken.papers.frame.run import flat
from unshaken.papers.rigid import RIGIDPaper
from unshaken.papers.rigid.figures import Figures, flagged
from unshaken.run.store import RunDir


def test_the_percentile_flags_one_of_twenty():
    similarity = np.arange(81, 101) / 100
    assert 1 - np.quantile(1 - similarity, 0.95) == pytest.approx(0.8195)
    assert flagged(1 - similarity, 1 - similarity).sum() == 1


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown, some of them barely."""
    sets = ("bicubic", "nearest", "low-rank", "auto-encoder")
    row = dict.fromkeys((*sets, "spectrum", "small-edm", "small-edm-jpeg75"), figure(0.52))
    flagged = dict.fromkeys(("real", "jpeg95"), figure(0.13)) | dict.fromkeys(sets, figure(0.52))
    return {
        "auroc": {"noise-0.05": row},
        "recompressed": row,
        "flagged": {"as-is": flagged},
        "false_alarms": {"smooth": figure(0.25), "drawings": figure(0.5)},
        "not_tied_at_0": 0,
        "order": 0.01,
    }


def outcomes(measured):
    paper = RIGIDPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def changed(measured, path, new):
    """The figures with the one at a path replaced."""
    *way, last = path
    place = measured = json.loads(json.dumps(measured))  # nothing shared
    for key in way:
        place = place[key]
    place[last] = new
    return measured


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert {name for name, outcome in found.items() if outcome == "not tried"} == {
        "large-generators",
        "other-corruptions",
    }
    assert {*found.values()} == {"not tried", "shown"}
    assert outcomes(Nested(flat(measured))) == found


@pytest.mark.parametrize(
    ("path", "hidden", "opposed", "part"),
    [
        (("auroc", "noise-0.05", "bicubic"), 0.51, 0.4, "traces"),
        (("auroc", "noise-0.05", "nearest"), 0.51, 0.4, "traces"),
        (("auroc", "noise-0.05", "low-rank"), 0.51, 0.4, "traces"),
        (("auroc", "noise-0.05", "auto-encoder"), 0.51, 0.4, "traces"),
        (("auroc", "noise-0.05", "spectrum"), 0.51, 0.4, "drawn"),
        (("auroc", "noise-0.05", "small-edm"), 0.51, 0.4, "generated"),
        (("auroc", "noise-0.05", "small-edm-jpeg75"), 0.51, 0.4, "generated"),
        (("recompressed", "nearest"), 0.51, 0.4, "recompression"),
        (("flagged", "as-is", "real"), 0.145, 0.2, "threshold"),
        (("flagged", "as-is", "jpeg95"), 0.145, 0.2, "threshold"),
        (("flagged", "as-is", "bicubic"), 0.4, 0.03, "threshold"),
    ],
)
def test_one_figure_decides_a_part_alone(measured, path, hidden, opposed, part):
    before = outcomes(measured)
    assert outcomes(changed(measured, path, figure(hidden))) == {**before, part: "not visible at this scale"}
    assert outcomes(changed(measured, path, figure(opposed))) == {**before, part: "contradicted"}


@pytest.mark.parametrize(("name", "value"), [("not_tied_at_0", 3), ("not_tied_at_0", None), ("order", 0.02)])
def test_scores_that_hang_on_anything_else_show_nothing(measured, name, value):
    found = outcomes(changed(measured, (name,), value))
    assert found == {**outcomes(measured), "traces": "not visible at this scale"}


def test_without_a_generator_that_part_is_not_tried(measured):
    for name in ("small-edm", "small-edm-jpeg75"):
        del measured["auroc"]["noise-0.05"][name]
    assert outcomes(measured)["generated"] == "not tried"


def test_the_remark_shows_what_is_below_one_half(measured):
    assert "move more" not in RIGIDPaper().remark(measured)
    remark = RIGIDPaper().remark(changed(measured, ("auroc", "noise-0.05", "spectrum"), figure(0.4)))
    assert remark.startswith("Photos move more than spectrum. ")
    assert "smooth 25%, drawings 50%" in remark


def test_figures_are_those_of_the_rows(finished):
    run = finished("rigid")
    result, rows = run.result, RunDir(run.out).rows("rigid_moves").to_pylist()

    def scores(name, how="noise-0.05", treatment="as-is"):
        return [
            r["score"]
            for r in rows
            if (r["set"], r["how"], r["treatment"]) == (name, how, treatment) and not r["condition"].endswith(".again")
        ]

    for how, name in (("noise-0.05", "bicubic"), ("noise-0.02", "drawings"), ("blur", "spectrum")):
        real, fake = np.array(scores("real", how)), np.array(scores(name, how))
        assert len(real) == len(fake) == 8
        expected = (fake[:, None] > real).mean() + (fake[:, None] == real).mean() / 2
        assert result.measured[f"auroc.{how}.{name}"]["value"] == pytest.approx(expected)
    real, fake = np.array(scores("small-real")), np.array(scores("small-edm"))
    assert result.measured["auroc.noise-0.05.small-edm"]["value"] == pytest.approx((fake[:, None] > real).mean())
    assert result.measured["wins.nearest"] == pytest.approx((np.array(scores("nearest")) > scores("real")).mean())
    assert scores("real", "noise-0") == [0.0] * 8
    assert result.measured["auroc.noise-0.bicubic"]["value"] == 0.5
    assert result.measured["not_tied_at_0"] == 0
    assert min(scores("real")) > 0
    assert result.measured["order"] < 0.01
    assert result.measured["false_alarms.smooth"]["n"] == 2
    assert {"s0", "s1"} == {k.removeprefix("stand_ins.") for k in result.measured if k.startswith("stand_ins.")}


def test_scores_that_move_or_are_not_tied_are_noticed(finished):
    """A score of the second pass is forged, and one without noise: the figures must say so."""
    figures = Figures(Rows(RunDir(finished("rigid").out), "rigid", 0), [0, 1])
    key = next(iter(figures.again))
    figures.again[key] *= 1.5
    assert figures.order() == pytest.approx(0.5, rel=0.05)
    next(iter(v for k, v in figures.rows.items() if k[3] == "noise-0")).update(p0=1e-9)
    assert figures.not_tied() == 1


def test_data_that_does_not_do(finished, tmp_path):
    run = finished("rigid")
    with pytest.raises(DataError, match=r"60 photos; 9 seeds of 9 and 20 .* are 101"):
        run_paper(run.text.replace("seeds=2", "seeds=9"), out=tmp_path / "a", data=run.data, model=run.model)
    with pytest.raises(DataError, match="multiples of 8 are needed"):
        run_paper(run.text, out=tmp_path / "b", data=f"{run.data}&size=28", model=run.model)
