"""The picture of effective robustness: marks at the logit of accuracies, and the line through them."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import special

from unshaken.report.drawings import Plots
from unshaken.report.pages.natural_shift import logit_axis, robustness_blocks

BASE = [0.6, 0.7, 0.8, 0.9]


def record(**figures):
    rows = [[f"m{i}", 100 * x, 100 * x**2, 0.0] for i, x in enumerate(BASE)]
    return SimpleNamespace(
        figures={"accuracy": {"value": 0.6, "low": 0.5, "high": 0.7, "interval": ""}, **figures},
        params={"standard_accuracy": 0.75}, settings={"models": ["mine"]},
        listings=[{"columns": ["model", "standard", "shifted", "from the line"], "rows": rows}],
    )  # fmt: skip


def test_marks_are_at_the_logit_of_their_accuracies_and_the_line_is_straight():
    _, plots = robustness_blocks(None, record(effective_robustness={"value": 0.04}))
    assert isinstance(plots, Plots)
    own, line, baselines = plots.plots[0].traces
    xs = np.array([p.x for p in baselines.points])
    steps = np.diff(special.logit(BASE))
    np.testing.assert_allclose(np.diff(xs) / np.diff(xs).sum(), steps / steps.sum())
    assert own.points[0].low > own.points[0].y > own.points[0].high  # from the top
    slopes = np.diff([p.y for p in line.points]) / np.diff([p.x for p in line.points])
    np.testing.assert_allclose(slopes, slopes[0], rtol=1e-6)
    assert xs[1] < own.points[0].x < xs[2]
    assert "mine: 75.0 % without the shift, 60.0 % with it" in plots.plots[0].text


def test_there_is_no_picture_without_a_line():
    assert robustness_blocks(None, record()) == []


@pytest.mark.parametrize("values", [[0.001, 0.999], [0.5, 0.52], [0.0, 0.3]])
def test_an_axis_holds_its_values_and_few_ticks(values):
    place, ticks = logit_axis(values)
    assert all(-1e-9 <= place(v) <= 100 for v in values if v)
    assert 1 <= len(ticks) <= 7
