"""Correlation of two columns, with its interval and test."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import finite_numbers, same_length
from unshaken.measure.statistics.intervals import Figure, percent

Kind = Literal["pearson", "spearman"]


@dataclass(frozen=True, slots=True)
class Correlation:
    """How two columns go together.

    Args:
        figure: the coefficient in [-1, 1] with its interval; n counts pairs.
        p_value: two-sided test of no correlation.
        slope: of the least-squares line of the second column against the first.
    """

    figure: Figure
    p_value: float
    slope: float


def correlation(x: ArrayLike, y: ArrayLike, *, kind: Kind = "pearson", level: float = 0.95) -> Correlation:
    """The correlation of two columns of the same samples, with its interval and test.

    Args:
        x: finite numbers `[N]`, four at least, not all equal.
        y: finite numbers `[N]`, not all equal, of the same samples.
        kind: `pearson` for a straight line, `spearman` for any rising one.
        level: coverage of the interval, by Fisher's transformation; for Spearman with the variance
            `max(1.06, 1 + r^2 / 2) / (N - 3)`, and for ranks that agree in full as if one pair of neighbours did not.

    Raises:
        ParameterError: there are too few pairs, a column is constant, or a value is missing or infinite.

    Source: Fisher 1915; Fieller, Hartley & Pearson 1957 and Bonett & Wright 2000, Psychometrika 65(1), for Spearman.

    >>> round(correlation([1, 2, 3, 4], [1, 3, 2, 4], kind="spearman").figure.value, 3)
    0.8
    """
    a, b = finite_numbers("x", x), finite_numbers("y", y)
    n = same_length(x=a, y=b)
    if n < 4:
        raise ParameterError(f"a correlation with an interval needs four pairs at least, not {n}")
    for name, column in (("x", a), ("y", b)):
        if np.ptp(column) == 0:
            raise ParameterError(f"{name} is constant ({column[0]:g}): it has no correlation")
    test = (scipy.stats.pearsonr if kind == "pearson" else scipy.stats.spearmanr)(a, b)
    r = float(np.clip(test.statistic, -1, 1))
    error = math.sqrt((1.0 if kind == "pearson" else max(1.06, 1 + r * r / 2)) / (n - 3))
    half = float(scipy.stats.norm.ppf((1 + level) / 2)) * error
    nearest = 12 / (n * (n * n - 1)) if kind == "spearman" else 1e-15  # ranks alike may differ by one swap elsewhere
    z = math.atanh(min(max(r, -1 + nearest), 1 - nearest))
    low, high = min(r, math.tanh(z - half)), max(r, math.tanh(z + half))
    figure = Figure(r, low, high, n, f"fisher {percent(level)}")
    return Correlation(figure, float(test.pvalue), float(scipy.stats.linregress(a, b).slope))
