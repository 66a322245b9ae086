"""Intervals of the difference of two shares, paired or not, which hold where few samples differ or all are alike."""

from __future__ import annotations

import math

import scipy
from scipy import optimize

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.figure import Figure
from unshaken.measure.statistics.intervals import clopper_pearson, percent

_NEAR = 1e-12


def tango(lost: int, gained: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Tango's score interval of a difference of paired shares.

    All differences d that the score test does not refuse: `|gained - lost - n d| <= z sqrt(n (2 q + d (1 - d)))`, with
    q the most likely share of lost samples if the difference is d.

    Args:
        lost: samples that only the first side has right.
        gained: samples that only the second side has right.
        n: all samples, at least 1.
        level: coverage, approximately: 0.93 and more at 95% in the settings enumerated from 5 to 500 samples.
            With no lost and no gained sample the ends are `z^2 / (n + z^2)` from 0.

    Returns:
        Lower and upper end of `(gained - lost) / n`, in [-1, 1].

    Raises:
        ParameterError: a count is negative, n is below 1 or below their sum, or the level is outside (0, 1).

    Source: Tango 1998, Statistics in Medicine 17(8), equations 24 to 26; recommended by Fagerland, Lydersen & Laake
    2014, Statistics in Medicine 33(16).

    >>> [round(end, 4) for end in tango(16, 6, 161)]
    [-0.124, -0.0054]
    """
    percent(level)
    if lost < 0 or gained < 0 or n < max(1, lost + gained):
        raise ParameterError(f"lost {lost} and gained {gained} must be 0 or more, and {n} samples hold both: n >= 1")
    z, value = float(scipy.stats.norm.ppf((1 + level) / 2)), (gained - lost) / n
    low, high = -1.0, 1.0
    if lost < n:
        low = optimize.brentq(lambda d: _score(d, lost, gained, n) - z, -1 + _NEAR, value, xtol=_NEAR)
    if gained < n:
        high = optimize.brentq(lambda d: _score(d, lost, gained, n) + z, value, 1 - _NEAR, xtol=_NEAR)
    return float(low), float(high)


def share_difference(lost: int, gained: int, n: int, *, level: float = 0.95) -> Figure:
    """The difference of two shares on the same n samples, `(gained - lost) / n`, with an interval.

    Args:
        lost: samples that only the first side has right.
        gained: samples that only the second side has right.
        n: all samples, at least 1.
        level: coverage of the interval, approximately.

    Returns:
        The figure with Tango's interval; without a discordant pair with the Clopper-Pearson bound of their share, on
        both sides.

    Raises:
        ParameterError: as in `tango`.

    >>> share_difference(0, 0, 10).interval
    'clopper-pearson 95% (no discordant pair)'
    """
    low, high = tango(lost, gained, n, level=level)
    if lost + gained == 0:
        bound = float(clopper_pearson(0, n, level=level)[1])
        return Figure(0.0, -bound, bound, n, f"clopper-pearson {percent(level)} (no discordant pair)")
    value = (gained - lost) / n
    return Figure(value, min(low, value), max(high, value), n, f"tango {percent(level)}")


def newcombe(successes: tuple[int, int], n: tuple[int, int], *, level: float = 0.95) -> Figure:
    """The first of two independent shares less the second, with Newcombe's hybrid score interval.

    With shares p_i and the ends l_i, u_i of their Wilson score intervals the ends are
    `p_1 - p_2 - sqrt((p_1 - l_1)^2 + (u_2 - p_2)^2)` and `p_1 - p_2 + sqrt((u_1 - p_1)^2 + (p_2 - l_2)^2)`.

    Args:
        successes: k of each group.
        n: trials of each group, at least 1.
        level: coverage, approximately, also where shares are 0 or 1.

    Returns:
        The figure over the trials of both groups.

    Raises:
        ParameterError: k is outside 0..n, n is below 1, or the level is outside (0, 1).

    Source: Newcombe 1998, Statistics in Medicine 17(8), 873-890, method 10.

    >>> figure = newcombe((56, 48), (70, 80))
    >>> round(figure.low, 4), round(figure.high, 4)
    (0.0524, 0.3339)
    """
    method = f"newcombe {percent(level)}"
    if any(not 0 <= k <= m or m < 1 for k, m in zip(successes, n, strict=True)):
        raise ParameterError(f"successes {successes} must lie in 0..n, one for each n of {n}, and n be at least 1")
    p, q = (k / m for k, m in zip(successes, n, strict=True))
    (low, high), (below, above) = (
        scipy.stats.binomtest(k, m).proportion_ci(level, method="wilson") for k, m in zip(successes, n, strict=True)
    )
    down, up = math.hypot(p - low, above - q), math.hypot(high - p, q - below)
    return Figure(p - q, max(-1.0, p - q - down), min(1.0, p - q + up), sum(n), method)


def _score(d: float, lost: int, gained: int, n: int) -> float:
    """The score statistic of a difference d; it falls as d grows."""
    away = gained - lost - n * d
    if away == 0:
        return 0.0
    linear = (2 * n - gained + lost) * d - lost - gained
    q = (math.sqrt(max(0.0, linear**2 + 8 * n * lost * d * (1 - d))) - linear) / (4 * n)
    variance = n * (2 * q + d * (1 - d))
    return away / math.sqrt(max(variance, 1e-200))
