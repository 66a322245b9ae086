"""Two-sample tests by hand, by brute force over all divisions, and by scipy; label shift by hand and by simulation."""

from itertools import combinations
from math import exp, log, sqrt

import numpy as np
import pytest
from scipy import stats

from unshaken.core.errors import ParameterError
from unshaken.measure.two_sample import (
    class_test,
    distribution_test,
    estimate_label_shift,
    kernel_test,
    score_test,
)


def discrepancy(x, y, s):
    """The unbiased statistic of Gretton et al. 2012, pair by pair."""

    def k(a, b):
        return exp(-((np.asarray(a) - b) ** 2).sum() / (2 * s * s))

    within = [
        sum(k(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j) / (len(z) * (len(z) - 1))
        for z in (x, y)
    ]
    return sum(within) - 2 * np.mean([[k(a, b) for b in y] for a in x])


def test_the_kernel_statistic_and_its_p_value_by_hand():
    # distances: 1 within both; 3, 4, 2, 3 across. Of 6 divisions, this one and its mirror are the most extreme
    found = kernel_test([[0.0], [1.0]], [[3.0], [4.0]], bandwidth=1)
    assert found.statistic == pytest.approx(2 * exp(-0.5) - (2 * exp(-4.5) + exp(-8) + exp(-2)) / 2, abs=1e-12)
    assert found.p_value == pytest.approx(2 / 6)


def test_the_kernel_statistic_is_that_of_pairs_and_its_p_value_counts_all_divisions():
    z = np.random.default_rng(0).normal(size=(7, 3)) + np.repeat([[0.0], [1.0]], [3, 4], axis=0)
    s = np.median([np.linalg.norm(a - b) for a, b in combinations(z, 2)])
    found = kernel_test(z[:3], z[3:])
    own = discrepancy(z[:3], z[3:], s)
    every = [discrepancy(z[list(c)], np.delete(z, c, 0), s) for c in combinations(range(7), 3)]
    assert found.statistic == pytest.approx(own, abs=1e-12)
    assert found.p_value == pytest.approx(np.mean([one >= own - 1e-12 for one in every]))


def test_random_divisions_come_near_to_all():
    z = np.random.default_rng(1).normal(size=(9, 2)) + np.repeat([[0.0], [0.7]], [4, 5], axis=0)
    exact = kernel_test(z[:4], z[4:], permutations=126).p_value
    assert kernel_test(z[:4], z[4:], permutations=125).p_value == pytest.approx(exact, abs=4 * sqrt(0.25 / 125))


def test_scores_are_tested_as_by_mann_and_whitney():
    one, other = [0.1, 0.5, 0.2, 0.3], [0.4, 0.7, 0.6]
    found = score_test(one, other)
    assert found.statistic == pytest.approx(11 / 12)
    assert found.p_value == pytest.approx(stats.mannwhitneyu(other, one, alternative="greater", method="exact").pvalue)
    assert score_test([1, 1, 1], [1, 1]).p_value == 1


def test_distributions_by_hand():
    found = distribution_test([1, 2, 3], [4, 5, 6])
    assert (found.statistic, found.p_value) == (1, pytest.approx(2 / 20))
    wide = distribution_test(np.arange(1000), np.arange(2000) / 2 + 100)
    half = sqrt(log(80) / 2000) + sqrt(log(80) / 4000)  # 4 / 0.05 = 80
    assert wide.statistic == pytest.approx(0.1005)  # at 100: 101 of 1000 less 1 of 2000
    assert wide.figure is not None
    assert wide.figure.high - wide.statistic == pytest.approx(half)
    assert wide.figure.low == pytest.approx(0.1005 - half)


def test_classes_by_hand_and_by_pearson():
    assert class_test([3, 0], [0, 3], permutations=9999).p_value == pytest.approx(0.1, abs=0.012)  # 2 of 20
    one, other = [30, 20, 0, 10], [20, 45, 0, 8]
    found = class_test(one, other, permutations=9999)
    kept = np.array([one, other])[:, [0, 1, 3]]
    pearson = stats.chi2_contingency(kept)
    assert found.statistic == pytest.approx(pearson.statistic)
    assert found.p_value == pytest.approx(pearson.pvalue, abs=0.01)


def test_label_shift_by_hand():
    # C = [[.4, .1], [.1, .4]], mu = (.65, .35): w = (1.5, .5), and half of the labels are of each class
    guess, labels = [0] * 40 + [1] * 10 + [0] * 10 + [1] * 40, [0] * 50 + [2] * 50
    found = estimate_label_shift([2 * g for g in guess], labels, [0] * 65 + [2] * 35, 3)
    assert found[1] is None
    assert [one.value for one in found if one is not None] == pytest.approx([0.75, 0.25])


def test_the_interval_of_label_shift_is_the_spread_over_draws():
    rng, values, widths = np.random.default_rng(0), [], []
    for _ in range(300):
        labels, new = rng.choice(3, 400, p=[0.5, 0.3, 0.2]), rng.choice(3, 300, p=[0.2, 0.3, 0.5])
        guess, shifted = (np.where(rng.random(len(y)) < 0.7, y, rng.integers(0, 3, len(y))) for y in (labels, new))
        found = [one for one in estimate_label_shift(guess, labels, shifted, 3) if one is not None]
        values.append([one.value for one in found])
        widths.append([one.high - one.low for one in found])
    assert np.mean(values, 0) == pytest.approx([0.2, 0.3, 0.5], abs=0.01)
    assert np.mean(widths, 0) / (2 * 1.96) == pytest.approx(np.std(values, 0), rel=0.15)


@pytest.mark.parametrize("test", [
    lambda rng: kernel_test(rng.normal(size=(12, 2)), rng.normal(size=(8, 2)), permutations=39).p_value,
    lambda rng: score_test(rng.normal(size=12), rng.normal(size=8), permutations=39).p_value,
    lambda rng: distribution_test(rng.normal(size=12), rng.normal(size=8)).p_value,
    lambda rng: class_test(rng.multinomial(30, [0.6, 0.3, 0.1]), rng.multinomial(20, [0.6, 0.3, 0.1]),
                           permutations=39).p_value,
])  # fmt: skip
def test_p_values_are_valid_where_nothing_differs(test):
    found = [test(np.random.default_rng(seed)) for seed in range(200)]
    for level in (0.05, 0.2, 0.5):  # a count above this has a chance of 1e-4
        assert np.sum(np.array(found) <= level + 1e-12) <= stats.binom.ppf(1 - 1e-4, 200, level)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernel_test([[0.0]], [[1.0], [2.0]]), "the sets have 1 and 2 samples"),
        (lambda: kernel_test([[0.0], [1.0]], [[1.0, 2.0], [2.0, 3.0]]), "1 and 2 dimensions"),
        (lambda: kernel_test([[0.0], [np.nan]], [[1.0], [2.0]]), "must be finite"),
        (lambda: kernel_test([[0.0], [1.0]], [[1.0], [2.0]], bandwidth=0), "bandwidth=0 must be above 0"),
        (lambda: score_test([1.0], [2.0], permutations=0), "permutations must be at least 1, not 0"),
        (lambda: score_test([], [2.0]), "one"),
        (lambda: distribution_test([1.0], [np.inf]), "other"),
        (lambda: class_test([1, 2], [0, 0]), "with a sample in each set"),
        (lambda: class_test([1, 2], [1, 0, 3]), "the same classes"),
        (lambda: estimate_label_shift([0, 0], [0, 1], [0], 2), "predicts some classes alike"),
        (lambda: estimate_label_shift([0, 2], [0, 1], [0], 2), "from 0 to 1"),
        (lambda: estimate_label_shift([0, 1], [0], [0], 2), "predicted 2, labels 1"),
    ],
)
def test_wrong_input_is_one_clear_line(call, message):
    with pytest.raises(ParameterError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
