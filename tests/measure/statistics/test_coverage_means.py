"""Intervals of means cover: few samples, rare values, shares of few networks."""

import numpy as np
import pytest

from unshaken.measure.statistics.means import mean_figure

REPEATS = 100


def covered(draw, truth, **ends):
    rng = np.random.default_rng(0)
    figures = [mean_figure(draw(rng), **ends) for _ in range(REPEATS)]
    return np.mean([f.low <= truth <= f.high for f in figures])


def rarely(q, values):
    """Samples that are 0 but for a share q, which are any of some values."""
    return lambda n: lambda rng: np.where(rng.random(n) < q, rng.choice(values, n), 0.0)


@pytest.mark.parametrize("n", [5, 10, 30])
def test_a_bootstrap_of_few_samples_covers_as_student_does(n):
    assert covered(lambda rng: rng.normal(size=n), 0.0) > 0.86  # plain percentiles: 0.91 of 600 at 10


@pytest.mark.parametrize("n", [10, 100])
@pytest.mark.parametrize("q", [0.003, 0.05])
def test_rare_values_are_covered(n, q):
    up, either = rarely(q, [1 / 3, 2 / 3, 1.0])(n), rarely(q, [-1.0, -1 / 3, 1 / 3, 1.0])(n)
    assert covered(up, q * 2 / 3, low=0.0, high=1.0) > 0.92
    assert covered(either, 0.0, low=-1.0, high=1.0) > 0.92
