"""Intervals: Clopper-Pearson for shares, order statistics for medians, the bootstrap for all else."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Numbers, integers


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured number, its interval and what it was measured on.

    A figure of nothing does not exist: where there is no sample to measure, functions raise, or return None where
    that is an outcome of the data and not a mistake of the caller (each says which).

    Args:
        value: the number, finite.
        low: lower end of the interval, at most `value`; minus infinity when unbounded.
        high: upper end, at least `value`; infinity when unbounded.
        n: samples (or models, where the docstring says so) behind the number, at least 1.
        interval: the interval's method and level, as in `clopper-pearson 95%`.

    Raises:
        ParameterError: a number is not a number, the value is outside its interval, or n is below 1.
    """

    value: float
    low: float
    high: float
    n: int
    interval: str

    def __post_init__(self) -> None:
        if not math.isfinite(self.value) or math.isnan(self.low) or math.isnan(self.high):
            raise ParameterError(
                f"a figure must be a finite number with an interval, not {self.value} in [{self.low}, {self.high}]; "
                "leave out the rows that have no value"
            )
        if not self.low <= self.value <= self.high:
            raise ParameterError(f"the figure {self.value} is outside its interval [{self.low}, {self.high}]")
        if self.n < 1:
            raise ParameterError(f"a figure needs at least 1 sample, not n = {self.n}")

    def to_json(self) -> dict[str, float | int | str | None]:
        """The five fields, as plain numbers; an unbounded end is None, for JSON has no infinity.

        >>> Figure(0.5, 0.0, math.inf, 3, "order statistics 95%").to_json()
        {'value': 0.5, 'low': 0.0, 'high': None, 'n': 3, 'interval': 'order statistics 95%'}
        """
        return {
            "value": float(self.value),
            "low": float(self.low) if math.isfinite(self.low) else None,
            "high": float(self.high) if math.isfinite(self.high) else None,
            "n": int(self.n),
            "interval": self.interval,
        }


_CHUNK = 1 << 22  # resampling weights held at once: 32 MiB of float64
NORMAL = 100_000
"""Samples above which means of resamples are drawn from their normal distribution."""
_SAME = 1e-9  # draws nearer than this to each other, as a share of their size, differ by rounding only


def percent(level: float) -> str:
    """A level in (0, 1) as text, as in `95%`.

    Raises:
        ParameterError: it is not inside (0, 1).
    """
    if not 0 < level < 1:
        raise ParameterError(f"level must lie inside (0, 1), not {level}; 0.95 is usual")
    return f"{100 * level:g}%"


def clopper_pearson(successes: ArrayLike, n: ArrayLike, *, level: float = 0.95) -> tuple[Numbers, Numbers]:
    """The exact two-sided interval of a binomial share.

    Args:
        successes: k, any shape, 0 to n.
        n: trials, the same shape or one number, at least 1.
        level: coverage, at least this for every true share.

    Returns:
        Lower and upper ends in [0, 1], in the common shape: the `(1 - level)/2` quantile of Beta(k, n - k + 1), and
        the `(1 + level)/2` quantile of Beta(k + 1, n - k).

    Raises:
        ParameterError: k is outside 0..n, n is below 1, or the level is outside (0, 1).

    Source: Clopper & Pearson 1934, Biometrika 26(4).

    >>> low, high = clopper_pearson(0, 10)
    >>> round(float(low), 4), round(float(high), 4)
    (0.0, 0.3085)
    """
    percent(level)
    k, m = np.broadcast_arrays(np.asarray(successes, np.float64), np.asarray(n, np.float64))
    if not ((k >= 0) & (k <= m) & (m >= 1)).all():
        raise ParameterError("successes must lie in 0..n with n at least 1, one n for each count")
    tail = (1 - level) / 2
    low = np.where(k > 0, special.betaincinv(np.maximum(k, 1), m - k + 1, tail), 0.0)
    high = np.where(k < m, special.betaincinv(k + 1, np.maximum(m - k, 1), 1 - tail), 1.0)
    return low, high


def share(successes: int, n: int, *, level: float = 0.95) -> Figure:
    """A binomial share `successes / n` with its Clopper-Pearson interval.

    Raises:
        ParameterError: successes is outside 0..n, or n is below 1.
    """
    low, high = clopper_pearson(successes, n, level=level)
    return Figure(successes / n, float(low), float(high), int(n), f"clopper-pearson {percent(level)}")


def drawn_share(successes: int, n: int, size: int, *, level: float = 0.95) -> Figure:
    """The share of successes among `size` samples, of which n were drawn without replacement, with the exact interval.

    The interval holds the numbers M of successes among all under which neither `successes` or more of the n, nor
    `successes` or fewer, has a hypergeometric probability of `(1 - level)/2` or less. Once all are drawn it has no
    width; for a large `size` it is Clopper and Pearson's.

    Args:
        successes: k, 0 to n.
        n: samples drawn, 1 to `size`.
        size: all samples.
        level: coverage, at least this for every number of successes.

    Raises:
        ParameterError: the counts do not fit one another, or the level is outside (0, 1).

    >>> figure = drawn_share(0, 50, 1000)
    >>> round(1000 * figure.low), round(1000 * figure.high)
    (0, 69)
    """
    from scipy.stats import hypergeom

    name = f"hypergeometric {percent(level)}"
    if not (0 <= successes <= n <= size and n >= 1):
        raise ParameterError(f"{successes} of {n} drawn of {size}: successes must lie in 0..drawn, drawn in 1..all")
    tail, numbers = (1 - level) / 2, range(successes, size - (n - successes) + 1)
    first = bisect_right(numbers, tail, key=lambda m: hypergeom.sf(successes - 1, size, m, n))
    end = bisect_left(numbers, -tail, key=lambda m: -hypergeom.cdf(successes, size, m, n))
    value = successes / n
    return Figure(value, min(numbers[first] / size, value), max(numbers[end - 1] / size, value), n, name)


def missed_share(n: int, *, level: float = 0.95) -> float:
    """The largest share of other samples that n samples, all alike, may have missed: `1 - ((1 - level) / 2)^(1 / n)`.

    The upper end of Clopper and Pearson's interval of none in n; about `3.7 / n` at 95%.

    >>> round(missed_share(10), 4), round(missed_share(1000), 5)
    (0.3085, 0.00368)
    """
    return float(clopper_pearson(0, n, level=level)[1])


def median(values: Numbers, *, level: float = 0.95, floor: float = 0.0) -> Figure | None:
    """The median with its exact, distribution-free interval between two order statistics.

    Args:
        values: `[N]`, infinity allowed.
        level: coverage, at least this.
        floor: the least value there can be; the lower end where N is too small for one (N < 6 at 95%).

    Returns:
        The figure; its upper end may be infinite. None when the median itself is infinite.
    """
    method = f"order statistics {percent(level)}"
    n, ordered = len(values), np.sort(values)
    value = float(np.median(ordered))
    if np.isinf(value):
        return None
    k = math.ceil(special.bdtrik((1 - level) / 2, n, 0.5))  # P(X < k) is below the tail, P(X <= k) is not
    low, high = (floor, np.inf) if k == 0 else (ordered[k - 1], ordered[n - k])
    return Figure(value, float(low), float(high), n, method)


def bootstrap_means(values: Numbers, *, resamples: int = 2000, seed: int = 0) -> Numbers:
    """Means of columns over samples drawn with replacement, all columns together.

    Args:
        values: `[N, M]`, one row a sample.
        resamples: B, at least 1.
        seed: the draws depend on it, B and N alone.

    Returns:
        `[B, M]`, in 40 MiB of memory. Of more than `NORMAL` samples the means of resamples are drawn from the normal
        distribution with the mean and covariance of the samples, from which they then differ by less than B draws show.

    Raises:
        ParameterError: resamples is below 1.
    """
    if resamples < 1:
        raise ParameterError(f"resamples must be at least 1, not {resamples}; 2000 is usual")
    n = len(values)
    if n > NORMAL:
        return _normal_means(values, resamples, seed)
    if resamples * n <= _CHUNK:
        return _weights(n, resamples, seed) @ values / n
    rng, rows = np.random.default_rng(seed), max(1, _CHUNK // n)
    parts = [_drawn(rng, n, min(rows, resamples - first)) @ values / n for first in range(0, resamples, rows)]
    return np.concatenate(parts)


def _normal_means(values: Numbers, resamples: int, seed: int) -> Numbers:
    n, mean, rows = len(values), values.mean(0), max(1, _CHUNK // (4 * values.shape[1]))
    covariance = np.zeros((len(mean), len(mean)))
    for first in range(0, n, rows):
        apart = values[first : first + rows] - mean
        covariance += apart.T @ apart
    rng = np.random.default_rng(seed)
    return rng.multivariate_normal(mean, covariance / n / n, resamples, check_valid="ignore", method="eigh")


@lru_cache(maxsize=1)
def _weights(n: int, resamples: int, seed: int) -> Numbers:
    """How often each sample stands in each resample, `[B, n]`; cached, for a report asks again and again."""
    return _drawn(np.random.default_rng(seed), n, resamples)


def _drawn(rng: np.random.Generator, n: int, rows: int) -> Numbers:
    weights = np.empty((rows, n))
    for row in weights:
        row[:] = np.bincount(rng.integers(n, size=n, dtype=np.int32), minlength=n)
    return weights


def bootstrap_figure(
    value: float, draws: Numbers, n: int, *, units: int | None = None, level: float = 0.95,
    ends: tuple[float, float] = (-math.inf, math.inf),
) -> Figure:  # fmt: skip
    """A figure with the percentile interval of its bootstrap draws, widened to hold the value where it does not.

    Resamples of few samples vary too little, by `sqrt((n - 1) / n)`, and their spread is itself an estimate: the
    percentiles are those whose width in standard errors is Student's, `sqrt(n / (n - 1)) t`.

    Args:
        value: the estimate on the samples themselves.
        draws: `[B]`, the estimate on each resample.
        n: samples.
        units: what was drawn with replacement, such as people with several photos each; default n.
        level: coverage, approximately.
        ends: the interval where no draw differs from another, which is no certainty; unbounded where nothing is known
            of other samples.

    Source: Hesterberg 2015, The American Statistician 69(4) (expanded percentiles).
    """
    if no_spread(draws):
        return Figure(
            float(value), min(ends[0], value), max(ends[1], value), n, f"no resample differs {percent(level)}"
        )
    method = f"bootstrap {percent(level)} ({len(draws)})"
    drawn, tail = n if units is None else units, 0.0
    if drawn > 1:
        t = special.stdtrit(drawn - 1, (1 - level) / 2)
        tail = float(special.ndtr(math.sqrt(drawn / (drawn - 1)) * t))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Figure(float(value), float(min(low, value)), float(max(high, value)), n, method)


def no_spread(draws: Numbers) -> bool:
    """Whether bootstrap draws `[B]` are all alike but for rounding."""
    return bool(np.ptp(draws) <= _SAME * np.abs(draws).max())


def centred_figure(
    value: float, draws: Numbers, n: int, *, level: float = 0.95, low: float = -1.0, high: float = 1.0,
    ends: tuple[float, float] | None = None,
) -> Figure:  # fmt: skip
    """A figure with the spread of its bootstrap draws around their mean: an extreme is too large in them once more.

    Args:
        value: the estimate on the samples themselves.
        draws: `[B]`, the estimate on each resample.
        n: samples.
        level: coverage, approximately.
        low: the least value there can be.
        high: the largest.
        ends: the interval where no draw differs from another, which is no certainty; default all that there can be.
    """
    if no_spread(draws):
        least, most = ends or (low, high)
        method = f"no resample differs {percent(level)}"
        return Figure(value, min(max(low, least), value), max(min(high, most), value), n, method)
    away = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2]) - draws.mean()
    least, most = max(low, value + min(0.0, float(away[0]))), min(high, value + max(0.0, float(away[1])))
    method = f"bootstrap {percent(level)} ({len(draws)}), centred"
    return Figure(value, min(least, value), max(most, value), n, method)


def gap_figure(
    value: float, draws: Numbers, even: Numbers, n: int, *, level: float = 0.95, ends: tuple[float, float] | None = None
) -> Figure:
    """A gap, or another measure of spread that is 0 for equal rates, with an interval that knows of its bias.

    The extremes of noisy rates lie too far apart, and those of resamples once more, by as much as the mean of the draws
    exceeds the value: the lower end is taken that much lower. It is 0 where equal rates would often show as much.

    Args:
        value: the gap on the samples themselves, at least 0.
        draws: `[B]`, the gap on each resample.
        even: `[B]`, the gap on each resample if all rates were equal.
        n: samples.
        level: coverage, approximately.
        ends: the interval where no draw differs from another; default 0 to 1.
    """
    figure = centred_figure(value, draws, n, level=level, low=0.0, ends=ends)
    low = figure.low - max(0.0, float(draws.mean()) - value)
    if not no_spread(draws) and (even >= value - 1e-12).mean() > 1 - level:
        low = 0.0
    return Figure(value, max(0.0, low), figure.high, n, figure.interval)


_DRAWS = 1501


def stratified_share(
    successes: ArrayLike, reviewed: ArrayLike, sizes: ArrayLike, *, level: float = 0.95, seed: int = 0
) -> Figure:
    """The share of successes in a population that was sampled stratum by stratum without replacement.

    The value is `sum_h W_h k_h / n_h` with weights `W_h = N_h / N`. The interval is the melded one: its lower end is
    the `(1 - level)/2` quantile of `sum_h W_h B_h` with independent `B_h ~ Beta(k_h, n_h - k_h + 1)`, its upper end
    that of `Beta(k_h + 1, n_h - k_h)` from above. With one stratum it is Clopper and Pearson's. A stratum that was
    reviewed whole is known and adds no width; one that was not reviewed at all may hold anything from 0 to 1, and the
    value is that of the others.

    Args:
        successes: k_h, whole numbers `[H]`.
        reviewed: n_h, at least 1 in all, `[H]`.
        sizes: N_h, at least n_h, `[H]`.
        level: coverage.
        seed: of the order in which quantiles of the Beta variables are combined (a Latin hypercube).

    Raises:
        ParameterError: counts do not fit one another, or the level is outside (0, 1).

    Source: Fay, Proschan & Brittain 2015, Biometrics 71(1).

    >>> figure = stratified_share([8, 1], [20, 20], [100, 900])
    >>> round(figure.value, 3), figure.low < 0.085 < figure.high
    (0.085, True)
    """
    k, n, size = integers("successes", successes), integers("reviewed", reviewed), integers("sizes", sizes)
    if not len(k) == len(n) == len(size):
        raise ParameterError(f"{len(k)} counts of successes, {len(n)} of reviewed and {len(size)} sizes: give one each")
    if (k < 0).any() or (k > n).any() or not n.sum() or (n > size).any():
        raise ParameterError("in every stratum successes must lie in 0..reviewed, and reviewed in 0..size, 1 in all")
    weights, known = size / size.sum(), n > 0
    value, tail = float(weights[known] @ (k[known] / n[known]) / weights[known].sum()), (1 - level) / 2
    interval = f"melded {percent(level)}"
    rng = np.random.default_rng(seed)
    grid = (np.arange(_DRAWS) + 0.5) / _DRAWS
    low, high = np.zeros(_DRAWS), np.zeros(_DRAWS)
    for weight, hits, drawn, whole in zip(weights, k.tolist(), n.tolist(), (n == size).tolist(), strict=True):
        below, above = rng.permutation(grid), rng.permutation(grid)
        if whole:
            low, high = low + weight * hits / drawn, high + weight * hits / drawn
            continue
        low += weight * (special.betaincinv(hits, drawn - hits + 1, below) if hits else 0.0)
        high += weight * (special.betaincinv(hits + 1, drawn - hits, above) if hits < drawn else 1.0)
    ends = float(np.quantile(low, tail)), float(np.quantile(high, 1 - tail))
    return Figure(value, min(ends[0], value), max(ends[1], value), int(n.sum()), interval)
