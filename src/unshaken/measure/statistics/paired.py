"""Comparison of two models, or two conditions, on the same samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import scipy
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Numbers, flags, numbers, same_length
from unshaken.measure.statistics.figure import Figure
from unshaken.measure.statistics.join import Column, match
from unshaken.measure.statistics.means import mean_figure
from unshaken.measure.statistics.share_differences import share_difference

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
        difference: the candidate's accuracy minus the baseline's, in [-1, 1].
        p_value: exact two-sided McNemar test that `lost` and `gained` are equally likely; of a figure of the whole set,
            such as mAP, that of the difference in units of the spread of its draws.
        p_holm: `p_value` corrected for all comparisons of its family; equal to it in a family of one.
        family: the number of comparisons corrected for.
    """

    n: int
    both_right: int
    lost: int
    gained: int
    both_wrong: int
    difference: Figure
    p_value: float
    p_holm: float
    family: int = 1

    def regressed(self, alpha: float = 0.05) -> bool:
        """The candidate is worse, and by more than chance at this level after correction."""
        return self.difference.value < 0 and self.p_holm < alpha

    def improved(self, alpha: float = 0.05) -> bool:
        """The candidate is better, and by more than chance at this level after correction."""
        return self.difference.value > 0 and self.p_holm < alpha


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
    0.21875
    """
    if lost < 0 or gained < 0:
        raise ParameterError(f"counts of discordant pairs cannot be negative: lost {lost}, gained {gained}")
    return min(1.0, 2 * float(scipy.stats.binom.cdf(min(lost, gained), lost + gained, 0.5)))


def compare(baseline: ArrayLike, candidate: ArrayLike, *, level: float = 0.95) -> Comparison:
    """Compare two columns of correctness on the same samples, in the same order.

    Args:
        baseline: bool `[N]`.
        candidate: bool `[N]`.
        level: coverage of the difference's interval.

    Returns:
        The comparison, with Tango's score interval of the difference; without a discordant pair with the
        Clopper-Pearson bound of their share, on both sides. See `share_difference`.

    Raises:
        ParameterError: there is no sample, a value is missing, or the lengths differ.
    """
    before, after = flags("baseline", baseline), flags("candidate", candidate)
    n = same_length(baseline=before, candidate=after)
    lost, gained = int((before & ~after).sum()), int((after & ~before).sum())
    right = int((before & after).sum())
    p = mcnemar(lost, gained)
    difference = share_difference(lost, gained, n, level=level)
    return Comparison(n, right, lost, gained, n - right - lost - gained, difference, p, p)


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
        candidate: likewise, in the same order of samples.
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
    largest = np.finfo(np.float64).max
    before = numbers("baseline", baseline, low=-largest, high=largest)
    after = numbers("candidate", candidate, low=-largest, high=largest)
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


def holm_corrected(comparisons: Mapping[K, Comparison]) -> dict[K, Comparison]:
    """The same comparisons as one family: `p_holm` and `family` filled in.

    Args:
        comparisons: one for each condition; none gives none.
    """
    if not comparisons:
        return {}
    corrected = holm([c.p_value for c in comparisons.values()])
    return {
        name: replace(c, p_holm=float(p), family=len(comparisons))
        for (name, c), p in zip(comparisons.items(), corrected, strict=True)
    }
