import itertools

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.spread import corners, figure_of_means, permutation_test, spread


def test_spread_by_hand():
    assert spread([1, 0]).variance == 0.25
    assert (spread([1, 0]).mean, spread([1, 0]).variation, spread([1, 0]).worst) == (0.5, 1, 0)
    assert spread([0.4] * 5).variance == pytest.approx(0, abs=1e-30)
    assert spread([0, 0]).variation is None
    assert spread(np.arange(20)).worst == 0.5


def test_the_permutation_test_tries_all_signs():
    one, other = [0.9, 0.5, 0.7, 0.2], [0.4, 0.6, 0.1, 0.1]
    change = np.subtract(one, other)
    means = [abs((change * signs).mean()) for signs in itertools.product([1, -1], repeat=4)]
    expected = np.mean(np.array(means) >= abs(change.mean()) - 1e-12)
    assert permutation_test(one, other) == pytest.approx(expected)
    assert permutation_test(one, one) == 1
    assert permutation_test([1.0], [0.0]) == 1
    assert permutation_test([1, 1], [0, 0]) == 0.5
    assert permutation_test([1] * 3, [0] * 3) == 0.25


def test_of_many_pairs_signs_are_drawn():
    rng = np.random.default_rng(0)
    one = rng.random(50)
    assert permutation_test(one, one + 0.2, resamples=500) < 0.01
    assert permutation_test(one, rng.permutation(one), resamples=500) > 0.05


def test_a_figure_of_means_is_paired():
    clean = np.random.default_rng(0).random(100)
    columns = np.stack([clean, 0.5 * clean + 1e-3 * np.arange(100) / 100], 1)
    figure = figure_of_means(columns, lambda m: m[..., 1] / m[..., 0] - 1)
    assert figure.value == pytest.approx(-0.5, abs=2e-3)
    assert figure.high - figure.low < 1e-3  # columns that are resampled apart would leave a tenth
    with pytest.raises(ParameterError, match="undefined"), np.errstate(all="ignore"):
        figure_of_means(np.zeros((3, 2)), lambda m: m[..., 1] / m[..., 0])


def test_a_figure_that_no_resample_changes_may_be_another_for_queries_that_were_missed():
    """Clean 1 and changed 0.5 for all ten queries: 30.85 % of others may have (0, 1), (1, 0) or other corners."""
    columns, missed = np.tile([1.0, 0.5], (10, 1)), 1 - 0.025 ** (1 / 10)
    figure = figure_of_means(columns, lambda m: m[..., 1] / m[..., 0] - 1, possible=lambda: corners(2))
    worst, best = 0.5 * (1 - missed) - 1, (0.5 * (1 - missed) + missed) / (1 - missed) - 1
    assert (figure.value, figure.low, figure.high) == pytest.approx((-0.5, worst, best))
    unknown = figure_of_means(columns, lambda m: m[..., 1] / m[..., 0] - 1)
    assert (unknown.low, unknown.high) == (-np.inf, np.inf)
