from __future__ import annotations

import math
from typing import Any

import pytest

from unshaken.report.figures import plots


def share(value: float) -> dict[str, Any]:
    return {"value": value, "low": max(0.0, value - 0.1), "high": min(1.0, value + 0.1)}


def test_a_stair_keeps_its_height_up_to_each_mark() -> None:
    marks = [plots.point(20, share(0.75), "a"), plots.point(60, share(0.5), "b")]
    one = plots.stairs("x", 7, (0, 10), marks)
    assert one.line == "0,10 20,10 20,25 60,25 60,50"
    assert one.style == 1
    assert (marks[0].low, marks[0].high) == pytest.approx((35, 15))


def test_a_band_goes_there_above_and_back_below() -> None:
    one = plots.curve("x", 0, [plots.point(0, share(0.9), "a"), plots.point(100, share(0.5), "b")], band=True)
    assert one.line == "0,10 100,50"
    assert one.band == "0,0 100,40 100,60 0,20"


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.1, [0, 0.02, 0.04, 0.06, 0.08, 0.1]),
        (878, [0, 200, 400, 600, 800]),
        (12.4, [0, 2.5, 5, 7.5, 10]),
        (8 / 255, [0, 0.01, 0.02, 0.03]),
    ],
)
def test_ticks_are_round(most: float, ticks: list[float]) -> None:
    place, shown = plots.linear_axis(most)
    assert [float(t) for _, t in shown] == pytest.approx(ticks)
    assert (place(0), place(most)) == (0, 100)
    assert [x for x, _ in shown] == pytest.approx([100 * t / most for t in ticks], abs=0.01)


def test_passes_far_apart_have_a_logarithmic_axis() -> None:
    place, ticks = plots.passes_axis(10, 100)
    assert place(50) == 50
    place, ticks = plots.passes_axis(2, 10_000)
    assert [t for _, t in ticks] == ["1", "10", "100", "1,000", "10,000"]
    assert (place(1), place(0), place(10_000)) == (0, 0, pytest.approx(100))
    assert place(100) == pytest.approx(100 * math.log(100) / math.log(10_000))


def test_no_label_stands_on_another_or_leaves_the_plot() -> None:
    marks = [plots.point(x, share(0.5), "t", "a-long-name") for x in (1, 3, 5, 50, 51, 97, 99)]
    (one,) = plots.labelled([plots.stairs("x", 0, (0, 0), marks)])
    boxes = []
    for p in one.points:
        if p.label:
            width = 6.6 * len(p.label)
            left = p.x * plots.WIDTH / 100 + (p.right if p.right > 0 else p.right - width)
            assert left >= 0
            assert left + width <= plots.WIDTH + 1
            boxes.append((left, left + width, p.down))
    assert len(boxes) >= 4
    for i, (a, b, y) in enumerate(boxes):
        assert all(d <= a or c >= b or abs(y - z) >= 12 for c, d, z in boxes[:i])


@pytest.mark.parametrize(
    ("least", "most", "lines", "of_half"),
    [
        (0.3, 4.0, {"4": 0, "3": 25, "2": 50, "1": 75, "0": 100}, 87.5),
        (0.1, 4.8, {"6": 0, "4": 33.33, "2": 66.67, "0": 100}, 91.67),
        (-0.5, 1.0, {"1": 0, "0.5": 33.33, "0": 66.67, "-0.5": 100}, 33.33),
        (0.0, 0.0, {"1": 0, "0.75": 25, "0.5": 50, "0.25": 75, "0": 100}, 50),
        (-3.0, -1.0, {"0": 0, "-1": 33.33, "-2": 66.67, "-3": 100}, -16.67),
    ],
)
def test_an_axis_of_values_holds_nought_and_all_of_them(least, most, lines, of_half) -> None:
    place, rows = plots.value_axis(least, most)
    assert {text: y for y, text in rows} == pytest.approx(lines, abs=0.005)
    assert place(0.5) == pytest.approx(of_half, abs=0.005)
