"""A sequential test of a share by spending alpha: as sharp at its last look as a test with one look alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.special import ndtr

_ROUNDING = 1e-12
"""Kept back of alpha for the rounding of float64 sums and transforms."""


def boundaries(p: float, looks: Sequence[int], spent: Sequence[float]) -> NDArray[np.int64]:
    """At each look, the most failures with which "the share of successes is above p" is declared.

    The boundaries are the largest for which the probability, at a share of exactly p, that any look up to the i-th
    declares it is `spent[i]` at most. It is found exactly, by carrying the distribution of the failures of those not
    yet declared from look to look. At smaller shares the probability is smaller still.

    Args:
        p: the share, in (0, 1).
        looks: numbers of trials, rising.
        spent: failure probability used up to and with each look, not falling.

    Returns:
        One a look; -1 where no number of failures is few enough.

    Source: Lan & DeMets 1983, doi:10.2307/2336502.

    >>> boundaries(0.5, [5, 10, 20], [0.001, 0.001, 0.001]).tolist()
    [-1, 0, 1]
    """
    return np.array(_boundaries(p, tuple(looks), tuple(spent)))


@cache
def _boundaries(p: float, looks: tuple[int, ...], spent: tuple[float, ...]) -> tuple[int, ...]:
    most = int(looks[-1] * (1 - p)) + 1  # with more failures than expected nothing is declared any more
    alive, used, before = np.ones(1), 0.0, 0
    found = []
    for look, allowed in zip(looks, spent, strict=True):
        fresh = scipy.stats.binom.pmf(np.arange(min(look - before, most) + 1), look - before, 1 - p)
        convolve = np.convolve if len(alive) * len(fresh) < 1 << 21 else scipy.signal.fftconvolve
        alive, before = np.maximum(convolve(alive, fresh)[: most + 1], 0), look
        within = np.flatnonzero(used + np.cumsum(alive) <= allowed - _ROUNDING)
        found.append(int(within[-1]) if len(within) else -1)
        used += float(alive[: found[-1] + 1].sum())
        alive[: found[-1] + 1] = 0
    return tuple(found)


def look_times(n: int, step: int, growth: float = 1.05) -> list[int]:
    """Numbers of trials at which to look: multiples of a step that grow by a factor, and n.

    >>> look_times(1000, 256)
    [256, 512, 768, 1000]
    """
    times = [min(step, n)]
    while times[-1] < n:
        times.append(min(n, max(times[-1] + step, step * round(times[-1] * growth / step))))
    return times


def chance_to_end_within(
    failures: NDArray[np.int64], trials: NDArray[np.int64], most: NDArray[np.int64], n: int
) -> NDArray[np.float64]:
    """The chance that a sample with so many failures now has at most `most` of them after n trials.

    Its share of failures is taken as Beta(f + 1/2, t - f + 1/2), and what is to come as normal: good enough to decide
    whether to go on, which no certificate depends on.

    Args:
        failures: so far, `[N]`.
        trials: so far, `[N]`.
        most: the boundary at the end, `[N]`.
        n: trials at the end.
    """
    share, left = (failures + 0.5) / (trials + 1), n - trials
    variance = left * share * (1 - share) * (1 + left / (trials + 1))
    spare = most + 0.5 - failures - left * share
    found: NDArray[np.float64] = ndtr(spare / np.sqrt(np.maximum(variance, 1e-9)))
    return found
