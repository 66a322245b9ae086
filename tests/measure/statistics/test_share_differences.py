"""Tango's and Newcombe's intervals: published examples, the equations they solve, coverage by enumeration."""

import numpy as np
import pytest
from scipy import optimize, stats

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.share_differences import newcombe, share_difference, tango

Z = stats.norm.ppf(0.975)


def test_tango_s_interval_of_a_published_example():
    # Cavo et al. 2012 in Fagerland, Lydersen & Laake 2017, chapter 8: 59 and 80 pairs alike, 6 and 16 discordant
    assert tango(16, 6, 161) == pytest.approx((-0.1240, -0.0054), abs=5e-5)


@pytest.mark.parametrize(("lost", "gained", "n"), [(3, 1, 20), (0, 1, 10), (16, 6, 161), (0, 4, 4), (7, 0, 9)])
def test_the_ends_of_tango_s_interval_solve_the_score_equation(lost, gained, n):
    def score(d):
        """With the likeliest shares whose difference is d, found by search and not by the closed form."""

        def cost(q):  # share of lost samples; q + d of gained ones
            p = np.array([q, q + d, 1 - 2 * q - d])
            counts = np.array([lost, gained, n - lost - gained])
            return -(counts * np.log(np.maximum(p, 1e-300))).sum()

        ends = max(0.0, -d), (1 - d) / 2
        q = optimize.minimize_scalar(cost, bounds=ends, method="bounded", options={"xatol": 1e-12}).x
        return (gained - lost - n * d) / np.sqrt(n * (2 * q + d - d * d))

    for end, z in zip(tango(lost, gained, n), (Z, -Z), strict=True):
        if abs(end) < 1:
            assert score(end) == pytest.approx(z, abs=1e-3)


def test_tango_s_interval_at_its_ends():
    assert tango(0, 0, 10) == pytest.approx((-(Z**2) / (10 + Z**2), Z**2 / (10 + Z**2)))
    assert tango(5, 0, 5)[0] == -1
    assert tango(0, 5, 5)[1] == 1
    low, high = tango(2, 7, 30)
    assert tango(7, 2, 30) == pytest.approx((-high, -low))
    assert tango(0, 1, 1) == pytest.approx((tango(1, 0, 1)[1] * -1, 1))


@pytest.mark.parametrize("counts", [(-1, 0, 5), (3, 3, 5), (0, 0, 0)])
def test_counts_that_cannot_be_are_refused(counts):
    with pytest.raises(ParameterError, match="samples"):
        share_difference(*counts)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        ((56, 48), (70, 80), 0.0524, 0.3339),
        ((9, 3), (10, 10), 0.1705, 0.8090),
        ((5, 0), (56, 29), -0.0381, 0.1926),
        ((0, 0), (10, 20), -0.1611, 0.2775),
        ((10, 0), (10, 10), 0.6075, 1.0),
    ],
)
def test_newcombe_s_interval_of_his_own_examples(successes, n, low, high):
    figure = newcombe(successes, n)  # Newcombe 1998, table II, method 10
    assert (figure.low, figure.high) == pytest.approx((low, high), abs=5e-5)


def test_newcombe_refuses_counts_that_cannot_be():
    with pytest.raises(ParameterError, match="successes"):
        newcombe((3, 1), (2, 2))


@pytest.mark.parametrize("n", [10, 30])
@pytest.mark.parametrize(("p_lost", "p_gained"), [(0, 0.01), (0.02, 0.03), (0, 0.1), (0.1, 0.3), (0.05, 0.9)])
def test_a_paired_difference_of_shares_covers_also_where_few_samples_differ(n, p_lost, p_gained):
    covered = 0.0
    for lost in range(n + 1):
        for gained in range(n - lost + 1):
            p = stats.multinomial.pmf([lost, gained, n - lost - gained], n, [p_lost, p_gained, 1 - p_lost - p_gained])
            if p > 1e-7:
                figure = share_difference(lost, gained, n)
                covered += p * (figure.low <= p_gained - p_lost <= figure.high)
    assert covered > 0.93  # summed over all outcomes: exact


@pytest.mark.parametrize(("p", "q"), [(1.0, 0.95), (0.99, 0.8), (0.5, 0.5), (1.0, 1.0)])
def test_a_difference_of_independent_shares_covers_also_at_the_ends(p, q):
    n, m = 20, 10
    covered = 0.0
    for k in range(n + 1):
        for j in range(m + 1):
            chance = stats.binom.pmf(k, n, p) * stats.binom.pmf(j, m, q)
            if chance > 1e-7:
                figure = newcombe((k, j), (n, m))
                covered += chance * (figure.low <= p - q <= figure.high)
    assert covered > 0.92
