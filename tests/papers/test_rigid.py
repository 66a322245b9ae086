"""The row of RIGID: its sets by hand, its rule both ways, figures from rows, and a tiny run on pictures made here."""

import numpy as np
import pytest

from unshaken.core.errors import DataError
from unshaken.papers import run_paper
from unshaken.papers.frame.rows import Rows
from unshaken.papers.rigid import RIGIDPaper
from unshaken.papers.rigid.figures import Figures, flagged
from unshaken.run.store import RunDir


def test_the_percentile_flags_one_of_twenty():
    similarity = np.arange(81, 101) / 100
    assert 1 - np.quantile(1 - similarity, 0.95) == pytest.approx(0.8195)
    assert flagged(1 - similarity, 1 - similarity).sum() == 1


def measured(untied=0, order=1e-4, jpeg=0.05, means=(0.7, 0.6, 0.51)):
    row = {"bicubic": {"value": 0.6}, "spectrum": {"value": 0.4}}
    return {
        "auroc": {"noise-0.05": row, "noise-0.2": row},
        "recompressed": row,
        "stand_ins": {f"s{i}": v for i, v in enumerate(means)},
        "flagged": {"as-is": {"jpeg95": {"value": jpeg}}},
        "false_alarms": {"smooth": {"value": 0.25}, "drawings": {"value": 0.5}},
        "not_tied_at_0": untied,
        "order": order,
    }


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ({}, None),
        ({"untied": 3}, "3 scores differ from 0"),
        ({"untied": None}, "lambda 0 was not run"),
        ({"order": 0.02}, "move by 2.0e-02"),
        ({"jpeg": 0.16}, "16.0% of JPEG-95"),
        ({"means": (0.7, 0.49)}, "0.700, 0.490"),
    ],
)
def test_the_rule_holds_and_each_part_fails_alone(change, failed):
    wrong = [c.words for c in RIGIDPaper().judge(measured(**change)) if not c.holds]
    assert len(wrong) == (failed is not None)
    assert failed is None or failed in wrong[0]


def test_the_remark_shows_what_is_below_one_half():
    remark = RIGIDPaper().remark(measured())
    assert remark.startswith("Photos move more than spectrum. ")
    assert "smooth 25%, drawings 50%" in remark
    above = measured()
    above["auroc"]["noise-0.05"] = {"bicubic": {"value": 0.9}}
    assert "move more" not in RIGIDPaper().remark(above)


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
