"""Statistics that are no means as columns: by hand, beside DeLong's variance, and their coverage over seeds."""

import numpy as np
import pytest
from scipy.special import expit, ndtr

from unshaken.core.errors import ParameterError
from unshaken.measure import auroc, auroc_influence, influence, over_seeds_and_samples
from unshaken.measure.statistics.influence import by_sample

REPEATS = 300


def test_a_ratio_by_hand():
    """Of x / y with means 2 and 4 the gradient is (1/4, -2/16)."""
    x, y = np.array([1.0, 3.0]), np.array([5.0, 3.0])
    found = influence(np.stack([x, y], 1), lambda means: means[0] / means[1])
    assert found == pytest.approx(0.5 + (x - 2) / 4 - (y - 4) / 8)


def test_a_column_that_is_constant_and_a_mean_stay_as_they_are():
    table = np.array([[1.0, 7.0], [2.0, 7.0], [6.0, 7.0]])
    assert influence(table, lambda means: means[0] + means[1]) == pytest.approx(table.sum(1))


def test_placements_by_hand():
    """Normal 0 and 1 against 1 and 2: placed at 1 and 3/4 of the abnormal ones, which are at 3/4 and 1."""
    assert auroc_influence([0.0, 1.0], [1.0, 2.0]) == pytest.approx(0.875 + 2 * np.array([1, -1, -1, 1]) / 8)


def test_the_mean_over_sets_and_the_variance_of_delong():
    rng = np.random.default_rng(0)
    normal, near, far = rng.normal(0, 1, 50), rng.normal(1, 1, 30), rng.normal(2, 1, 80)
    both = auroc_influence(normal, near, far)
    assert len(both) == 160
    assert both.mean() == pytest.approx((auroc(normal, near).value + auroc(normal, far).value) / 2)
    places = np.array([(normal < a).mean() for a in near]), np.array([(near > b).mean() for b in normal])
    wanted = sum(p.var() / len(p) for p in places)
    one = auroc_influence(normal, near)
    assert one.var() / len(one) == pytest.approx(wanted)


def coverage(columns, truth, low, high):
    """Share of the intervals of repeated experiments that hold the truth; `columns` draws `[S, N]`."""
    found = [over_seeds_and_samples(columns(), low=low, high=high, influence=True) for _ in range(REPEATS)]
    return np.mean([f.low <= truth <= f.high for f in found])


@pytest.mark.parametrize(("of_seeds", "of_samples"), [(0.05, 1.0), (0.3, 0.5)])
def test_an_auroc_of_three_seeds_is_covered(of_seeds, of_samples):
    rng, n, rest = np.random.default_rng(1), 60, 0.5
    spread = np.sqrt(2 * (of_samples**2 + rest**2) + of_seeds**2)

    def columns():
        normal, abnormal = of_samples * rng.standard_normal((2, n))
        apart = 1 + of_seeds * rng.standard_normal(3)
        noise = rest * rng.standard_normal((3, 2, n))
        return [auroc_influence(normal + e[0], abnormal + d + e[1]) for d, e in zip(apart, noise, strict=True)]

    assert coverage(columns, ndtr(1 / spread), 0.0, 1.0) >= 0.93


@pytest.mark.parametrize(("of_seeds", "of_samples"), [(0.1, 2.0), (0.5, 0.5)])
def test_a_ratio_of_accuracies_of_three_seeds_is_covered(of_seeds, of_samples):
    rng, n = np.random.default_rng(2), 200
    draws = np.random.default_rng(9).standard_normal((2, 20_000))

    def rates(seed, sample, at):
        return expit(at + of_seeds * seed + of_samples * sample)

    grid = [rates(draws[0, :2000, None], draws[1, None, :2000], at).mean(1) for at in (2, 0)]
    truth = float((grid[1] / grid[0]).mean())  # a seed's ratio of accuracies over all images, the mean over seeds

    def columns():
        seeds, samples = rng.standard_normal((3, 1)), rng.standard_normal((1, n))
        right = [(rng.random((3, n)) < rates(seeds, samples, at)).astype(float) for at in (2, 0)]
        return [influence(np.stack([b, a], 1), lambda m: m[0] / m[1]) for a, b in zip(*right, strict=True)]

    assert coverage(columns, truth, 0.0, np.inf) >= 0.93


@pytest.mark.parametrize("wrong", [lambda: influence([1.0, 2.0], float), lambda: auroc_influence([1.0]),
                                   lambda: auroc_influence([], [1.0]),
                                   lambda: influence([[1.0], [-1.0]], lambda m: np.nan)])  # fmt: skip
def test_other_shapes_empty_sets_and_poles_are_refused(wrong):
    with pytest.raises(ParameterError):
        wrong()


def test_copies_count_together_and_the_mean_stays():
    """The variance of the mean is that of the means of independent samples: here one of two copies each."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=10)
    ids = [str(i) for i in range(10)]
    twice = by_sample(np.repeat(values, 2), np.repeat(ids, 2).tolist(), ids)
    assert twice == pytest.approx(values)
    padded = by_sample(values, ids, [*ids, "absent"])
    assert padded.mean() == pytest.approx(values.mean())
    assert padded.var() / 11 == pytest.approx(values.var() / 10)
