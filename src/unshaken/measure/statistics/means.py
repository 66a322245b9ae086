"""Mean of a column with an interval that holds where its values are all, or nearly all, alike."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from unshaken.measure.statistics.columns import Numbers, numbers
from unshaken.measure.statistics.figure import Figure
from unshaken.measure.statistics.intervals import (
    bootstrap_figure,
    bootstrap_means,
    missed_share,
    percent,
    share,
)

ROUNDING = 1e-6
"""Values nearer than this share of their scale differ by rounding only: sums of float32 do."""
RARE = 20
"""Values other than the most common one, below which a bootstrap has too few of them to resample."""
_DRAWS = 4_000


def mean_figure(
    values: ArrayLike, *, low: float = -math.inf, high: float = math.inf, scale: float | None = None,
    draws: Numbers | None = None, level: float = 0.95, resamples: int = 2000, seed: int = 0,
) -> Figure:  # fmt: skip
    """The mean of a column with its interval over samples.

    Args:
        values: finite numbers `[N]`.
        low: the least value that a sample can have.
        high: the largest.
        scale: size of the numbers that the values were computed from, by which rounding is told from variation;
            default the range, or the largest absolute value where there is none.
        draws: means of resamples `[B]`, where they are there already; default they are drawn.
        level: coverage of the interval, approximately.
        resamples: bootstrap draws of samples.
        seed: of the draws.

    Returns:
        The figure. Its interval is the percentile bootstrap's; Clopper-Pearson's where each value is `low` or `high`;
        the bootstrap's, widened to hold Gaffke's, where nearly all values are alike and the range is known; and
        Gaffke's where all are alike: other values may be as many as n samples can miss, and lie at the ends of the
        range. That interval is unbounded where the range is.

    Raises:
        ParameterError: there is no value, or one is missing, infinite or out of range; resamples below 1.

    Source: Gaffke 2005, Mathematical Methods of Statistics 14(4); Learned-Miller & Thomas 2020, arXiv:1905.06208.

    >>> figure = mean_figure([0.25] * 10, low=0.0, high=1.0)
    >>> figure.value, round(figure.low, 4), round(figure.high, 4)
    (0.25, 0.1729, 0.4814)
    """
    column, bounded = _column(values, low, high), math.isfinite(high - low)
    n, value = len(column), float(np.clip(column.mean(), low, high))
    if scale is None:
        scale = high - low if bounded else float(np.abs(column).max())
    if is_alike(column, scale):
        return alike_figure(value, n, low=low, high=high, level=level)
    if bounded and ((column == low) | (column == high)).all():
        found = share(int((column == high).sum()), n, level=level)
        middle, least, most = (low + (high - low) * end for end in (found.value, found.low, found.high))
        return Figure(middle, least, most, n, found.interval)
    if draws is None:
        draws = bootstrap_means(column[:, None], resamples=resamples, seed=seed)[:, 0]
    figure = bootstrap_figure(value, draws, n, level=level)
    return _at_least_gaffke(figure, column, low, high, level, seed) if bounded else figure


def _column(values: ArrayLike, low: float, high: float) -> Numbers:
    """The values in ascending order, so that no figure depends on that of the rows, without what rounding adds."""
    largest = float(np.finfo(np.float64).max)
    slack = ROUNDING * (high - low) if math.isfinite(high - low) else 0.0
    column = numbers("values", values, low=max(low - slack, -largest), high=min(high + slack, largest))
    return np.sort(np.clip(column, low, high))


def is_alike(values: Numbers, scale: float) -> bool:
    """Whether values `[N]` differ by no more than rounding of numbers of this size."""
    return bool(np.ptp(values) <= ROUNDING * scale)


def alike_figure(
    value: float, n: int, *, low: float = -math.inf, high: float = math.inf, level: float = 0.95
) -> Figure:
    """The mean of n values that are all alike: as many others as n samples can miss may be `low` or `high`.

    Args:
        value: that all have.
        n: samples.
        low: the least value that a sample can have.
        high: the largest.
        level: coverage, at least this.

    >>> alike_figure(0.0, 10, low=-1.0, high=1.0).interval
    'clopper-pearson 95% (all values alike)'
    """
    missed = missed_share(n, level=level)
    least, most = (value + missed * (end - value) for end in (low, high))
    return Figure(value, least, most, n, f"clopper-pearson {percent(level)} (all values alike)")


def gaffke(values: ArrayLike, *, low: float, high: float, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Gaffke's interval of the mean of values in a known range, whatever their distribution.

    The upper end is the `(1 + level)/2` quantile of the mean of the values and one more at `high`, with random weights
    that are uniform on the simplex; the lower end likewise with one more at `low`. For values at the two ends of the
    range it is Clopper-Pearson's interval. Where values vary little within the range it is wide.

    Args:
        values: `[N]`.
        low: the least value that a sample can have.
        high: the largest.
        level: coverage, at least this in all that is known, though it is not proved.
        seed: of the weights.

    Source: Gaffke 2005, Mathematical Methods of Statistics 14(4); Learned-Miller & Thomas 2020, arXiv:1905.06208.

    >>> [round(end, 1) for end in gaffke([0, 0, 0, 0, 1], low=0, high=1)], share(1, 5).high.__round__(1)
    ([0.0, 0.7], 0.7)
    """
    kinds, times = np.unique(numbers("values", values, low=low, high=high), return_counts=True)
    rng = np.random.default_rng(seed)
    weights = rng.standard_gamma(np.append(times, 1.0), size=(_DRAWS, len(times) + 1))
    weights /= weights.sum(1, keepdims=True)
    ends = [
        np.quantile(weights @ np.append(kinds, end), tail)
        for end, tail in ((low, (1 - level) / 2), (high, (1 + level) / 2))
    ]
    return float(ends[0]), float(ends[1])


def _at_least_gaffke(figure: Figure, column: Numbers, low: float, high: float, level: float, seed: int) -> Figure:
    _, times = np.unique(column, return_counts=True)
    if len(column) - int(times.max()) >= RARE or 2 * int(times.max()) <= len(column):
        return figure
    ends = gaffke(column, low=low, high=high, level=level, seed=seed)
    method = f"{figure.interval}, at least gaffke"
    return Figure(figure.value, min(ends[0], figure.low), max(ends[1], figure.high), figure.n, method)
