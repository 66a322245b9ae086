"""Accuracy disparity: how far apart the accuracies of classes lie, clean or robust, of one model or between two.

A robust figure is made of the same columns as a clean one: `correct` then means correct under the attack as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Flags, Indices, Numbers, flags, integers, same_length
from unshaken.measure.statistics.intervals import Figure, bootstrap_figure, centred_figure, gap_figure, share
from unshaken.measure.statistics.paired import newcombe


@dataclass(frozen=True, slots=True)
class Disparity:
    """How unequal the classes are.

    Args:
        gap: the largest accuracy minus the smallest, in [0, 1]. Picking the extremes of K noisy shares makes it too
            large, `by_chance` says by how much; the lower end of the interval makes up for it, see `gap_figure`.
        by_chance: the mean gap if all classes had the common accuracy, at these counts.
        p_equal: share of such draws whose gap is at least the one found; small means unequal beyond chance.
        deviation: standard deviation of the classes' accuracies (over K, not K - 1).
        worst: accuracy of the worst class, with its Clopper-Pearson interval.
        worst_class: the first of them where several tie.
        best_class: the first of the best classes.
        by_class: accuracy of each class that has a sample.
    """

    gap: Figure
    by_chance: float
    p_equal: float
    deviation: Figure
    worst: Figure
    worst_class: int
    best_class: int
    by_class: dict[int, Figure]


def disparity(
    correct: ArrayLike, labels: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Disparity:
    """Max-min gap, worst class and spread of the classes' accuracies, each class counting once.

    Measure it on balanced data: on imbalanced data the small classes' noise widens the gap.

    Args:
        correct: bool `[N]`.
        labels: int `[N]`, the true classes; two of them at least.
        level: coverage of each interval.
        resamples: bootstrap draws of samples within each class; only the counts are drawn, so that N costs nothing. A
            class that is right on all its samples, or none, has no spread: its draws come from Jeffreys' Beta.
        seed: of the draws.

    Raises:
        ParameterError: there is no sample, a value is missing, lengths differ, or there is one class only.
    """
    names, hits, sizes = _counted(correct, labels, resamples)
    rates = hits / sizes
    rng = np.random.default_rng(seed)
    drawn = rng.binomial(sizes, rates, size=(resamples, len(names))) / sizes
    even = rng.binomial(sizes, hits.sum() / sizes.sum(), size=(resamples, len(names))) / sizes
    drawn = np.where((hits == 0) | (hits == sizes), rng.beta(hits + 0.5, sizes - hits + 0.5, size=drawn.shape), drawn)
    gap, chance = float(np.ptp(rates)), np.ptp(even, axis=1)
    worst = int(rates.argmin())
    n = int(sizes.sum())
    return Disparity(
        gap=gap_figure(gap, np.ptp(drawn, axis=1), chance, n, level=level),
        by_chance=float(chance.mean()),
        p_equal=float((1 + (chance >= gap - 1e-12).sum()) / (1 + resamples)),
        deviation=gap_figure(float(rates.std()), drawn.std(1), even.std(1), n, level=level),
        worst=share(int(hits[worst]), int(sizes[worst]), level=level),
        worst_class=int(names[worst]),
        best_class=int(names[rates.argmax()]),
        by_class={int(c): share(int(k), int(m), level=level) for c, k, m in zip(names, hits, sizes, strict=True)},
    )


def signed_gap(
    correct: ArrayLike,
    labels: ArrayLike,
    *,
    majority: int,
    minority: int,
    level: float = 0.95,
) -> Figure:
    """Accuracy of the majority class minus that of the minority class, in [-1, 1]; the sign is never dropped.

    Args:
        correct: bool `[N]`.
        labels: int `[N]`; samples of other classes are left alone.
        majority: the class that training saw more of.
        minority: the class that it saw less of.
        level: coverage of the interval, Newcombe's hybrid score interval.

    Raises:
        ParameterError: as in `disparity`, or one of the two classes has no sample.
    """
    right, classes = _columns(correct, labels)
    many, few = (_within(right, classes, c) for c in (majority, minority))
    return newcombe((int(many.sum()), int(few.sum())), (len(many), len(few)), level=level)


def gap_change(
    baseline: ArrayLike,
    candidate: ArrayLike,
    labels: ArrayLike,
    *,
    majority: int | None = None,
    minority: int | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Figure:
    """The candidate's disparity minus the baseline's on the same samples: above zero, the candidate is less equal.

    Args:
        baseline: bool `[N]`, correctness of the first model.
        candidate: bool `[N]`, of the second, in the same order.
        labels: int `[N]`.
        majority: with `minority`, compare the signed gap of these two; without, the max-min gap over all classes.
        minority: see `majority`.
        level: coverage of the interval.
        resamples: bootstrap draws of pairs within each class. Where both models agree on all pairs of a class, the
            share on which they do not comes from Jeffreys' Beta, to either side.
        seed: of the draws.

    Raises:
        ParameterError: columns do not fit, one of the two classes is given without the other, or has no sample.
    """
    before, classes = _columns(baseline, labels, resamples)
    after = flags("candidate", candidate)
    same_length(baseline=before, candidate=after)
    if (majority is None) != (minority is None):
        raise ParameterError("give majority and minority together, or neither for the max-min gap over all classes")
    names: list[int] = np.unique(classes).tolist()
    if majority is not None and minority is not None:
        names = [majority, minority]
    if len(names) < 2 or len(set(names)) < 2:
        raise ParameterError(f"a gap needs two classes, not {names}")
    rng = np.random.default_rng(seed)
    values, draws = [], []
    for name in names:
        pairs = 2 * _within(before, classes, name).astype(np.int64) + _within(after, classes, name)
        shares = np.bincount(pairs, minlength=4) / len(pairs)
        drawn = _unseen_change(
            rng.multinomial(len(pairs), shares, size=resamples) / len(pairs), shares, len(pairs), rng
        )
        values.append(np.array([[shares[2] + shares[3], shares[1] + shares[3]]]))
        draws.append(np.stack([drawn[:, 2] + drawn[:, 3], drawn[:, 1] + drawn[:, 3]], 1))

    def change(rates: list[Numbers]) -> Numbers:  # each [B, 2]: baseline and candidate
        table = np.stack(rates)
        gaps = np.ptp(table, axis=0) if majority is None else table[0] - table[1]
        return np.asarray(gaps[:, 1] - gaps[:, 0], np.float64)

    value, n = float(change(values)[0]), int(np.isin(classes, names).sum())
    found = change(draws)
    return (
        centred_figure(value, found, n, level=level)
        if majority is None
        else bootstrap_figure(value, found, n, level=level)
    )


def _unseen_change(drawn: Numbers, shares: Numbers, n: int, rng: np.random.Generator) -> Numbers:
    """Draws of shares of pairs `[B, 4]`, with a change where the class has shown none: resamples would not differ."""
    if shares[1] + shares[2] > 0:
        return drawn
    moved = np.minimum(rng.beta(0.5, n + 0.5, size=len(drawn)), drawn.max(1))
    rows, source = np.arange(len(drawn)), drawn[:, [0, 3]].argmax(1) * 3
    out = drawn.copy()
    out[rows, source] -= moved
    out[rows, np.where(rng.random(len(drawn)) < 0.5, 1, 2)] += moved
    return out


def _columns(correct: ArrayLike, labels: ArrayLike, resamples: int = 1) -> tuple[Flags, Indices]:
    right, classes = flags("correct", correct), integers("labels", labels)
    same_length(correct=right, labels=classes)
    if resamples < 1:
        raise ParameterError(f"resamples must be at least 1, not {resamples}; 2000 is usual")
    return right, classes


def _counted(correct: ArrayLike, labels: ArrayLike, resamples: int) -> tuple[Indices, Indices, Indices]:
    right, classes = _columns(correct, labels, resamples)
    names, codes = np.unique(classes, return_inverse=True)
    if len(names) < 2:
        raise ParameterError(f"a disparity needs two classes at least, but all labels are {names[0]}")
    return names, np.bincount(codes, weights=right).astype(np.int64), np.bincount(codes)


def _within(right: Flags, classes: Indices, name: int) -> Flags:
    chosen: Flags = right[classes == name]
    if not len(chosen):
        raise ParameterError(f"class {name} has no sample; there are {np.unique(classes).tolist()}")
    return chosen
