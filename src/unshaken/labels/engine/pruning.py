"""Which labels are flagged, once it is known how many of each class are wrong."""

from __future__ import annotations

import numpy as np

from unshaken.labels.engine.confident_joint import Counts
from unshaken.labels.engine.probabilities import BLOCK, Probabilities
from unshaken.measure.statistics.columns import Flags, Indices, Numbers


def keep_one(counts: Counts) -> Counts:
    """Counts that leave each given class one sample at least.

    What the diagonal gains is taken in equal parts from the other counts of the row that are not 0.

    Args:
        counts: `[K, K]`, given label by true class, rows summing to the samples of the class.
    """
    diagonal = np.maximum(counts.diagonal(), 1)
    gained = diagonal - counts.diagonal()
    others = np.maximum(np.count_nonzero(counts, axis=1) - 1, 1)
    left = np.maximum(counts - (gained / others)[:, None], 0)
    np.fill_diagonal(left, diagonal)
    return np.asarray(left, np.int64)


def prune_by_class(own: Numbers, labels: Indices, counts: Counts) -> Flags:
    """For each given class, its lowest probabilities of itself, as many as are counted for other classes.

    Args:
        own: probability of the given label, `[N]`.
        labels: int `[N]`.
        counts: `[K, K]`, given label by true class.
    """
    flagged = np.zeros(len(labels), bool)
    for given, members in _members(labels, counts):
        wrong = len(members) - counts[given, given]
        flagged[members[lowest(own[members], wrong)]] = True
    return flagged


def prune_by_noise_rate(probabilities: Probabilities, labels: Indices, counts: Counts) -> Flags:
    """For each pair of given class i and other class j, the `counts[i, j]` samples with the largest `p_j - p_i`.

    Rows are read class by class, and only of classes that have wrong labels.

    Args:
        probabilities: `[N, K]`.
        labels: int `[N]`.
        counts: `[K, K]`, given label by true class.
    """
    flagged = np.zeros(len(labels), bool)
    for given, members in _members(labels, counts):
        wanted = [j for j in np.flatnonzero(counts[given]).tolist() if j != given]
        if not wanted:
            continue
        margins = np.empty((len(wanted), len(members)))
        rows = max(1, BLOCK // probabilities.classes)
        for start in range(0, len(members), rows):
            p = probabilities.rows(members[start : start + rows])
            margins[:, start : start + rows] = (p[:, wanted] - p[:, [given]]).T
        for margin, other in zip(margins, wanted, strict=True):
            flagged[members[lowest(-margin, counts[given, other])]] = True
    return flagged


def lowest(values: Numbers, count: int) -> Flags:
    """The lowest of some values, of equal ones the first; bool `[n]`.

    Args:
        values: `[n]`.
        count: how many; none if it is 0 or less.
    """
    chosen = np.zeros(len(values), bool)
    chosen[np.argsort(values, kind="stable")[: max(0, int(count))]] = True
    return chosen


def _members(labels: Indices, counts: Counts) -> list[tuple[int, Indices]]:
    """Each class of more than one sample, with these in their order."""
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(labels, minlength=len(counts)))[:-1])
    return [(given, members) for given, members in enumerate(groups) if len(members) > 1]
