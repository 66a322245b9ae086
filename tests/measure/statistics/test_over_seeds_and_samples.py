"""The mean over seeds that saw the same samples: by hand, and its coverage for other seeds and other samples."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit, gamma

from unshaken.core.errors import ParameterError
from unshaken.measure import over_seeds, over_seeds_and_samples

REPEATS = 200


def test_two_seeds_and_three_samples_by_hand():
    """Mean squares 6 of seeds, 6 of samples and 2 of the rest: the variance of the mean is (6 + 6 - 2) / 6, of
    100 / (36 / 1 + 36 / 2 + 4 / 2) degrees of freedom."""
    figure = over_seeds_and_samples([[0, 2, 1], [0, 4, 5]])
    assert (figure.value, figure.n) == (pytest.approx(2.0), 3)
    assert figure.value - figure.low == pytest.approx(figure.high - figure.value)
    end, freedom = (figure.high - 2) / np.sqrt(10 / 6), 100 / 56
    density = gamma((freedom + 1) / 2) / gamma(freedom / 2) / np.sqrt(freedom * np.pi)
    inside = quad(lambda t: density * (1 + t * t / freedom) ** (-(freedom + 1) / 2), -end, end)[0]
    assert inside == pytest.approx(0.95, abs=1e-6)


@pytest.mark.parametrize(
    ("seeds", "of_seeds", "of_samples"), [(3, 0.0, 2.0), (3, 0.3, 2.0), (3, 1.0, 1.0), (5, 0.1, 2.0), (5, 0.3, 0.5)]
)
def test_it_covers_where_seeds_alone_do_not(seeds, of_seeds, of_samples):
    """Accuracies of networks that differ by `of_seeds` in log-odds on images that differ by `of_samples`."""
    rng, n = np.random.default_rng(0), 300
    truth = expit(1 + np.hypot(of_seeds, of_samples) * np.random.default_rng(9).standard_normal(1_000_000)).mean()
    both, alone = [], []
    for _ in range(REPEATS):
        odds = 1 + of_seeds * rng.standard_normal((seeds, 1)) + of_samples * rng.standard_normal((1, n))
        right = (rng.random((seeds, n)) < expit(odds)).astype(float)
        for kept, figure in ((both, over_seeds_and_samples(right, low=0, high=1)),
                             (alone, over_seeds(right.mean(1), low=0, high=1))):  # fmt: skip
            kept.append(figure.low <= truth <= figure.high)
    assert np.mean(both) >= 0.9  # 0.95 less three standard errors of 200
    assert np.mean(both) >= np.mean(alone) - 0.03
    if of_samples >= 2 and of_seeds <= 0.1:
        assert np.mean(alone) < 0.93


def test_the_order_of_seeds_and_samples_does_not_matter():
    rng = np.random.default_rng(1)
    table = rng.random((3, 40))
    one = over_seeds_and_samples(table, low=0, high=1)
    other = over_seeds_and_samples(table[::-1][:, rng.permutation(40)], low=0, high=1)
    assert (one.low, one.high) == pytest.approx((other.low, other.high))


def test_alike_values_say_what_so_few_samples_can_miss():
    figure = over_seeds_and_samples(np.ones((3, 10)), low=0, high=1)
    assert (figure.value, figure.high) == (1.0, 1.0)
    assert 0.5 < figure.low < 0.8


@pytest.mark.parametrize("values", [[1.0, 2.0], [[1.0, 2.0]], [[1.0], [2.0]], [[1.0, np.nan], [0.0, 1.0]]])
def test_other_shapes_and_missing_values_are_refused(values):
    with pytest.raises(ParameterError):
        over_seeds_and_samples(values)
