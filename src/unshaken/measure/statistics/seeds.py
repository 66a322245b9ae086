"""Means over repetitions, with an interval that stays in the figure's range."""

from __future__ import annotations

import math

import numpy as np
import scipy
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import numbers
from unshaken.measure.statistics.figure import Figure
from unshaken.measure.statistics.intervals import percent


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
