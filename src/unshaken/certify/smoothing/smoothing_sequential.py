"""Randomised smoothing on a grid of radii, with votes only until each sample is decided."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat
from scipy.special import ndtr
from torch import Tensor
from typing_extensions import override

from unshaken.certify.smoothing.smoothing import Certificate, GaussianSmoothing
from unshaken.certify.smoothing.votes import ASK, Rule, Tally
from unshaken.core.registry import register

_ROUNDING = 1e-12
"""Kept back of alpha for the rounding of float64 sums and transforms."""


def boundaries(p: float, trials: Sequence[int], spent: Sequence[float]) -> NDArray[np.int64]:
    """At each look, the most failures with which "the share of successes is above p" is declared.

    The boundaries are the largest for which the probability, at a share of exactly p, that any look up to the i-th
    declares it is `spent[i]` at most. It is found exactly, by carrying the distribution of the failures of those not
    yet declared from look to look. At smaller shares the probability is smaller still.

    Args:
        p: the share, in (0, 1).
        trials: numbers of trials, rising.
        spent: failure probability used up to and with each look, not falling.

    Returns:
        One a look; -1 where no number of failures is few enough.

    Source: Lan & DeMets 1983, doi:10.2307/2336502.

    >>> boundaries(0.5, [5, 10, 20], [0.001, 0.001, 0.001]).tolist()
    [-1, 0, 1]
    """
    return np.array(_boundaries(p, tuple(trials), tuple(spent)))


@cache
def _boundaries(p: float, trials: tuple[int, ...], spent: tuple[float, ...]) -> tuple[int, ...]:
    most = int(trials[-1] * (1 - p)) + 1  # with more failures than expected nothing is declared any more
    alive, used, before = np.ones(1), 0.0, 0
    found = []
    for trial_count, allowed in zip(trials, spent, strict=True):
        fresh = scipy.stats.binom.pmf(np.arange(min(trial_count - before, most) + 1), trial_count - before, 1 - p)
        convolve = np.convolve if len(alive) * len(fresh) < 1 << 21 else scipy.signal.fftconvolve
        alive, before = np.maximum(convolve(alive, fresh)[: most + 1], 0), trial_count
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
    """The chance that a sample with its failures so far has at most `most` of them after n trials.

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


GRID = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
"""Default radii, in units of sigma."""


class Ladder:
    """Which of several rising shares the top class is above, decided look by look.

    All steps are tested at the full alpha: a certificate is wrong only if the lowest step that is not true is passed,
    and that step is passed with probability alpha at most. A sample stops at the top, or when its chance of another
    step is small; that costs power and no validity.

    Args:
        shares: the steps, rising.
        n: votes at most.
        alpha: of a false certificate.
        give_up: probability of stopping at a step that is true.
    """

    def __init__(self, shares: tuple[float, ...], n: int, alpha: float, give_up: float) -> None:
        self.n, self.give_up, trials = n, give_up, look_times(n, ASK)
        spent = (alpha * np.sqrt(np.array(trials) / n)).tolist()
        self._number = {trial_count: i for i, trial_count in enumerate(trials)}
        self._most = np.stack([boundaries(p, trials, spent) for p in shares])

    def decide(self, tally: Tally) -> tuple[Tensor, Tensor]:
        """The steps passed by now, int64 `[N]`, and who is decided, bool `[N]`."""
        level, drawn = tally.level.cpu().numpy().copy(), tally.drawn.cpu().numpy()
        failures, top = drawn - tally.hits.cpu().numpy(), len(self._most)
        due = np.array([i for i, t in enumerate(drawn.tolist()) if t in self._number], dtype=np.int64)
        at = np.array([self._number[t] for t in drawn[due].tolist()], dtype=np.int64)
        passing = level[due] < top
        while passing.any():
            passing &= failures[due] <= self._most[np.minimum(level[due], top - 1), at]
            level[due[passing]] += 1
            passing &= level[due] < top
        decided = level >= top
        end = self._most[np.minimum(level[due], top - 1), -1]
        chance = chance_to_end_within(failures[due], drawn[due], end, self.n)
        decided[due] |= chance < self.give_up * np.sqrt(1 - drawn[due] / self.n)
        device = tally.level.device
        return torch.from_numpy(level).to(device), torch.from_numpy(decided).to(device)


@register("smoothing-sequential", reference="Lan & DeMets 1983, doi:10.2307/2336502", norms=("l2",))
class SequentialSmoothing(GaussianSmoothing):
    """Sequential randomised smoothing: draws votes only until each sample is decided at the given radii.

    The certified radius is the largest of `radii` that was shown. Failure probability alpha holds over all looks at the
    votes together: the square root of the share of n that is drawn is the share of alpha that is spent by then.
    """

    radii: tuple[NonNegativeFloat, ...] = Field(
        default=(), description="l2 radii to certify, e.g. 0.25+0.5; default sigma/2 to 3 sigma"
    )
    skip_wrong: bool = Field(
        default=True, description="stop early for samples that are clearly misclassified (labels needed)"
    )
    give_up: float = Field(
        default=0.035,
        ge=0,
        lt=1,
        description="stop a sample when the probability of certifying a larger radius falls below this",
    )

    @property
    def grid(self) -> tuple[float, ...]:
        """The radii that are tested, rising from 0."""
        return tuple(sorted({0.0, *(self.radii or (self.sigma * z for z in GRID))}))

    @override
    def rule(self) -> Rule:
        shares = tuple(float(ndtr(r / self.sigma)) for r in self.grid)
        return Ladder(shares, self.n, self.alpha, self.give_up)

    @override
    def conclude(self, tally: Tally) -> Certificate:
        passed = torch.tensor((0.0, *self.grid), dtype=torch.float64)[tally.level.cpu()]
        abstained = tally.level.cpu() == 0
        p = torch.where(abstained, 0.0, torch.from_numpy(ndtr((passed / self.sigma).numpy())))
        return Certificate(tally.candidate, abstained, passed, p, self.reasons(tally, abstained), tally)
