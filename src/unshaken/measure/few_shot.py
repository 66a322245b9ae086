"""Accuracy over episodes, with intervals that know that episodes share their classes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.statistics.intervals import Figure, bootstrap_figure, percent
from unshaken.measure.statistics.means import alike_figure


def episode_accuracy(
    correct: ArrayLike, classes: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Figure:
    """The mean accuracy over episodes; its interval is over episodes *and* classes.

    Episodes are drawn from one pool of classes, so that they are not independent: more episodes narrow the usual
    interval (see `over_episodes`) to nothing, though another pool of classes would give another mean. Here episodes
    and classes are both drawn anew, independently, and each entry counts by the product of its two weights (the
    pigeonhole bootstrap, which is somewhat wide). Where no draw differs, it is the interval of as many classes, or
    episodes where those are fewer, that all show the same: see `alike_figure`.

    Args:
        correct: bool `[E, N, Q]`, or shares `[E, N]`: queries of E episodes of N classes.
        classes: labels, int `[E, N]`.
        level: coverage.
        resamples: draws.
        seed: of the draws.

    Returns:
        The figure; n counts episodes.

    Raises:
        ParameterError: shapes do not fit, or there is no episode.

    Source: Owen 2007, The pigeonhole bootstrap, arXiv:0712.1111.
    """
    table, there = _by_class(correct, classes)
    return _figure(table, there, 0.0, level, resamples, seed)


def episode_difference(
    baseline: ArrayLike, candidate: ArrayLike, classes: ArrayLike, *, level: float = 0.95, seed: int = 0
) -> Figure:
    """The candidate's accuracy less the baseline's on the same episodes; arguments as for `episode_accuracy`."""
    table, there = _by_class(_shares(candidate) - _shares(baseline), classes)
    return _figure(table, there, -1.0, level, 2000, seed)


def over_episodes(correct: ArrayLike) -> Figure:
    """The mean accuracy with the usual interval of publications, `1.96 std / sqrt(E)`, over episodes alone.

    Args:
        correct: as in `episode_accuracy`; or the accuracies of episodes, `[E]`.

    >>> figure = over_episodes([0.4, 0.6])
    >>> round(figure.value, 4), round(figure.high - figure.value, 4)
    (0.5, 0.1386)
    """
    values = np.asarray(correct, np.float64)
    means = values.reshape(len(values), -1).mean(1)
    half, value = 1.96 * float(means.std()) / math.sqrt(len(means)), float(means.mean())
    return Figure(value, value - half, value + half, len(means), "normal 95% over episodes")


def _figure(table: Numbers, there: Numbers, least: float, level: float, resamples: int, seed: int) -> Figure:
    """The mean over entries `[E, C]` that are there, in [least, 1], with the pigeonhole bootstrap's interval."""
    value = float(table.sum() / there.sum())
    rng = np.random.default_rng(seed)
    episodes, names = table.shape
    draws = []
    for _ in range(resamples):
        w = np.bincount(rng.integers(episodes, size=episodes), minlength=episodes).astype(float)
        v = np.bincount(rng.integers(names, size=names), minlength=names).astype(float)
        total = float(w @ there @ v)
        draws.append(float(w @ table @ v) / total if total else value)
    alike = alike_figure(value, min(table.shape), low=least, high=1.0, level=level)
    found = bootstrap_figure(
        value, np.array(draws), episodes, units=table.size, level=level, ends=(alike.low, alike.high)
    )  # entries: wide as it is, it needs no more for few episodes
    method = f"pigeonhole bootstrap {percent(level)} ({resamples}) over episodes and classes"
    return Figure(found.value, found.low, found.high, found.n, method)


def _shares(correct: ArrayLike) -> Numbers:
    values = np.asarray(correct, np.float64)
    return values.mean(2) if values.ndim == 3 else values


def _by_class(correct: ArrayLike, classes: ArrayLike) -> tuple[Numbers, Numbers]:
    """Shares by episode and class `[E, C]`, 0 where the class is absent, and 1 where it is there."""
    shares, labels = _shares(correct), np.asarray(classes)
    if shares.ndim != 2 or shares.shape != labels.shape or not shares.size:
        raise ParameterError(f"correct {shares.shape} and classes {labels.shape} must both be [E, N], E at least 1")
    names, columns = np.unique(labels, return_inverse=True)
    columns = columns.reshape(labels.shape)
    table, there = np.zeros((len(labels), len(names))), np.zeros((len(labels), len(names)))
    rows = np.arange(len(labels))[:, None]
    table[rows, columns], there[rows, columns] = shares, 1.0
    return table, there
