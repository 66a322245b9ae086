"""How far readers agree beyond chance: Cohen's kappa of two, Krippendorff's alpha of any number.

Answers are categories without order. Both are 1 for full agreement and 0 for that of chance, and undefined (None) where
all answers are the same, for chance alone would give that too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Indices, Numbers
from unshaken.measure.statistics.intervals import Figure, bootstrap_figure, missed_share, no_spread

NONE = -1
"""Stands for an answer that a reader has not given."""
RESAMPLES = 1000


def kappa_figure(first: Indices, second: Indices, *, resamples: int = RESAMPLES, seed: int = 0) -> Figure | None:
    """Cohen's kappa of two readers over the items that both have answered, with a bootstrap interval over items.

    `(p_o - p_e) / (1 - p_e)`, where `p_o` is the share of items on which they agree, and `p_e` the share that would be
    by chance, each reader's answers being as frequent as they are.

    Args:
        first: categories 0 to K-1 of each item by one reader, -1 where there is none, int `[N]`.
        second: by the other reader, in the same order of items.
        resamples: number of draws.
        seed: of the draws.

    Returns:
        The figure, at most 1; None where no item has both answers, or all have the same.

    Source: Cohen 1960, Educational and Psychological Measurement 20(1).

    >>> kappa_figure(np.array([0] * 25 + [1] * 25), np.array([0] * 20 + [1] * 5 + [0] * 10 + [1] * 15)).value
    0.4
    """
    table = _confusions(_checked(np.stack([first, second])))
    (value,) = _kappa(table[None])
    if value is None:
        return None
    draws = _redrawn(table.ravel(), resamples, seed).reshape(resamples, *table.shape)
    n, k = int(table.sum()), len(table)

    def others(missed: float) -> list[float | None]:
        rare = _rarest(table.sum(0) + table.sum(1))
        cells = [np.outer(np.eye(k)[i], np.eye(k)[j]) for i in rare for j in rare]
        return [_kappa(((1 - missed) * table + missed * n * cell)[None])[0] for cell in cells]

    return _figure(value, _kappa(draws), n, others)


def alpha_figure(answers: Indices, *, resamples: int = RESAMPLES, seed: int = 0) -> Figure | None:
    """Krippendorff's alpha of any number of readers, with answers missing, and a bootstrap interval over items.

    `1 - D_o / D_e`: each item with `m >= 2` answers gives its ordered pairs the weight `1 / (m - 1)`; `D_o` is the
    weighted share of pairs that differ, `D_e` the share of differing pairs among all answers of these items.

    Args:
        answers: category 0 to K-1 of each item by each reader, -1 where there is none, int `[R, N]`.
        resamples: number of draws.
        seed: of the draws.

    Returns:
        The figure, at most 1; None where no item has two answers, or all answers are the same.

    Source: Krippendorff 2011, Computing Krippendorff's Alpha-Reliability.
    """
    counts = _counts(_checked(answers))
    value = _alpha(counts, np.ones(len(counts)))
    if value is None:
        return None
    kinds, times = np.unique(counts, axis=0, return_counts=True)  # items with the same answers are alike
    draws = [_alpha(kinds, weights) for weights in _redrawn(times, resamples, seed)]

    def others(missed: float) -> list[float | None]:
        # as many answers as the fullest item has, all in one category or half in each of two
        m, k, rare = kinds.sum(1).max(), kinds.shape[1], _rarest(kinds.sum(0))
        items = [(m // 2) * np.eye(k)[i] + (m - m // 2) * np.eye(k)[j] for i in rare for j in rare]
        weights = np.append((1 - missed) * times, missed * len(counts))
        return [_alpha(np.vstack([kinds, one]), weights) for one in items]

    return _figure(value, draws, len(counts), others)


def _checked(answers: Indices) -> Indices:
    found = np.asarray(answers)
    if found.ndim != 2 or not np.issubdtype(found.dtype, np.integer) or (found < NONE).any():
        raise ParameterError("answers are whole numbers from 0, or -1 for none: one row a reader, one column an item")
    return found


def _confusions(answers: Indices) -> Indices:
    """How often the two readers gave each pair of answers, `[K, K]`."""
    first, second = answers[:, (answers != NONE).all(0)]
    k = int(answers.max(initial=0)) + 1
    return np.bincount(first * k + second, minlength=k * k).reshape(k, k)


def _kappa(tables: Numbers | Indices) -> list[float | None]:
    """Kappa of each table of confusions, `[B, K, K]`."""
    n = tables.sum((1, 2))
    n2 = np.maximum(n, 1) ** 2
    observed = tables.trace(axis1=1, axis2=2) * np.maximum(n, 1)
    chance = (tables.sum(1) * tables.sum(2)).sum(1)
    return [
        None if total == 0 or c == square else float((o - c) / (square - c))
        for o, c, total, square in zip(observed, chance, n, n2, strict=True)
    ]


def _counts(answers: Indices) -> Numbers:
    """How many readers gave each category, for each item with two answers or more: `[N, K]`."""
    k = int(answers.max(initial=0)) + 1
    counts = np.stack([(answers == c).sum(0) for c in range(k)], 1).astype(float)
    shared: Numbers = counts[counts.sum(1) >= 2]
    return shared


def _alpha(counts: Numbers, weights: Numbers | Indices) -> float | None:
    """Alpha of items that stand for several each."""
    m = counts.sum(1)
    totals = weights @ counts
    n = totals.sum()
    pairs = n * (n - 1)
    differing = n**2 - (totals**2).sum()
    if not pairs or not differing:
        return None
    observed = (weights * (m**2 - (counts**2).sum(1)) / (m - 1)).sum() / n
    return float(1 - observed * pairs / differing)


def _rarest(counts: Numbers | Indices) -> list[int]:
    """The categories that occur least, at most ten: answers otherwise change agreement most there."""
    return [int(i) for i in np.argsort(counts, kind="stable") if counts[i]][:10]


def _redrawn(counts: Indices, resamples: int, seed: int) -> Indices:
    """Counts of as many items drawn with replacement, `[B, ...]`."""
    n = int(counts.sum())
    return np.random.default_rng(seed).multinomial(n, counts / n, size=resamples)


def _figure(value: float, draws: list[float | None], n: int, others: Callable[[float], list[float | None]]) -> Figure:
    """A draw without a value, in which all answers are the same, counts as full agreement.

    Where no draw differs, `others` gives the values if as large a share of items as n can miss is answered otherwise.
    """
    found, ends = _or_one(draws), (-math.inf, math.inf)
    if no_spread(found):
        possible = _or_one(others(missed_share(n)))
        ends = float(possible.min()), float(possible.max())
    return bootstrap_figure(value, found, n, ends=ends)


def _or_one(values: list[float | None]) -> Numbers:
    return np.array([1.0 if v is None else v for v in values])


STEPS = 500
TOLERANCE = 1e-8
"""Change of the log-likelihood of an answer at which the estimate is final."""


@dataclass(frozen=True, slots=True)
class DawidSkene:
    """True answers and each reader's errors, estimated from the answers of several readers.

    Args:
        posterior: probability of each category for each item, `[N, K]`; rows of items without an answer are the shares.
        shares: of the categories, `[K]`.
        confusions: probability that a reader answers the column where the row is true, `[R, K, K]`.
        log_likelihood: of the answers, as it rose from step to step.
    """

    posterior: Numbers
    shares: Numbers
    confusions: Numbers
    log_likelihood: tuple[float, ...]

    @property
    def accuracy(self) -> Numbers:
        """The probability that each reader's answer is right, `[R]`."""
        right: Numbers = np.einsum("k,rkk->r", self.shares, self.confusions)
        return right


def dawid_skene(answers: Indices, classes: int, *, steps: int = STEPS) -> DawidSkene:
    """Estimate true categories and each reader's confusions; it begins with the shares of the answers of each item.

    The step M sets shares and confusions to their weighted frequencies, the step E each item's posterior to
    `p_k prod_r pi_r[k, answer]`. Zero frequencies stay zero.

    Args:
        answers: category 0 to K-1 of each item by each reader, -1 where there is none, int `[R, N]`.
        classes: number of categories K.
        steps: most steps.

    Raises:
        ParameterError: there is no answer, or one outside the categories.

    Source: Dawid & Skene 1979, Applied Statistics 28(1).
    """
    found = np.asarray(answers)
    if found.ndim != 2 or not (found >= 0).any() or found.max() >= classes or found.min() < -1:
        raise ParameterError(
            f"answers are -1 or 0 to {classes - 1}, one row a reader and one column an item; at least one"
        )
    given = (found[..., None] == np.arange(classes)).astype(float)  # [R, N, K]
    votes = given.sum(0)
    known = votes.sum(1) > 0
    posterior = votes[known] / votes[known].sum(1, keepdims=True)
    given, likelihoods = given[:, known], list[float]()
    for _ in range(steps):
        shares = posterior.mean(0)
        joint = np.einsum("nk,rnl->rkl", posterior, given)
        totals = joint.sum(2, keepdims=True)
        confusions = np.divide(joint, totals, out=np.full_like(joint, 1 / classes), where=totals > 0)
        with np.errstate(divide="ignore"):
            finite = np.log(np.maximum(confusions, 1e-300))  # no minus infinity, so that 0 times it is 0
            logs = np.log(shares) + np.einsum("rnl,rkl->nk", given, finite)
        top = logs.max(1, keepdims=True)
        weights = np.exp(logs - top)
        likelihoods.append(float((top[:, 0] + np.log(weights.sum(1))).sum()))
        posterior = weights / weights.sum(1, keepdims=True)
        if len(likelihoods) > 1 and likelihoods[-1] - likelihoods[-2] <= TOLERANCE * found.size:
            break
    whole = np.tile(shares, (found.shape[1], 1))
    whole[known] = posterior
    return DawidSkene(whole, shares, confusions, tuple(likelihoods))
