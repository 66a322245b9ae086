"""The alarm over windows of counts."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.detection.window_alarm import window_alarm


def tail(k: int, n: int, p: float) -> float:
    """P(Binomial(n, p) >= k), by hand."""
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


@pytest.mark.parametrize("window", [1, 2, 5])
def test_a_window_rings_from_the_count_whose_tail_is_its_part_of_alpha(window):
    n, most, alpha = 50, 0.1, 0.01
    least = next(k for k in range(n + 1) if tail(k, n, most) <= alpha / (window * (window + 1)))
    quiet = [0] * (window - 1)
    assert window_alarm([*quiet, least - 1], [n] * window, most=most, alpha=alpha) is None
    assert window_alarm([*quiet, least], [n] * window, most=most, alpha=alpha) == window - 1


def test_a_stream_that_keeps_its_promise_rings_no_more_often_than_alpha():
    counts = np.random.default_rng(0).binomial(100, 0.05, (2000, 50))
    rung = sum(window_alarm(row, [100] * 50, most=0.05, alpha=0.1) is not None for row in counts)
    assert rung <= 2000 * 0.1 + 4 * np.sqrt(2000 * 0.1 * 0.9)
    assert rung > 0


@pytest.mark.parametrize(
    ("rejected", "samples", "options"),
    [
        ([], [], {}),
        ([1, 2], [5], {}),
        ([6], [5], {}),
        ([-1], [5], {}),
        ([1], [5], {"most": 1}),
        ([1], [5], {"alpha": 0}),
    ],
)
def test_what_is_no_stream_is_refused(rejected, samples, options):
    with pytest.raises(ParameterError):
        window_alarm(rejected, samples, **{"most": 0.1, **options})
