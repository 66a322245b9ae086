import numpy as np
import pytest
from scipy import special

from unshaken.measure.detection.detection_bootstrap import at_least_binomial, interval
from unshaken.measure.statistics.figure import Figure


def test_percentiles_where_draws_differ_and_the_given_ends_where_they_do_not():
    draws = np.linspace(0, 1, 1001)
    assert (interval(0.5, draws, [0, 1], 9999, 0.9).low, interval(0.5, draws, [0, 1], 9999, 0.9).high) == pytest.approx(
        (0.05, 0.95), abs=1e-3
    )
    still = interval(0.8, np.full(100, 0.8), [0.6, 0.7], 9, 0.95)
    assert (still.value, still.low, still.high, still.interval) == (0.8, 0.6, 0.8, "extreme populations 95%")


def test_the_logit_interval_takes_off_the_bias_and_has_the_bootstrap_s_error():
    # value 0.8, draws 0.82 +- 0.04: bias 0.02, so 0.78; error 0.04 / (0.8 x 0.2) = 0.25 on the logit scale
    figure = interval(0.8, np.array([0.78, 0.86] * 50), [0, 1], 9, 0.95, logit=True)
    ends = special.expit(special.logit(0.78) + 1.959964 * 0.25 * np.array([-1, 1]))
    assert (figure.low, figure.high) == pytest.approx(ends, abs=1e-6)
    assert figure.interval == "bootstrap logit 95% (100)"
    near_one = interval(0.999, np.array([0.9, 0.9, 0.999]), [0, 1], 9, 0.95, logit=True)  # 2 x 0.999 - 0.93 is above 1
    assert 0 <= near_one.low < 0.999 <= near_one.high <= 1


def test_a_share_keeps_at_least_its_binomial_width():
    narrow = at_least_binomial(Figure(0.0, 0.0, 0.0, 30, "x"), 10, 0.95)
    assert (narrow.low, narrow.high) == pytest.approx((0, 0.3085), abs=1e-4)  # 1 - 0.025^(1/10)
    wide = Figure(0.5, 0.01, 0.99, 30, "x")
    assert (at_least_binomial(wide, 10, 0.95).low, at_least_binomial(wide, 10, 0.95).high) == (0.01, 0.99)
