"""How evenly a ranker serves its queries, and what a change costs it: figures with intervals over queries."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Numbers, finite_numbers, same_length
from unshaken.measure.statistics.intervals import Figure, bootstrap_figure, bootstrap_means, missed_share, no_spread

_EXACT = 12
"""Pairs up to which all signs are tried."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How evenly effectiveness is spread over queries.

    Args:
        mean: over the queries.
        variance: `(1/Q) sum (M_q - mean)^2`; compare it at comparable means alone.
        variation: the coefficient of variation, deviation over mean; None where the mean is 0.
        worst: the mean over the tenth of queries that are served worst, one at least.
    """

    mean: float
    variance: float
    variation: float | None
    worst: float


def spread(values: ArrayLike) -> Spread:
    """How effectiveness is spread over queries.

    Args:
        values: `[Q]`, one a query.

    Raises:
        ParameterError: there is none, or one is not finite.

    >>> spread([1, 0])
    Spread(mean=0.5, variance=0.25, variation=1.0, worst=0.0)
    """
    column = finite_numbers("values", values)
    mean, variance = float(column.mean()), float(column.var())
    worst = float(np.sort(column)[: max(1, len(column) // 10)].mean())
    return Spread(mean, variance, float(np.sqrt(variance) / mean) if mean else None, worst)


def figure_of_means(
    columns: Numbers, function: Callable[[Numbers], Numbers], *, possible: Callable[[], Numbers] | None = None,
    level: float = 0.95, resamples: int = 2000, seed: int = 0,
) -> Figure:  # fmt: skip
    """A function of the means of columns, with its interval by resampling queries, all columns together.

    So a drop rate, a coefficient of variation, and the difference of two rankers' are paired by query.

    Args:
        columns: `[Q, M]`, one row a query.
        function: from means `[..., M]` to values `[...]`.
        possible: gives rows `[R, M]` that another query might have, such as `corners(M)` for columns of shares; asked
            only where no resample differs from another.
        level: coverage of the interval.
        resamples: bootstrap draws of queries.
        seed: of the draws.

    Returns:
        The figure. Where no resample differs, as many other queries as Q can miss may be of one of the `possible`
        rows: the interval holds what each would make of the figure, and is unbounded without any.

    Raises:
        ParameterError: the value is not finite, as a drop rate from 0.
    """
    means = columns.mean(0)
    value = float(function(means))
    if not np.isfinite(value):
        raise ParameterError("the figure is undefined: the mean effectiveness that it is measured in is 0")
    draws = function(bootstrap_means(columns, resamples=resamples, seed=seed))
    finite = draws[np.isfinite(draws)]
    ends = -math.inf, math.inf
    if possible is not None and no_spread(finite):
        missed = missed_share(len(columns), level=level)
        others = function((1 - missed) * means + missed * possible())
        ends = float(np.nanmin(others)), float(np.nanmax(others))
    return bootstrap_figure(value, finite, len(columns), level=level, ends=ends)


def corners(columns: int) -> Numbers:
    """All rows of 0 and 1, `[2^M, M]`: the extremes of columns that lie in [0, 1].

    >>> corners(2).tolist()
    [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """
    return np.array(list(product((0.0, 1.0), repeat=columns)))


def permutation_test(one: ArrayLike, other: ArrayLike, *, resamples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value that two columns of the same queries differ in their mean by chance, by swapping pairs.

    Args:
        one: `[Q]`.
        other: `[Q]`, of the same queries in the same order.
        resamples: random signs of the differences; all of them are tried for up to 12 queries.
        seed: of the signs.

    Raises:
        ParameterError: there is none, one is not finite, or the lengths differ.

    >>> permutation_test([1, 1, 1], [0, 0, 0])
    0.25
    """
    left, right = finite_numbers("one", one), finite_numbers("other", other)
    n = same_length(one=left, other=right)
    change = left - right
    if not change.any() or n == 1:  # a single pair and its swap are as extreme as each other
        return 1.0
    found = scipy.stats.permutation_test(
        (change,), lambda x, axis: x.mean(axis=axis), permutation_type="samples", vectorized=True,
        n_resamples=np.inf if n <= _EXACT else resamples, batch=256, rng=np.random.default_rng(seed),
    )  # fmt: skip
    return min(1.0, float(found.pvalue))
