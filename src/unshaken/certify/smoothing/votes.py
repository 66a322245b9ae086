"""Votes of a smoothed classifier: few choose a class, fresh ones judge it; and the exact bounds that follow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_ndtr, ndtri
from torch import Tensor

from unshaken.core.context import Journal
from unshaken.core.device import widen
from unshaken.core.driver import Outcome, drive
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle, required
from unshaken.core.progress import track
from unshaken.core.query import Answer, Goal, Votes
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.measure.statistics.intervals import clopper_pearson

ASK = 256
"""Votes asked of a sample at a time: a batch of their own, and how often a sequential rule decides."""
TOGETHER = 8
"""Samples in work at once, so that a stop loses few."""


class Tally(State):
    """The votes of each sample.

    Args:
        selected: votes a class of the first draws, which choose the candidate, int64 `[N, K]`.
        counts: votes a class of the fresh draws after them, int64 `[N, K]`.
        level: steps of a sequential rule that are passed, int64 `[N]`.
        decided: bool `[N]`: the rule needs no more votes.
        blank: draws whose output was NaN or infinite and that voted for no class, int64 `[N]`.
        seconds: a sample's share of the time, float64 `[N]`.
    """

    selected: Tensor
    counts: Tensor
    level: Tensor
    decided: Tensor
    blank: Tensor
    seconds: Tensor

    @property
    def candidate(self) -> Tensor:
        """The class most voted for among the first draws, int64 `[N]`; of equal ones the first."""
        return self.selected.argmax(1)

    @property
    def hits(self) -> Tensor:
        """Fresh votes for the candidate, int64 `[N]`."""
        return self.counts.gather(1, self.candidate[:, None]).squeeze(1)

    @property
    def drawn(self) -> Tensor:
        """Fresh votes, int64 `[N]`."""
        return self.counts.sum(1)

    @property
    def forwards(self) -> Tensor:
        """Passes of each sample, int64 `[N]`."""
        return self.drawn + self.selected.sum(1) + self.blank


class Rule(Protocol):
    """When a sample has enough fresh votes."""

    def decide(self, tally: Tally) -> tuple[Tensor, Tensor]:
        """`level` and `decided` of each sample; called whenever fresh votes have come in."""


class Ballot(State):
    """A sample whose votes are being counted; see `Tally`."""

    points: Tensor
    labels: Tensor
    rng: SampleRng
    tally: Tally


class _Points(State):
    images: Tensor
    labels: Tensor


class Poll:
    """The search: n0 votes that choose, then up to n fresh ones, fewer where a rule needs no more.

    Args:
        sigma: deviation of the noise, in [0, 1] pixel units.
        n0: votes that choose.
        n: fresh votes at most.
        classes: K.
        rule: when to stop; None for after n.
        lost: which samples need no fresh votes, from the tally of the first draws and the labels; None for none.
    """

    def __init__(self, sigma: float, n0: int, n: int, classes: int, rule: Rule | None, lost: LostLabels | None) -> None:
        self.sigma, self.n0, self.n, self.classes, self.rule, self.lost = sigma, n0, n, classes, rule, lost

    def start(self, samples: _Points, rng: SampleRng) -> Ballot:
        """The empty tallies, without votes."""
        none = torch.zeros(len(samples), self.classes, dtype=torch.int64, device=samples.images.device)
        zero = none[:, 0]
        return Ballot(samples.images, samples.labels, rng, Tally(none, none, zero, zero > 0, zero, widen(zero)))

    def ask(self, state: Ballot) -> Votes:
        """The next draws; a sample's draws are numbered from 0 on, those that choose first."""
        drawn = state.tally.forwards.cpu()
        left = torch.where(drawn < self.n0, self.n0, self.n0 + self.n) - drawn
        return Votes(state.points, state.rng, drawn, left.clamp(max=ASK), self.sigma)

    def tell(self, state: Ballot, answer: Answer) -> Ballot:
        """Count the votes."""
        tally, counts = state.tally, required(answer.counts)
        choosing = (tally.forwards < self.n0)[:, None]
        tally = tally.replace(
            selected=tally.selected + counts * choosing,
            counts=tally.counts + counts * ~choosing,
            blank=tally.blank + required(answer.forwards) - counts.sum(1),
        )
        if self.rule is not None and bool((tally.drawn > 0).any()):
            level, decided = self.rule.decide(tally)
            tally = tally.replace(level=level, decided=decided & (tally.drawn > 0))
        return state.replace(tally=tally)

    def done(self, state: Ballot) -> Tensor:
        """All votes are in, or enough."""
        tally = state.tally
        done = tally.decided | (tally.forwards >= self.n0 + self.n)
        if self.lost is not None:
            done = done | ((tally.forwards >= self.n0) & self.lost(tally, state.labels))
        return done

    def result(self, state: Ballot) -> Tally:
        """The tallies at the end."""
        return state.tally

    def goal(self, state: Ballot) -> Goal | None:
        """No goal, since no single vote ends the search."""
        return None


class LostLabels(Protocol):
    """Which samples need no fresh votes."""

    def __call__(self, tally: Tally, labels: Tensor) -> Tensor:
        """Bool `[N]` from the votes that chose, and the labels (-1 where unknown)."""


def vote(
    oracle: Oracle,
    images: Tensor,
    ids: Sequence[str],
    *,
    sigma: float,
    n0: int,
    n: int,
    seed: int,
    method: str,
    labels: Tensor | None = None,
    rule: Rule | None = None,
    lost: LostLabels | None = None,
    journal: Journal | None = None,
) -> Tally:
    """Count the votes of a model over copies of images with Gaussian noise.

    Args:
        oracle: runs the model and counts its passes.
        images: `[N, C, H, W]`, on its device.
        ids: of the samples; draw j of a sample follows from (seed, method, id, j) alone. Without a journal several
            images may have the same.
        sigma: deviation of the noise, in [0, 1] pixel units.
        n0: votes that choose the candidate.
        n: fresh votes at most.
        seed: the run seed.
        method: name of the stream of randomness.
        labels: int64 `[N]`, for `lost`.
        rule: when a sample has enough; None for after n.
        lost: which samples need no fresh votes.
        journal: where finished samples are stored, and read again.
    """
    classes = oracle.exact(images[:0]).shape[1]
    known = {} if journal is None else journal.found()
    tallies = {}
    for j, record in ((j, known[i]) for j, i in enumerate(ids) if i in known):
        values = {name: torch.tensor([record[name]], device=oracle.device) for name in Tally._names}
        tallies[j] = Tally(**{**values, "seconds": widen(values["seconds"])})
    rest = [j for j in range(len(ids)) if j not in tallies]
    at = torch.tensor(rest, dtype=torch.int64, device=images.device)
    unknown = torch.full((len(images),), -1, device=images.device)
    samples = _Points(images[at], (unknown if labels is None else labels)[at])

    def ended(places: Tensor, outcome: Outcome[Tally]) -> None:
        found = outcome.result.replace(seconds=outcome.seconds)
        for k, place in enumerate(places.tolist()):
            j = rest[place]
            tallies[j] = found[slice(k, k + 1)]
            if journal is not None:
                journal.keep(ids[j], _record(tallies[j]))

    if rest:
        rng = SampleRng.of(seed, method, [ids[j] for j in rest]).to(oracle.device)
        search = Poll(sigma, n0, n, classes, rule, lost)
        with track(f"{method}: votes", len(rest)) as task:
            drive(search, samples, oracle, rng, width=TOGETHER, ended=ended, progress=task)
    if journal is not None:
        journal.flush()
    return Tally.concat([tallies[j] for j in range(len(ids))])


def lower_bound(successes: ArrayLike | Tensor, trials: ArrayLike | Tensor, alpha: float) -> Tensor:
    """The exact lower bound of a binomial share that is wrong with probability alpha at most (Clopper-Pearson).

    Args:
        successes: k, any shape, on any device.
        trials: the same shape, or one number; where 0 the bound is 0.
        alpha: of this bound alone, in (0, 1/2).

    Returns:
        float64, in the common shape, on the CPU.

    >>> round(float(lower_bound(100_000, 100_000, 0.001)), 9)
    0.999930925
    """
    k, m = _counts(successes, trials)
    low = clopper_pearson(k, np.maximum(m, 1), level=1 - 2 * alpha)[0]
    return torch.from_numpy(np.where(m > 0, low, 0.0))


def upper_bound(successes: ArrayLike | Tensor, trials: ArrayLike | Tensor, alpha: float) -> Tensor:
    """The upper confidence bound of a share; 1 where there are no trials. See `lower_bound`."""
    k, m = _counts(successes, trials)
    high = clopper_pearson(k, np.maximum(m, 1), level=1 - 2 * alpha)[1]
    return torch.from_numpy(np.where(m > 0, high, 1.0))


def _counts(*values: ArrayLike | Tensor) -> tuple[NDArray[Any], ...]:
    """Counts as arrays of one shape."""
    return np.broadcast_arrays(*[np.asarray(v.cpu() if isinstance(v, Tensor) else v) for v in values])


def _record(tally: Tally) -> dict[str, object]:
    return {name: getattr(tally, name)[0].tolist() for name in Tally._names}


_MOST = 10**9


def reach(sigma: float, n: int, alpha: float) -> float:
    """The largest l2 radius that n votes certify, all being for one class: `sigma Phi^-1(alpha^(1/n))`.

    Args:
        sigma: deviation of the noise, in [0, 1] pixel units.
        n: fresh votes.
        alpha: failure probability.

    >>> round(reach(0.25, 100_000, 0.001), 4)
    0.9529
    """
    return float(sigma * ndtri(alpha ** (1 / n)))


def votes_for(radius: float, sigma: float, alpha: float) -> int:
    """The fewest votes, all for one class, that certify an l2 radius: `log(alpha) / log(Phi(r/sigma))`.

    >>> votes_for(1.5, 0.5, 0.001)
    5114
    """
    needed = math.log(alpha) / float(log_ndtr(radius / sigma))
    return _MOST + 1 if needed > _MOST else math.floor(needed) + 1


def check_reach(name: str, radii: Sequence[float], *, sigma: float, n: int, alpha: float) -> None:
    """Refuse a run whose votes cannot reach a radius that is asked for.

    Raises:
        ParameterError: with the n, or the sigma, that would do.
    """
    best = reach(sigma, n, alpha)
    farthest = max(radii, default=0.0)
    if best > farthest:
        return
    needed = votes_for(farthest, sigma, alpha)
    message = f"{name}: n={n} votes at alpha={alpha:g} and sigma={sigma:g}"
    if best <= 0:
        raise ParameterError(f"{message} certify nothing, even when all agree: give n={needed} or more")
    way = (
        f"n={needed} or more, or a larger sigma"
        if needed <= _MOST
        else f"a larger sigma, such as {_rounded(farthest / 3)} with a model trained for it"
    )
    raise ParameterError(f"{message} certify a radius of {best:.4g} at most, not {farthest:g}: give {way}")


def _rounded(sigma: float) -> str:
    """Upwards to two digits."""
    digits = 1 - math.floor(math.log10(sigma))
    return f"{math.ceil(sigma * 10**digits) / 10**digits:g}"
