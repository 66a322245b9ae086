"""Tests of whether two sets of samples come from one source: by a kernel, by scores, by one number, by classes.

The p-value of a permutation test is `(1 + b) / (1 + B)`, where b of B random divisions of all samples into two sets of
the same sizes give at least the statistic that was found. Where no set differs it is below alpha with probability alpha
at most, at any number of samples. Where there are no more than B divisions, each is tried once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.detection.ranking import auroc
from unshaken.measure.generation.distances import as_features
from unshaken.measure.statistics.columns import Indices, Numbers, finite_numbers, integers, same_length
from unshaken.measure.statistics.intervals import Figure, percent

_EXACT_PAIRS = 1_000_000
"""Pairs of samples up to which the distribution of the Kolmogorov-Smirnov distance is counted exactly."""
_TIED = 1e-9
"""Statistics that differ by less than this share are equal but for rounding."""
_BLOCK = 1_000_000
"""Samples in all divisions that are evaluated at once."""


@dataclass(frozen=True, slots=True)
class TwoSampleTest:
    """A test of whether two sets come from one source.

    Args:
        statistic: what was measured; the larger, the more the sets differ.
        p_value: chance of such a statistic or a larger one where they do not differ.
        figure: the statistic with an interval; None where it has none.
    """

    statistic: float
    p_value: float
    figure: Figure | None = None


def kernel_test(
    one: ArrayLike, other: ArrayLike, *, bandwidth: float | None = None, permutations: int = 999, seed: int = 0
) -> TwoSampleTest:
    """Test by the maximum mean discrepancy with a Gaussian kernel `k(x, y) = exp(-|x - y|^2 / (2 s^2))`.

    The statistic is unbiased, so that it may be below 0:
    `sum_(i!=j) k(x_i, x_j) / (m (m - 1)) + sum_(i!=j) k(y_i, y_j) / (n (n - 1)) - 2 sum_ij k(x_i, y_j) / (m n)`.

    Args:
        one: features `[m, D]`, m at least 2.
        other: features `[n, D]`, n at least 2.
        bandwidth: s; default the median distance of all pairs of samples, of both sets together.
        permutations: random divisions B.
        seed: of the divisions.

    Raises:
        ParameterError: features are not finite or not of one dimension, a set has one sample, or the bandwidth is not
            above 0.

    Source: Gretton et al. 2012, JMLR 13.
    """
    x, y = as_features("one", one), as_features("other", other)
    m, n = len(x), len(y)
    if x.shape[1] != y.shape[1]:
        raise ParameterError(f"features have {x.shape[1]} and {y.shape[1]} dimensions: take both from one source")
    if min(m, n) < 2:
        raise ParameterError(f"the sets have {m} and {n} samples: a kernel test needs 2 of each at least")
    if bandwidth is not None and not bandwidth > 0:
        raise ParameterError(f"bandwidth={bandwidth} must be above 0")
    squares = _squared_distances(np.concatenate([x, y]))
    if bandwidth is None:
        bandwidth = math.sqrt(float(np.median(squares[np.triu_indices(m + n, 1)]))) or 1.0
    kernel = np.exp(-squares / (2 * bandwidth**2))
    np.fill_diagonal(kernel, 0)
    rows = kernel.sum(1)
    total = rows.sum()

    def discrepancies(chosen: Indices) -> Numbers:
        first = np.zeros((len(chosen), m + n))
        np.put_along_axis(first, chosen, 1.0, 1)
        own, of_first = np.einsum("bi,bi->b", first @ kernel, first), first @ rows
        others = total - 2 * of_first + own
        found: Numbers = own / (m * (m - 1)) + others / (n * (n - 1)) - 2 * (of_first - own) / (m * n)
        return found

    statistic = float(discrepancies(np.arange(m)[None])[0])
    counts = [
        (int((discrepancies(block) >= statistic - _TIED * max(1.0, abs(statistic))).sum()), len(block))
        for block in _divisions(m, n, permutations, seed)
    ]
    return TwoSampleTest(statistic, _p_value(counts, m, n, permutations))


def score_test(one: ArrayLike, other: ArrayLike, *, permutations: int = 999, seed: int = 0) -> TwoSampleTest:
    """Test whether scores of a classifier that was fitted on other samples are higher in the second set than in one.

    With the scores of held-out samples this is the classifier two-sample test, by the AUROC in place of the accuracy,
    which does not hang on the sizes of the sets or on a threshold.

    Args:
        one: scores `[m]`.
        other: scores `[n]`, high where the classifier takes a sample for one of this set.
        permutations: random divisions B.
        seed: of the divisions.

    Returns:
        The AUROC, with DeLong's interval.

    Raises:
        ParameterError: a set is empty, or a score is not finite.

    Source: Lopez-Paz & Oquab 2017, arXiv:1610.06545.
    """
    x, y = finite_numbers("one", one), finite_numbers("other", other)
    m, n = len(x), len(y)
    ranks = scipy.stats.rankdata(np.concatenate([x, y]))  # halves of whole numbers: sums are exact
    low = ranks[:m].sum()  # the AUROC falls as the ranks of the first set rise
    counts = [(int((ranks[block].sum(1) <= low).sum()), len(block)) for block in _divisions(m, n, permutations, seed)]
    figure = auroc(x, y)
    return TwoSampleTest(figure.value, _p_value(counts, m, n, permutations), figure)


def distribution_test(one: ArrayLike, other: ArrayLike, *, level: float = 0.95) -> TwoSampleTest:
    """Test a number by Kolmogorov and Smirnov: the largest difference of the two distribution functions.

    The p-value is exact for up to a million pairs of samples, asymptotic above; equal values make it too large.

    Args:
        one: values `[m]`.
        other: values `[n]`.
        level: coverage of the interval at least.

    Returns:
        The distance, with an interval from the inequality of Dvoretzky, Kiefer and Wolfowitz for each of the sets:
        `sqrt(log(4 / (1 - level)) / (2 m)) + sqrt(log(4 / (1 - level)) / (2 n))` on either side.

    Raises:
        ParameterError: a set is empty, a value is not finite, or the level is outside (0, 1).

    Source: Massart 1990, Annals of Probability 18(3), for the constant of the inequality.
    """
    x, y = finite_numbers("one", one), finite_numbers("other", other)
    method = f"dvoretzky-kiefer-wolfowitz {percent(level)}"
    exact: Literal["exact", "asymp"] = "exact" if len(x) * len(y) <= _EXACT_PAIRS else "asymp"
    found = scipy.stats.ks_2samp(x, y, method=exact)
    distance, far = float(found.statistic), math.log(4 / (1 - level)) / 2
    half = math.sqrt(far / len(x)) + math.sqrt(far / len(y))
    figure = Figure(distance, max(0.0, distance - half), min(1.0, distance + half), len(x) + len(y), method)
    return TwoSampleTest(distance, min(1.0, float(found.pvalue)), figure)


def class_test(one: ArrayLike, other: ArrayLike, *, permutations: int = 999, seed: int = 0) -> TwoSampleTest:
    """Test whether two sets have the same shares of classes, by Pearson's statistic and random divisions.

    Args:
        one: number of samples of each class, `[K]`.
        other: likewise, `[K]`.
        permutations: random divisions B.
        seed: of the divisions.

    Raises:
        ParameterError: counts are negative, differ in length, or a set has no sample.
    """
    x, y = integers("one", one), integers("other", other)
    if len(x) != len(y) or min(x.min(), y.min()) < 0 or not (x.any() and y.any()):
        raise ParameterError("one and other must be counts of the same classes, with a sample in each set")
    total, m = x + y, int(x.sum())
    expected = total[total > 0] * (m / total.sum())

    def distances(first: Indices) -> Numbers:
        # with fixed margins both rows of the table differ from what is expected by the same counts
        found: Numbers = ((first[:, total > 0] - expected) ** 2 / expected).sum(1)
        return found

    scale = total.sum() / y.sum()  # of the first row's part to the whole of Pearson's statistic
    statistic = float(distances(x[None])[0])
    draws = np.random.default_rng(seed).multivariate_hypergeometric(total, m, size=permutations)
    reached = int((distances(draws) >= statistic * (1 - _TIED)).sum())
    return TwoSampleTest(statistic * float(scale), (1 + reached) / (1 + permutations))


def estimate_label_shift(
    predicted: ArrayLike, labels: ArrayLike, shifted: ArrayLike, classes: int
) -> list[Figure | None]:
    """Shares of the classes in a set without labels, from what a classifier predicts there and on a labelled set.

    It holds where classes occur in other shares and look as before: `p(x | y)` is the same. With the shares `C_ij` of
    labelled samples of class j that are predicted as i, and the shares `mu_i` of predictions in the other set, the
    weights w solve `C w = mu`, and the share of class j is `w_j p_j`, p being the shares of the labels. Shares below 0
    are set to 0.

    Args:
        predicted: classes that the classifier predicts on the labelled set, `[N]`; it must not be trained on it.
        labels: its labels, `[N]`.
        shifted: predictions on the other set, `[M]`.
        classes: K.

    Returns:
        A figure for each class, with a normal interval of the solution's first-order error (delta method), cut to
        [0, 1]; None for classes without a label.

    Raises:
        ParameterError: a class is outside 0..K-1, a set is empty, or the classifier does not tell the classes apart, so
            that the equations have no solution.

    Source: Lipton, Wang & Smola 2018, arXiv:1802.03916.

    >>> [one.value for one in estimate_label_shift([0, 0, 0, 1, 1, 1, 1, 0], [0] * 4 + [1] * 4, [0, 0, 0, 1], 2)]
    [1.0, 0.0]
    """
    columns = {"predicted": predicted, "labels": labels, "shifted": shifted}
    guess, truth, new = (integers(name, values) for name, values in columns.items())
    if any(c.min() < 0 or c.max() >= classes for c in (guess, truth, new)):
        raise ParameterError(f"predictions and labels must be classes from 0 to {classes - 1}")
    n, m = same_length(predicted=guess, labels=truth), len(new)
    known, place = np.unique(truth, return_inverse=True)
    table = np.zeros((classes, len(known)))
    np.add.at(table, (guess, place), 1 / n)
    if np.linalg.matrix_rank(table, tol=1e-6) < len(known):
        raise ParameterError("the classifier predicts some classes alike: label shift cannot be estimated with it")
    inverse, share = np.linalg.pinv(table), table.sum(0)
    weights = inverse @ (np.bincount(new, minlength=classes) / m)
    # what one sample more of either set adds to share_j w_j, to first order
    own = np.eye(len(known))[place] * weights - share * inverse.T[guess] * weights[place][:, None]
    error = np.sqrt(own.var(0) / n + (share * inverse.T[new]).var(0) / m)
    value, half = share * weights, float(scipy.stats.norm.ppf(0.975)) * error
    figures: list[Figure | None] = [None] * classes
    ends = (np.clip(one, 0, 1).tolist() for one in (value, value - half, value + half))
    for k, v, low, high in zip(known.tolist(), *ends, strict=True):
        figures[k] = Figure(v, low, high, m, "delta method 95%")
    return figures


def _squared_distances(points: Numbers) -> Numbers:
    """Squared distances of all pairs, `[N, N]`; the points are centred first, so that little cancels."""
    centred = points - points.mean(0)
    norms = np.einsum("nd,nd->n", centred, centred)
    squares = norms[:, None] + norms - 2 * centred @ centred.T
    np.fill_diagonal(squares, 0)
    found: Numbers = np.maximum(squares, 0)
    return found


def _all_are_tried(m: int, n: int, permutations: int) -> bool:
    return m + n <= 60 and math.comb(m + n, m) <= permutations


def _divisions(m: int, n: int, permutations: int, seed: int) -> Iterator[Indices]:
    """Numbers of the samples that are in the first set, in blocks `[b, m]`: all divisions where they are few."""
    if permutations < 1:
        raise ParameterError(f"permutations must be at least 1, not {permutations}; 999 is usual")
    if _all_are_tried(m, n, permutations):
        yield np.array(list(combinations(range(m + n), m)))
        return
    rng, block = np.random.default_rng(seed), max(1, _BLOCK // (m + n))
    for start in range(0, permutations, block):
        count = min(block, permutations - start)
        yield np.stack([rng.permutation(m + n)[:m] for _ in range(count)])


def _p_value(counts: Sequence[tuple[int, int]], m: int, n: int, permutations: int) -> float:
    reached, tried = (sum(column) for column in zip(*counts, strict=True))
    extra = 0 if _all_are_tried(m, n, permutations) else 1  # all divisions hold the one that was found
    return float((reached + extra) / (tried + extra))
