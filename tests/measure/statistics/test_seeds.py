"""Intervals over seeds: Student's by hand, the ends of a range, coverage by simulation."""

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure import over_seeds


def test_students_interval_by_hand():
    figure = over_seeds([0.3, 0.1, 0.2])
    assert figure.value == pytest.approx(0.2)
    assert figure.high - figure.value == pytest.approx(4.302653 * 0.1 / np.sqrt(3), rel=1e-6)
    assert figure.n == 3


def test_an_auroc_of_three_seeds_stays_an_auroc():
    values = [0.55, 0.99, 0.76]
    assert over_seeds(values).high > 1
    figure = over_seeds(values, low=0, high=1)
    assert 0 < figure.low < figure.value < figure.high <= 1


def test_arcsine_interval_by_hand():
    # m = 1/2: g = asin(sqrt(m)) = pi/4 and g' = 1, so that the ends are sin^2(pi/4 -+ t s) = (1 -+ sin 2 t s) / 2
    figure, reach = over_seeds([0.4, 0.5, 0.6], low=0, high=1), 4.302653 * 0.1 / np.sqrt(3)
    bend = np.sin(2 * reach)
    assert (figure.low, figure.high) == pytest.approx(((1 - bend) / 2, (1 + bend) / 2), rel=1e-6)


def test_a_difference_turned_round_has_the_interval_turned_round():
    values = np.array([0.1, 0.3, 0.05])
    one, other = over_seeds(values, low=-1, high=1), over_seeds(-values, low=-1, high=1)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low), rel=1e-12)


def test_a_ratio_stays_positive_and_its_interval_is_that_of_logarithms():
    figure = over_seeds([1.0, 4.0, 9.0], low=0)
    assert 0 < figure.low < figure.value < figure.high
    assert figure.high / figure.value == pytest.approx(figure.value / figure.low, rel=1e-12)
    mirrored = over_seeds([-1.0, -4.0, -9.0], high=0)
    assert (mirrored.low, mirrored.high) == pytest.approx((-figure.high, -figure.low), rel=1e-12)


@pytest.mark.parametrize("ends", [{}, {"low": 0}, {"high": 1}, {"low": 0, "high": 1}])
def test_equal_values_have_no_width_and_close_ones_students(ends):
    same = over_seeds([0.5, 0.5, 0.5], **ends)
    assert (same.low, same.high) == (0.5, 0.5)
    close = [0.5, 0.5001, 0.4999]
    bent, plain = over_seeds(close, **ends), over_seeds(close)
    assert (bent.low, bent.high) == pytest.approx((plain.low, plain.high), abs=1e-6)


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_values_at_an_end(edge):
    figure = over_seeds([edge] * 3, low=0, high=1)
    assert (figure.low, figure.value, figure.high) == (edge, edge, edge)


@pytest.mark.parametrize("ends", [{}, {"low": 0}, {"high": 1}, {"low": 0, "high": 1}])
def test_equal_shares_of_images_are_as_wide_as_a_step_hides(ends):
    figure, half = over_seeds([0.5] * 3, **ends, step=0.01), 4.302653 * 0.01 / np.sqrt(12 * 3)
    assert (figure.low, figure.high) == pytest.approx((0.5 - half, 0.5 + half), abs=2e-4)
    assert over_seeds([0.3, 0.5, 0.7], **ends, step=0.01) == over_seeds([0.3, 0.5, 0.7], **ends)
    at_end = over_seeds([0.0] * 3, low=0, high=1, step=0.01)
    assert (at_end.low, at_end.high) == pytest.approx((0, half))
    assert over_seeds([1.0] * 3, low=0, high=1, step=0.01).low == pytest.approx(1 - half)


@pytest.mark.parametrize("mean", [0.5, 0.8, 0.95])
def test_it_covers_the_mean_in_19_of_20_repetitions(mean):
    draws = np.random.default_rng(0).beta(mean * 40, (1 - mean) * 40, (2000, 3))
    figures = [over_seeds(values, low=0, high=1) for values in draws]
    covered = sum(f.low <= mean <= f.high for f in figures)
    assert covered >= 2000 * 0.95 - 3 * np.sqrt(2000 * 0.95 * 0.05)


def test_bad_input():
    with pytest.raises(ParameterError, match="two of them at least"):
        over_seeds([0.1])
    with pytest.raises(ParameterError, match=r"1\.2"):
        over_seeds([0.5, 1.2], low=0, high=1)
    for step in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ParameterError, match="step must be"):
            over_seeds([0.5, 0.6], step=step)
