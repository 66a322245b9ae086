from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from unshaken.report import build, cells
from unshaken.report.blocks import Cell
from unshaken.report.sections import attack
from unshaken.store.config import Entry
from unshaken.store.run_dir import RunDir

Make = Callable[..., RunDir]
PLAN = [Entry(method="pgd", eps=("2/255", "8/255", 0.1)), Entry(method="fgsm", eps=("8/255",))]


@pytest.fixture
def data(make_run: Make) -> dict[str, Any]:
    return build(make_run(plan=PLAN, attacks=True)).data


def test_a_mark_stands_where_its_passes_and_its_accuracy_are(data: dict[str, Any]) -> None:
    shared, *alone = attack.tradeoffs(data)
    assert [p.name for p in (shared, *alone)] == ["L∞, ε 8/255", "L∞, ε 2/255", "L∞, ε 0.1"]
    pgd, fgsm = shared.traces
    assert (pgd.name, fgsm.name) == ("PGD L∞", "FGSM L∞")
    # pgd: 1170 passes before, then 450 and 900; fgsm 630 and 1170 in all; the axis ends at 2070
    assert [p.x for p in pgd.points] == pytest.approx([100 * 1620 / 2070, 100], abs=0.01)
    assert [p.x for p in fgsm.points] == pytest.approx([100 * 630 / 2070, 100 * 1170 / 2070], abs=0.01)
    assert [p.y for p in pgd.points] == [37.5, 50]
    assert pgd.line.split()[0] == f"{100 * 1170 / 2070:.2f},37.5"
    assert shared.level == 12.5
    assert [p.label for p in pgd.points] == ["even", "odd"]
    assert "PGD L∞ from 62.5 %: even: 62.5 % left, 33.8 passes, odd: 50.0 % left, 43.1 passes" in shared.text


def test_curves_have_the_worst_of_all_on_top_with_its_band(data: dict[str, Any]) -> None:
    l2, linf = sorted(attack.by_eps(data), key=lambda p: p.name)
    assert [t.name for t in linf.traces] == ["all attacks together", "PGD", "FGSM"]
    assert [bool(t.band) for t in linf.traces] == [True, False, False]
    assert [len(t.points) for t in linf.traces] == [4, 4, 1]  # of one budget no line is drawn
    assert [t.name for t in l2.traces] == ["DeepFool, nearest examples"]
    assert l2.axis == "ε (L2)"
    assert (l2.traces[0].points[-1].x, l2.traces[0].points[-1].y) == (100, 75)


def turn(name: str, standing: int, passes: int) -> dict[str, Any]:
    return {"attack": name, "broken": 0, "standing": standing, "forwards": passes, "backwards": 0}


def test_stages_that_made_no_pass_were_not_run() -> None:
    turns = {"turns": [turn("a", 9, 90), turn("b", 9, 0), turn("c", 0, 0)]}
    assert attack.broken_by_stage(turns) == "a broke none; b and c not run"


def test_the_headline_says_what_each_stage_broke(data: dict[str, Any]) -> None:
    headline = attack.headline(data)
    assert headline == data["attacks"][2]
    assert attack.broken_by_stage(data["attacks"][2]) == "even broke 12 of 24, odd 12 more"
    assert attack.broken_by_stage(data["attacks"][1]) == "odd broke 6 of 30; even broke none"
    idle = {"turns": [turn(a, 9, 1) for a in ("a", "b", "c")]}
    assert attack.broken_by_stage(idle) == "a, b and c broke none"
    assert attack.headline({"attacks": []}) is None


def test_a_distance_has_its_interval_and_may_be_unbounded() -> None:
    figure = {"value": 0.12345, "low": 0.1, "high": None}
    assert cells.value(figure) == Cell("0.123", "0.1 to ∞")
    assert cells.value(None) == Cell("")
