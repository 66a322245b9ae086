"""Minimal-norm attacks: success and robust accuracy against eps, and the norm that it takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from unshaken.measure.robustness.accuracy import attack_success_rate, robust_accuracy
from unshaken.measure.statistics.columns import Flags, Numbers, flags, numbers, same_length
from unshaken.measure.statistics.intervals import Figure, bootstrap_figure, bootstrap_means, median
from unshaken.measure.statistics.means import mean_figure


@dataclass(frozen=True, slots=True)
class SuccessCurve:
    """Success and robust accuracy at each eps.

    Args:
        eps: the grid, as given.
        success: share of the clean-correct samples broken within each eps; None when none is clean-correct.
        robust_accuracy: share of all samples that are clean-correct and not broken within each eps.
    """

    eps: tuple[float, ...]
    success: tuple[Figure | None, ...]
    robust_accuracy: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class MinimalNorm:
    """How far the attack had to go, over the samples that are correct when clean.

    Args:
        success: share broken at any norm; None when no sample is clean-correct, and then all else is None too.
        median: median over all of them, an unbroken one counted as infinitely far; None when fewer than half broke.
        median_of_broken: median over the broken ones; None without one. It falls when hard samples stay unbroken:
            compare attacks by `median`.
        mean_of_broken: mean over the broken ones; None without one.
    """

    success: Figure | None
    median: Figure | None
    median_of_broken: Figure | None
    mean_of_broken: Figure | None


def success_curve(
    distance: ArrayLike, clean_correct: ArrayLike, eps: ArrayLike, *, slack: float = 1e-6, level: float = 0.95
) -> SuccessCurve:
    """Success and robust accuracy at a grid of eps from each sample's smallest adversarial norm.

    Args:
        distance: `[N]`, at least 0, in the unit of eps; infinity where the attack found nothing.
        clean_correct: bool `[N]`; the distance of a sample that is wrong when clean is ignored.
        eps: the grid `[M]`, at least 0.
        slack: a sample is within eps when its distance is at most `eps + slack`, for float32 rounding.
        level: coverage of each interval.

    Raises:
        ParameterError: a column is empty, has missing values (write infinity, not NaN, for no success), or negative
            ones; the lengths differ.
    """
    norm, right = _checked(distance, clean_correct)
    grid = numbers("eps", eps, low=0)
    broken = [norm <= e + slack for e in grid]
    return SuccessCurve(
        tuple(grid.tolist()),
        tuple(attack_success_rate(right, b, level=level) for b in broken),
        tuple(robust_accuracy(right, b, level=level) for b in broken),
    )


def minimal_norm(
    distance: ArrayLike, clean_correct: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> MinimalNorm:
    """Median and mean norm of the smallest adversarial change of each sample.

    Args:
        distance: `[N]`, at least 0; infinity where the attack found nothing.
        clean_correct: bool `[N]`; samples that are wrong when clean are left out.
        level: coverage of the intervals: exact for medians (order statistics; the upper end may be infinite).
        resamples: bootstrap draws for the mean, whose interval has no upper end where all norms are alike.
        seed: of the draws.

    Raises:
        ParameterError: as in `success_curve`.
    """
    norm, right = _checked(distance, clean_correct)
    broken = np.isfinite(norm)
    reached = np.sort(norm[right & broken])  # no figure depends on the order of the rows
    mean = None
    if len(reached):
        mean = mean_figure(reached, low=0.0, level=level, resamples=resamples, seed=seed)
    return MinimalNorm(
        success=attack_success_rate(right, broken, level=level),
        median=median(norm[right], level=level) if right.any() else None,
        median_of_broken=median(reached, level=level) if len(reached) else None,
        mean_of_broken=mean,
    )


def local_optimality(
    distances: ArrayLike, clean_correct: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> list[Figure | None]:
    """How near each of several attacks comes to the best of them on each sample, in [0, 1]; 1 for the best possible.

    `1 - (A - A*) / (rho eps0 - A*)`, where A is the area under an attack's curve of robust accuracy from 0 to eps0, A*
    that of the lower envelope (each sample at the least distance that any attack found), rho the clean accuracy, and
    eps0 the largest least distance. 0 is an attack that breaks nothing within eps0. The curves are steps, whose areas
    are the means of `min(distance, eps0)`; AttackBench joins their corners by lines instead. Samples that no attack
    broke are left out of A and A* alike.

    Args:
        distances: `[M, N]`, at least 0; infinity where an attack found nothing.
        clean_correct: bool `[N]`; samples that are wrong when clean have no area.
        level: coverage of the intervals, over samples drawn anew at the same eps0.
        resamples: bootstrap draws.
        seed: of the draws.

    Returns:
        One figure an attack. None where no sample was broken, or all lie at eps0, so that no area is to be won.

    Raises:
        ParameterError: as in `success_curve`.

    >>> [f.value for f in local_optimality([[1.0, 2.0], [2.0, 2.0]], [True, True])]
    [1.0, 0.0]

    Source: Cina et al. 2025 (AttackBench), arXiv:2404.19460.
    """
    columns = [_checked(row, clean_correct)[0] for row in np.asarray(distances, float)]
    right = flags("clean_correct", clean_correct)
    norm = np.stack(columns)[:, right]
    norm = norm[:, np.isfinite(norm).any(0)]
    if not norm.size:
        return [None] * len(columns)
    best = norm.min(0)
    most = best.max()
    excess = np.vstack([np.minimum(norm, most) - best, most - best])  # what is lost, and what could be lost at most
    order = np.lexsort(excess)  # no figure depends on the order of the rows
    excess = excess[:, order].T
    mean = excess.mean(0)
    if mean[-1] <= 0:
        return [None] * len(columns)
    drawn = bootstrap_means(excess, resamples=resamples, seed=seed)
    drawn = drawn[drawn[:, -1] > 0]
    return [
        bootstrap_figure(
            1 - mean[j] / mean[-1], 1 - drawn[:, j] / drawn[:, -1], len(excess), level=level, ends=(0.0, 1.0)
        )
        for j in range(len(columns))
    ]


def _checked(distance: ArrayLike, clean_correct: ArrayLike) -> tuple[Numbers, Flags]:
    norm, right = numbers("distance", distance, low=0), flags("clean_correct", clean_correct)
    same_length(distance=norm, clean_correct=right)
    return norm, right
