"""The mean AUROC over sets: DeLong's own figures for one set, a bootstrap for several."""

import numpy as np
import pytest

from unshaken.measure.detection.mean_auroc import mean_auroc, mean_difference, of_sets
from unshaken.measure.detection.ranking import auroc, compare_auroc


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    return rng.normal(0, 1, 300), rng.normal(1.2, 1, 200), rng.normal(0.4, 1, 150)


def test_of_one_set_it_is_delong(scores):
    normal, near, _ = scores
    found, known = mean_auroc(of_sets(normal, [near])), auroc(normal, near)
    assert (found.value, found.low, found.high, found.n) == pytest.approx((known.value, known.low, known.high, known.n))


def test_the_difference_for_one_set_is_delongs(scores):
    normal, near, _ = scores
    rng = np.random.default_rng(1)
    other = normal + rng.normal(0, 1, 300), near + rng.normal(0, 1, 200)
    found, p_value = mean_difference(of_sets(normal, [near]), of_sets(other[0], [other[1]]))
    known = compare_auroc(normal, near, *other)
    assert (found.value, found.low, found.high) == pytest.approx(
        (known.difference.value, known.difference.low, known.difference.high)
    )
    assert p_value == pytest.approx(known.p_value)


def test_of_several_sets_the_interval_is_that_of_the_bootstrap(scores):
    normal, *sets = scores
    found, rng = mean_auroc(of_sets(normal, sets)), np.random.default_rng(2)
    assert found.value == pytest.approx(np.mean([auroc(normal, s).value for s in sets]))

    def drawn(values):
        return values[rng.integers(len(values), size=len(values))]

    draws = []
    for _ in range(2000):
        own = drawn(normal)  # the normal samples are the same for both sets
        draws.append(np.mean([_area(own, drawn(s)) for s in sets]))
    low, high = np.quantile(draws, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.006)


def _area(normal, abnormal):
    return np.searchsorted(np.sort(normal), abnormal).mean() / len(normal)


def test_what_sets_have_in_common_is_counted_in_full(scores):
    normal, near, _ = scores
    once, twice = mean_auroc(of_sets(normal, [near])), mean_auroc(of_sets(normal, [near, near + 1e-9]))
    part = of_sets(normal, [near]).normal.var(ddof=1) / len(normal)
    assert of_sets(normal, [near, near]).variance()[0] > part  # averaging halves nothing of the normal part
    assert twice.high - twice.low < once.high - once.low


def test_perfect_and_tied_scores_have_wide_ends():
    perfect = mean_auroc(of_sets(np.arange(3.0), [np.arange(5.0, 9.0), np.arange(5.0, 7.0)]))
    assert (perfect.value, perfect.high) == (1.0, 1.0)
    assert perfect.low == pytest.approx(0.025 ** (1 / 2))  # Clopper-Pearson's of the two pairs without a common sample
    tied = mean_auroc(of_sets(np.zeros(3), [np.zeros(4)]))
    assert (tied.value, tied.low < 0.1, tied.high > 0.9) == (0.5, True, True)
    assert mean_difference(of_sets(np.zeros(3), [np.ones(4)]), of_sets(np.zeros(3), [np.ones(4)])) == (None, None)
