"""Drift of the accepted share in a stream of normal samples: windows to look at, and an alarm that may be watched.

The interval of a window covers by itself, and some of many windows miss by chance. The alarm is valid at every moment
at once: over the whole stream, however long, it rings falsely with probability alpha at most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Flags, Numbers, finite_numbers, flags, numbers, same_length
from unshaken.measure.statistics.intervals import Figure, clopper_pearson, percent

_BETS = 8


@dataclass(frozen=True, slots=True)
class Window:
    """One window of the stream.

    Args:
        start: index of its first sample.
        stop: index after its last sample.
        first_time: time of its first sample; None without times.
        last_time: time of its last sample; None without times.
        share: accepted share, with a Clopper-Pearson interval.
    """

    start: int
    stop: int
    first_time: float | None
    last_time: float | None
    share: Figure


@dataclass(frozen=True, slots=True, eq=False)
class Drift:
    """A stream against its promise.

    Args:
        promised: the share of samples that was to be accepted at least.
        alpha: the chance of a false alarm in the whole stream, at most.
        windows: all windows in order; the last one may be shorter.
        alarm: index of the first sample at which the evidence reached `1/alpha`; None if it never did.
        log10_evidence: `[T]`, logarithm of the evidence against the promise after each sample.
    """

    promised: float
    alpha: float
    windows: tuple[Window, ...]
    alarm: int | None
    log10_evidence: Numbers


def drift(
    accepted: ArrayLike,
    *,
    promised: float = 0.95,
    window: int = 100,
    times: ArrayLike | None = None,
    alpha: float = 0.01,
    level: float = 0.95,
) -> Drift:
    """Accepted share over windows of a stream, and the first moment at which it is certainly below its promise.

    A conformal threshold promises its share over all calibrations; given one calibration set the share is below the
    promise nearly half of the time, if by little. An alarm that should be quiet while nothing has changed needs a
    threshold with `confidence`, or a `promised` somewhat below the share that was asked for.

    Args:
        accepted: bool `[T]`, in the order of time.
        promised: the least share of samples accepted, in (0, 1).
        window: samples a window, at least 1.
        times: `[T]`, finite and never falling, in any unit; they label the windows.
        alpha: the chance of a false alarm over the whole stream, in (0, 1).
        level: coverage of each window's interval.

    Raises:
        ParameterError: there is no sample, a value is missing, lengths differ, times fall, or a parameter is out of
            range.

    >>> result = drift([1] * 300 + [0, 1] * 50, promised=0.9)
    >>> [w.share.value for w in result.windows], result.alarm
    ([1.0, 1.0, 1.0, 0.5], 330)
    """
    admitted = flags("accepted", accepted)
    if window < 1:
        raise ParameterError(f"window must be at least 1 sample, not {window}; 100 is usual")
    clock = None if times is None else _clock(admitted, times)
    starts = np.arange(0, len(admitted), window)
    stops = np.minimum(starts + window, len(admitted))
    hits = np.add.reduceat(admitted.astype(np.int64), starts)
    sizes, method = stops - starts, f"clopper-pearson {percent(level)}"
    low, high = clopper_pearson(hits, sizes, level=level)
    windows = tuple(
        Window(
            i,
            j,
            None if clock is None else float(clock[i]),
            None if clock is None else float(clock[j - 1]),
            Figure(k / n, lower, upper, n, method),
        )
        for i, j, k, n, lower, upper in zip(*(x.tolist() for x in (starts, stops, hits, sizes, low, high)), strict=True)
    )
    evidence = log_evidence(admitted, promised=promised)
    if not 0 < alpha < 1:
        raise ParameterError(f"alpha must lie inside (0, 1), not {alpha}; 0.01 is usual")
    reached = evidence >= -math.log(alpha)
    alarm = int(reached.argmax()) if reached.any() else None
    return Drift(promised, alpha, windows, alarm, evidence / math.log(10))


def log_evidence(accepted: ArrayLike, *, promised: float) -> Numbers:
    """Natural logarithm of an e-process against "each sample is accepted with probability `promised` or more".

    The stake is split over moments j at which the share may have dropped (`w_j = 1/(j (j + 1))`, j = 1, 2, ...) and
    over shares q that it may have dropped to; each part is the likelihood ratio of Bernoulli(q) to Bernoulli(p) from
    j on:

        `E_t = 1/(t + 1) + mean over q of S_t(q)`, with `S_t = (S_(t-1) + w_t) q(x_t) / p(x_t)`, `S_0 = 0`

    Under the promise, whatever the past, no ratio is above 1 on average, so E is a supermartingale from 1 and exceeds
    `1/alpha` at any time at all with probability alpha at most (Ville). The flagged share 1 - q takes eight values,
    even on a logarithmic scale between `1 - promised` and 1.

    Args:
        accepted: bool `[T]`.
        promised: p in (0, 1).

    Returns:
        `[T]`, above `-log(t + 1)`.

    Raises:
        ParameterError: there is no sample, a value is missing, or the share is out of range.

    Source: Ville 1939; Shin, Ramdas & Rinaldo 2024, NEJSDS (sums over the moment of change); Ramdas et al. 2023,
    Statistical Science 38(4) (betting and e-processes).
    """
    admitted = flags("accepted", accepted)
    if not 0 < promised < 1:
        raise ParameterError(f"promised must lie inside (0, 1), not {promised}; 0.95 is usual")
    t = np.arange(1, len(admitted) + 1)
    log_stake = -np.log(t) - np.log1p(t)
    flagged = (1 - promised) ** (1 - np.arange(1, _BETS + 1) / (_BETS + 1))
    parts = [-np.log1p(t)]
    for r in flagged.tolist():
        ratio = np.cumsum(np.where(admitted, math.log((1 - r) / promised), math.log(r / (1 - promised))))
        before = np.append(0.0, ratio[:-1])
        parts.append(ratio + np.logaddexp.accumulate(log_stake - before) - math.log(_BETS))
    return np.asarray(np.logaddexp.reduce(np.stack(parts)))


def _clock(admitted: Flags, times: ArrayLike) -> Numbers:
    clock = finite_numbers("times", times)
    same_length(accepted=admitted, times=clock)
    falls = np.flatnonzero(np.diff(clock) < 0)
    if len(falls):
        i = int(falls[0])
        raise ParameterError(f"times must never fall, but {clock[i + 1]:g} follows {clock[i]:g}; sort the stream first")
    return clock


def window_alarm(rejected: ArrayLike, samples: ArrayLike, *, most: float, alpha: float = 0.01) -> int | None:
    """The first window in which more samples were rejected than the promise allows, whatever chance may do.

    Window t is tested at `alpha / (t (t + 1))`, t = 1, 2, ..., by the binomial tail of its count; these sum to alpha,
    so that a stream that keeps its promise rings with probability alpha at most, however long it is watched. Where
    the rows of all samples are there, `unshaken.measure.detection.drift` finds smaller changes.

    Args:
        rejected: `[W]`, rejected samples of each window, in the order of time.
        samples: `[W]`, samples of each window.
        most: the promised share of rejected samples at most, in (0, 1).
        alpha: chance of a false alarm over the whole stream, in (0, 1).

    Returns:
        Its index; None for none.

    Raises:
        ParameterError: lengths differ, a count is above its samples, or a share is outside (0, 1).

    >>> window_alarm([5, 4, 30], [100, 100, 100], most=0.05)
    2
    """
    counts, sizes = numbers("rejected", rejected, low=0), numbers("samples", samples, low=0)
    same_length(rejected=counts, samples=sizes)
    if not (0 < most < 1 and 0 < alpha < 1):
        raise ParameterError(f"most={most} and alpha={alpha} must lie inside (0, 1)")
    if (counts > sizes).any():
        raise ParameterError("a window has more rejected samples than samples")
    t = np.arange(1, len(counts) + 1)
    rings = scipy.stats.binom.sf(counts - 1, sizes, most) <= alpha / (t * (t + 1))
    return int(rings.argmax()) if rings.any() else None


@dataclass(frozen=True, slots=True)
class ShareAlarm:
    """A category whose share in a stream is not that of the reference.

    Args:
        category: its index.
        window: the first window that shows it.
        more: whether the share is higher there; else it is lower.
        least: share of the category that the reference allows at least.
        most: at most.
    """

    category: int
    window: int
    more: bool
    least: float
    most: float


def share_alarms(
    counts: ArrayLike, samples: ArrayLike, reference: ArrayLike, reference_samples: int, *, alpha: float = 0.01
) -> list[ShareAlarm]:
    """Categories whose share in the windows of a stream is above or below what a reference allows.

    The reference's samples bound each share from both sides (Clopper-Pearson, at `alpha / 4C` an end of C categories);
    each category is then watched by `window_alarm` for more than the upper end, and for less than the lower, at
    `alpha / 4C` too. Where stream and reference have one source, any alarm at all, over all categories and however
    long a stream, has a chance of alpha at most.

    Args:
        counts: `[W, C]`, samples of each category in each window, in the order of time; categories may overlap.
        samples: `[W]`, samples of each window.
        reference: `[C]`, samples of each category in the reference.
        reference_samples: of the reference.
        alpha: chance of any false alarm, in (0, 1).

    Returns:
        In the order of the windows.

    Raises:
        ParameterError: shapes do not fit, or a count is above its samples.

    >>> [(a.category, a.window, a.more) for a in share_alarms([[50, 50], [5, 95]], [100, 100], [500, 500], 1000)]
    [(0, 1, False), (1, 1, True)]
    """
    table, of, sizes = np.asarray(counts, np.float64), numbers("reference", reference, low=0), numbers("n", samples)
    if table.ndim != 2 or table.shape != (len(sizes), len(of)):
        raise ParameterError(
            f"counts {list(table.shape)} must have a row for each of {len(sizes)} windows and a column for each of "
            f"{len(of)} categories"
        )
    if (of > reference_samples).any():
        raise ParameterError(f"a category has more samples than the reference, which has {reference_samples}")
    each = alpha / (4 * len(of))
    low, high = clopper_pearson(of, np.full(len(of), reference_samples), level=1 - 2 * each)
    found = []
    for category, (least, most) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        own = table[:, category]
        sides = [(True, own, most), (False, sizes - own, 1 - least)]
        for more, column, bound in sides:
            if 0 < bound < 1 and (window := window_alarm(column, sizes, most=bound, alpha=each)) is not None:
                found.append(ShareAlarm(category, window, more, least, most))
    return sorted(found, key=lambda one: (one.window, one.category))
