"""Comparison of two models, or two conditions, on the same samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy import special

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Numbers, finite_numbers, flags, numbers, same_length
from unshaken.measure.statistics.intervals import Figure, clopper_pearson, percent
from unshaken.measure.statistics.join import Column, match
from unshaken.measure.statistics.means import mean_figure

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Paired comparison of a candidate with a baseline, sample by sample.

    Args:
        n: samples.
        both_right: samples that both predict correctly.
        lost: samples that only the baseline predicts correctly.
        gained: samples that only the candidate predicts correctly.
        both_wrong: samples that neither predicts correctly.
        difference: the candidate's accuracy minus the baseline's, in [-1, 1]. Its interval is simultaneous: those of a
            family hold together at the level.
        p_value: exact two-sided McNemar test that `lost` and `gained` are equally likely; of a figure of the whole set,
            such as mAP, that of the difference in units of the spread of its draws.
        p_adjusted: corrected for all comparisons of the family: below 1 minus the level exactly where the interval of
            `difference` leaves out 0.
        family: the number of comparisons corrected for.
        error: standard error of a difference of figures of the whole set; None for a difference of shares.
    """

    n: int
    both_right: int
    lost: int
    gained: int
    both_wrong: int
    difference: Figure
    p_value: float
    p_adjusted: float
    family: int = 1
    error: float | None = None

    def regressed(self) -> bool:
        """The candidate is shown to be worse: the whole interval of the difference lies below 0."""
        return self.difference.high < 0

    def improved(self) -> bool:
        """The candidate is shown to be better: the whole interval of the difference lies above 0."""
        return self.difference.low > 0


def mcnemar(lost: int, gained: int) -> float:
    """Exact two-sided p-value that a discordant pair is as likely to be lost as gained.

    Args:
        lost: pairs where only the first side is right.
        gained: pairs where only the second side is right.

    Returns:
        `min(1, 2 P[X <= min(lost, gained)])` with X binomial of `lost + gained` trials at 1/2; 1 without such pairs.

    Raises:
        ParameterError: a count is negative.

    Source: McNemar 1947, Psychometrika 12(2), in its exact form.

    >>> mcnemar(1, 5)
    0.21875...
    """
    if lost < 0 or gained < 0:
        raise ParameterError(f"counts of discordant pairs cannot be negative: lost {lost}, gained {gained}")
    return min(1.0, 2 * float(special.bdtr(min(lost, gained), lost + gained, 0.5)))


def compare(baseline: ArrayLike, candidate: ArrayLike, *, level: float = 0.95) -> Comparison:
    """Compare two columns of correctness on the same samples, in the same order.

    Args:
        baseline: bool `[N]`.
        candidate: bool `[N]`.
        level: coverage of the difference's interval.

    Returns:
        The comparison, a family of one; see `simultaneous` for its interval.

    Raises:
        ParameterError: there is no sample, a value is missing, or the lengths differ.
    """
    before, after = flags("baseline", baseline), flags("candidate", candidate)
    n = same_length(baseline=before, candidate=after)
    lost, gained = int((before & ~after).sum()), int((after & ~before).sum())
    right, p = int((before & after).sum()), mcnemar(lost, gained)
    difference = share_difference(lost, gained, n, level=level)
    alone = Comparison(n, right, lost, gained, n - right - lost - gained, difference, p, p)
    return simultaneous({0: alone}, level=level)[0]


def compare_by_id(
    baseline_ids: Column,
    baseline: ArrayLike,
    candidate_ids: Column,
    candidate: ArrayLike,
    *,
    complete_only: bool = False,
    level: float = 0.95,
) -> Comparison:
    """`compare` after a join by sample id.

    Args:
        baseline_ids: ids of the baseline's rows, each once.
        baseline: bool, the baseline's correctness.
        candidate_ids: as `baseline_ids`.
        candidate: as `baseline`.
        complete_only: compare on the ids that both have, instead of raising when some are missing.
        level: as in `compare`.

    Raises:
        ParameterError: ids are missing on a side (the message counts them) or repeated; as in `compare`.
    """
    before, after = flags("baseline", baseline), flags("candidate", candidate)
    for side, ids, values in (("baseline", baseline_ids, before), ("candidate", candidate_ids, after)):
        if len(ids) != len(values):
            raise ParameterError(f"{side}: {len(ids)} ids came with {len(values)} values; give one id a value")
    a, b = match(baseline_ids, candidate_ids, complete_only=complete_only)
    return compare(before[a], after[b], level=level)


def paired_difference(
    baseline: ArrayLike, candidate: ArrayLike, *, low: float | None = None, high: float | None = None,
    level: float = 0.95, resamples: int = 2000, seed: int = 0,
) -> Figure:  # fmt: skip
    """Mean of candidate minus baseline over the same samples, for any real column (loss, distance, score).

    Give the range of a sample's difference where it has one: without it, nothing bounds the mean of pairs that all
    show the same difference.

    Args:
        baseline: finite numbers `[N]`, or bool: whether the baseline is right.
        candidate: as `baseline`, in the same order of samples.
        low: the least that candidate minus baseline can be on a sample, such as -1 for shares; default minus infinity,
            and -1 for columns of bool.
        high: the largest, such as 1 for shares; default infinity, and 1 for columns of bool.
        level: coverage of the interval.
        resamples: bootstrap draws of samples.
        seed: of the draws.

    Returns:
        The figure. Its interval is that of `compare` for columns of 0 and 1 whose range is -1 to 1; else that of
        `mean_figure` on the differences, which is unbounded only where all are alike and no range is given.

    Raises:
        ParameterError: there is no sample, a value is missing or infinite, a difference is out of range, or the
            lengths differ.
    """
    is_bool = all(np.asarray(side).dtype == np.bool_ for side in (baseline, candidate))
    low, high = (
        (sign if is_bool else sign * math.inf) if end is None else end for sign, end in ((-1.0, low), (1.0, high))
    )
    before, after = finite_numbers("baseline", baseline), finite_numbers("candidate", candidate)
    n = same_length(baseline=before, candidate=after)
    if (low, high) == (-1, 1) and all(np.isin(side, (0, 1)).all() for side in (before, after)):
        return share_difference(int((before > after).sum()), int((after > before).sum()), n, level=level)
    scale = None if math.isfinite(high - low) else float(max(np.abs(before).max(), np.abs(after).max()))
    return mean_figure(after - before, low=low, high=high, scale=scale, level=level, resamples=resamples, seed=seed)


def holm(p_values: Sequence[float] | Numbers) -> Numbers:
    """p-values corrected for their number by Holm's step-down rule, in the order given.

    Args:
        p_values: `[M]` in [0, 1].

    Returns:
        `[M]`: for the j-th smallest, the largest of `(M - i + 1) p_(i)` over i <= j, at most 1. Rejecting where it
        is below alpha keeps the chance of any false rejection below alpha, whatever the dependence.

    Raises:
        ParameterError: there is none, or one is outside [0, 1].

    Source: Holm 1979, Scandinavian Journal of Statistics 6(2).

    >>> holm([0.01, 0.04, 0.03]).round(4).tolist()
    [0.03, 0.06, 0.06]
    """
    p = numbers("p_values", p_values, low=0, high=1)
    order = np.argsort(p, kind="stable")
    out = np.empty(len(p))
    out[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return out


def simultaneous(comparisons: Mapping[K, Comparison], *, level: float = 0.95) -> dict[K, Comparison]:
    """Comparisons as one family: intervals that all hold together, and verdicts that are read off them.

    Of M comparisons each has an interval at `1 - (1 - level) / M` (Bonferroni), so that they hold together at the
    level, whatever the dependence. The chance that any difference of shares is shown that is none is `1 - level` at
    most. Of shares the interval is Tango's; where McNemar's exact test does not show a difference at that level it
    reaches to 0 at least, so that few samples never show one by an approximation. Of other figures it is the value with
    as many standard errors on either side as a normal distribution wants. `p_adjusted` is M times the p-value (of
    shares the larger one of the exact and the score test), at most 1.

    Args:
        comparisons: one for each condition; none gives none.
        level: with which all intervals hold together.

    >>> one = compare([1] * 20, [0] * 8 + [1] * 12)
    >>> [c.regressed() for c in simultaneous({"fog": one, "snow": one}).values()]
    [True, True]
    """
    percent(level)
    m = len(comparisons)
    return {name: _among(one, m, level) for name, one in comparisons.items()}


def _among(one: Comparison, m: int, level: float) -> Comparison:
    """One comparison of a family of m."""
    alpha, value = (1 - level) / m, one.difference.value
    if one.error is None:
        discordant = one.lost + one.gained
        score = abs(one.gained - one.lost) / math.sqrt(discordant) if discordant else 0.0
        p = max(one.p_value, 2 * float(special.ndtr(-score)))
        found = share_difference(one.lost, one.gained, one.n, level=1 - alpha)
        low, high, method = found.low, found.high, found.interval.replace(percent(1 - alpha), percent(level))
    else:
        half, p = -float(special.ndtri(alpha / 2)) * one.error, one.p_value
        low, high, method = max(-1.0, value - half), min(1.0, value + half), f"normal {percent(level)}"
    if p >= alpha:
        low, high = min(low, 0.0), max(high, 0.0)
    together = f" for {m} differences together" if m > 1 else ""
    difference = Figure(value, low, high, one.n, f"{method}{together}")
    return replace(one, difference=difference, p_adjusted=min(1.0, m * p), family=m)


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
    z, value = float(special.ndtri((1 + level) / 2)), (gained - lost) / n
    low, high = -1.0, 1.0
    if lost < n:
        low = _root(lambda d: _score(d, lost, gained, n) - z, -1 + _NEAR, value)
    if gained < n:
        high = _root(lambda d: _score(d, lost, gained, n) + z, value, 1 - _NEAR)
    return low, high


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses 0, by bisection: `scipy.optimize` takes longer to import than a small run."""
    while (middle := (low + high) / 2) not in (low, high) and high - low > _NEAR:
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return (low + high) / 2


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
