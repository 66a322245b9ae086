import numpy as np
import pytest

from unshaken.measure import Figure
from unshaken.measure.detection.thresholds import best_threshold, precision, threshold_at, two_shares
from unshaken.measure.statistics.intervals import share


def test_thresholds_by_hand():
    clean, marked = np.array([0.0, 1.0, 2.0, 5.0]), np.array([1.5, 3.0, 4.0, 6.0])
    assert best_threshold(clean, marked) == 1.25  # two of four false alarms and no miss; none has less in all
    assert best_threshold(np.array([0.0]), np.array([1.0])) == 0.5
    assert best_threshold(np.array([1.0]), np.array([0.0])) == -np.inf  # the wrong way round: alarm always
    assert best_threshold(np.array([0.0, 1.0]), np.array([np.inf])) == 1
    scores = np.arange(100.0)
    assert threshold_at(scores, 0.1) == 89
    assert (scores > threshold_at(scores, 0.1)).sum() == 10
    assert threshold_at(scores, 0.0) == 99
    assert (np.array([1.0, 1, 1, 0]) > threshold_at(np.array([1.0, 1, 1, 0]), 0.25)).sum() == 0


def test_precision_at_a_base_rate_by_hand():
    """Of 10,000 images 100 are generated: 80 found, beside 1 % of 9,900 false alarms."""
    found = precision(Figure(0.8, 0.7, 0.9, 10, ""), Figure(0.01, 0.005, 0.02, 10, ""), 0.01)
    assert found.value == pytest.approx(80 / (80 + 99))
    assert found.low == pytest.approx(70 / (70 + 198))
    assert found.high == pytest.approx(90 / (90 + 49.5))
    assert found.n == 20
    assert precision(Figure(0.0, 0.0, 0.1, 10, ""), Figure(0.0, 0.0, 0.1, 10, ""), 0.01).value == 0


def test_two_shares_add_up():
    found = two_shares(np.array([[1, 10], [0, 20]]))
    assert (found.value, found.n) == (0.1, 30)
    assert found.low <= 0.1 < 0.1 + 0.1 < found.high
    one, other = share(1, 10, level=0.975), share(0, 20, level=0.975)
    assert (found.low, found.high) == pytest.approx((one.low + other.low, one.high + other.high))
