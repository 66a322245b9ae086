"""Means with their intervals: over samples, over seeds, and over both; also where nearly all values are alike."""

from __future__ import annotations

import math

import numpy as np
import scipy
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Numbers, finite_numbers, numbers
from unshaken.measure.statistics.intervals import (
    Figure,
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
        scale: size of the numbers that the values were computed from, which separates rounding from variation;
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
    bounded, largest = math.isfinite(high - low), float(np.finfo(np.float64).max)
    slack = ROUNDING * (high - low) if bounded else 0.0
    column = numbers("values", values, low=max(low - slack, -largest), high=min(high + slack, largest))
    column = np.sort(np.clip(column, low, high))  # sorted, so that no figure depends on the order of the rows
    n, value = len(column), float(np.clip(column.mean(), low, high))
    if scale is None:
        scale = high - low if bounded else float(np.abs(column).max())
    if np.ptp(column) <= ROUNDING * scale:
        return alike_figure(value, n, low=low, high=high, level=level)
    if bounded and ((column == low) | (column == high)).all():
        found = share(int((column == high).sum()), n, level=level)
        middle, least, most = (low + (high - low) * end for end in (found.value, found.low, found.high))
        return Figure(middle, least, most, n, found.interval)
    if draws is None:
        draws = bootstrap_means(column[:, None], resamples=resamples, seed=seed)[:, 0]
    figure = bootstrap_figure(value, draws, n, level=level)
    most_common = int(np.unique(column, return_counts=True)[1].max())
    if not bounded or n - most_common >= RARE or 2 * most_common <= n:
        return figure
    ends = gaffke(column, low=low, high=high, level=level, seed=seed)
    method = f"{figure.interval}, at least gaffke"
    return Figure(figure.value, min(ends[0], figure.low), max(ends[1], figure.high), n, method)


def alike_figure(
    value: float, n: int, *, low: float = -math.inf, high: float = math.inf, level: float = 0.95, sums: int = 1
) -> Figure:
    """The mean of n values that are all alike: as many others as n samples can miss may be `low` or `high`.

    A ratio of sums moves further, by other samples that miss in the one and count in the other: an image whose objects
    are not found, and whose detections are none.

    Args:
        value: that all have.
        n: samples.
        low: the least value that a sample can have.
        high: the largest.
        level: coverage, at least this.
        sums: in how many sums a sample counts: 2 for mIoU and mAP, of samples of about one size.

    >>> alike_figure(0.0, 10, low=-1.0, high=1.0).interval
    'clopper-pearson 95% (all values alike)'
    """
    missed = 1 - (1 - missed_share(n, level=level)) ** sums
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


def over_seeds(
    values: ArrayLike, *, low: float = -math.inf, high: float = math.inf, level: float = 0.95, step: float = 0.0
) -> Figure:
    """The mean over repetitions with Student's interval; n counts repetitions. For pairs, give the differences.

    Where the figure has a range, the interval is made on a scale without ends and carried back: with the mean m, its
    standard error s and Student's quantile t, it is `g^-1(g(m) +- t s g'(m))`. The scale g is the arcsine of the root
    for a range with two ends (an accuracy, an AUROC, a difference of accuracies), the logarithm of the distance to the
    end for a range with one (a ratio, a time). For small s it is Student's own interval.

    Args:
        values: finite numbers `[S]`, one a seed, two at least.
        low: lower end of the figure's range.
        high: upper end.
        level: coverage of the interval.
        step: distance of the values that a seed can have, such as 1/N for a share of N images. Seeds that agree may
            differ by what falls between two of them: their variance is step^2 / 12 at least. Default 0: none.

    Raises:
        ParameterError: fewer than two values, or one is not finite or outside the range, or step is below 0.

    >>> over_seeds([0.25, 0.5, 0.75]).value
    0.5
    >>> round(over_seeds([0.9, 1.0, 1.0]).high, 2), over_seeds([0.9, 1.0, 1.0], low=0, high=1).high
    (1.11, 1.0)
    >>> round(over_seeds([0.5, 0.5, 0.5], step=0.01).high, 4)
    0.5072
    """
    largest = float(np.finfo(np.float64).max)
    column = np.sort(numbers("values", values, low=max(low, -largest), high=min(high, largest)))
    n = len(column)
    if n < 2:
        raise ParameterError("an interval over seeds needs two of them at least, not 1")
    if not 0 <= step < math.inf:
        raise ParameterError(f"step must be 0 or more, and finite, not {step}; give 1/N for a share of N images")
    mean, spread = float(column.mean()), max(float(column.std(ddof=1)), step / math.sqrt(12))
    error = spread / math.sqrt(n)
    half = error * float(scipy.stats.t.ppf((1 + level) / 2, n - 1))
    ends = _ends(mean, half, low, high)
    return Figure(mean, min(ends[0], mean), max(ends[1], mean), n, f"student {percent(level)} over seeds")


def over_seeds_and_samples(
    values: ArrayLike, *, low: float = -math.inf, high: float = math.inf, level: float = 0.95, influence: bool = False
) -> Figure:
    """The mean over repetitions on the same samples, with an interval for other seeds and other samples.

    The values follow `mean + seed_s + sample_n + rest_sn`, three independent parts of unknown variance. With the mean
    squares A of S seeds, B of N samples and E of the rest, the variance of the mean is `(A + B - E) / (S N)`, not less
    than A or B alone give. Student's t has the degrees of freedom of Satterthwaite, or S - 1 where A or B is below E:
    seeds that agree by chance tell little. The ends are bent into the range as those of `over_seeds`, and hold those
    of `mean_figure` over samples, whose interval is right where nearly all are alike.

    A bootstrap of both is too narrow for few seeds: of three, it draws one alone in each ninth resample.

    Args:
        values: finite numbers `[S, N]`, two seeds and two samples at least; for pairs, the differences.
        low: the least value that a sample can have; with `influence` the least value of the statistic.
        high: the largest.
        level: coverage of the interval, approximately.
        influence: the values are the columns of a statistic that is no mean, see `influence`: they may lie out of its
            range, and where all are alike the interval has no width.

    Raises:
        ParameterError: another shape; a value is missing, infinite or out of range.

    Source: Satterthwaite 1946, Biometrics Bulletin 2(6); Searle, Casella & McCulloch 1992, Variance Components, ch. 4.

    >>> figure = over_seeds_and_samples([[0, 1, 1, 1], [0, 1, 1, 0], [0, 1, 1, 1]], low=0, high=1)
    >>> round(figure.value, 2), figure.n, figure.interval
    (0.67, 4, 'student 95% over 3 seeds and 4 samples')
    """
    table = np.asarray(values, np.float64)
    if table.ndim != 2 or min(table.shape) < 2:
        shape = list(table.shape)
        raise ParameterError(f"values must be [S, N], two seeds and two samples at least, not {shape}")
    seeds, samples = table.shape
    if influence:
        finite_numbers("values", table.ravel())
        mean = float(np.clip(table.mean(), low, high))
        ends = mean, mean
    else:
        numbers("values", table.ravel(), low=low, high=high)
        of_samples = mean_figure(table.mean(0), low=low, high=high, level=level)
        mean, ends = of_samples.value, (of_samples.low, of_samples.high)
    error, freedom = crossed_error(table)
    if error > 0:
        half = error * float(scipy.stats.t.ppf((1 + level) / 2, freedom))
        bent = _ends(mean, half, low, high)
        ends = min(bent[0], ends[0], mean), max(bent[1], ends[1], mean)
    method = f"student {percent(level)} over {seeds} seeds and {samples:,} samples"
    return Figure(mean, *ends, samples, method)


def crossed_error(table: Numbers) -> tuple[float, float]:
    """The standard error of the mean of a table `[S, N]` over other seeds and samples, and its degrees of freedom.

    See `over_seeds_and_samples`.
    """
    seeds, samples = table.shape
    mean = float(table.mean())
    seed_parts, sample_parts = table.mean(1) - mean, table.mean(0) - mean
    rest = table - mean - seed_parts[:, None] - sample_parts
    degrees = np.array([seeds - 1, samples - 1, (seeds - 1) * (samples - 1)])
    a, b, e = np.array([samples * (seed_parts**2).sum(), seeds * (sample_parts**2).sum(), (rest**2).sum()]) / degrees
    variance = max(a + b - e, a, b)
    if variance == 0:
        return 0.0, float(seeds - 1)
    freedom = variance**2 / float((np.array([a, b, e]) ** 2 / degrees).sum()) if min(a, b) >= e else seeds - 1
    return math.sqrt(variance / table.size), max(float(freedom), 1.0)


def _ends(mean: float, half: float, low: float, high: float) -> tuple[float, float]:
    """The interval `mean +- half`, bent so that it stays between `low` and `high`."""
    if half == 0 or mean in (low, high) or (math.isinf(low) and math.isinf(high)):
        return max(mean - half, low), min(mean + half, high)
    if math.isinf(high):
        factor = math.exp(min(half / (mean - low), 700.0))
        return low + (mean - low) / factor, low + (mean - low) * factor
    if math.isinf(low):
        below, above = _ends(-mean, half, -high, math.inf)
        return -above, -below
    width = high - low
    share = (mean - low) / width
    centre, reach = math.asin(math.sqrt(share)), half / width / (2 * math.sqrt(share * (1 - share)))
    first, last = max(centre - reach, 0.0), min(centre + reach, math.pi / 2)
    return low + width * math.sin(first) ** 2, low + width * math.sin(last) ** 2
