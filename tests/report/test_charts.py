from __future__ import annotations

import pytest

from unshaken.report import charts

FIGURE = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 4, "interval": ""}


def test_one_is_at_the_top_and_zero_at_the_bottom() -> None:
    assert charts.height(1.0) == charts.TOP
    assert charts.height(0.0) == charts.HEIGHT - charts.BOTTOM
    assert charts.height(0.5) == (charts.TOP + charts.HEIGHT - charts.BOTTOM) / 2


def test_a_curve_spans_the_width_and_its_band_the_intervals() -> None:
    curve = charts.curve("a", [("1", FIGURE), ("3", None), ("5", FIGURE)])
    assert [m.x for m in curve.marks] == [charts.LEFT, charts.WIDTH - charts.RIGHT]
    assert curve.marks[0].low == charts.height(0.25)
    corners = [tuple(map(float, p.split(","))) for p in curve.band.split()]
    assert corners[0] == (charts.LEFT, charts.height(0.75))
    assert corners[-1] == (charts.LEFT, charts.height(0.25))
    assert curve.marks[1].text == "50.0 %"


def test_a_reliability_bin_stands_where_its_confidence_is() -> None:
    bins = [
        {"low": 0.2, "high": 0.4, "confidence": 0.3, "accuracy": FIGURE},
        {"low": 0.8, "high": 1.0, "confidence": 0.9, "accuracy": FIGURE | {"n": 8}},
    ]
    first, last = charts.reliability(bins)
    assert (first.x, first.width, first.middle, first.y) == (60, 60, 90, 150)
    assert (first.low, first.high) == (225, 75)
    assert last.weight == pytest.approx(2 * first.weight)
