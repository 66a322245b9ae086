"""Confident counts: how many samples of each given class are confidently of which class (Northcutt et al. 2021).

A sample counts for a class whose probability is at least the mean probability of that class over the samples that bear
its label: `t_k = mean(p_k | given = k)`. Of several such classes the most probable one counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unshaken.labels.engine.probabilities import BLOCK, Probabilities, Summary
from unshaken.measure.statistics.columns import Flags, Indices, Numbers

Counts = NDArray[np.int64]

NOWHERE = -1
"""The confident class of a sample that is confidently of none."""
_EQUAL = 1e-6
_LEAST = 2e-6
_UNREACHED = 2.0


@dataclass(frozen=True, slots=True)
class ConfidentJoint:
    """Confident counts of one set of labels.

    Args:
        thresholds: `[K]`; that of a class that no sample bears is 2, which no probability reaches.
        confident: the class that each sample is confidently of, int `[N]`; -1 for none.
        raw: counts `[K, K]`, given label by confident class, at least 1 on the diagonal.
        counts: `raw` with each row rescaled to the number of samples that bear the label, whole numbers `[K, K]`.
    """

    thresholds: Numbers
    confident: Indices
    raw: Counts
    counts: Counts

    @property
    def joint(self) -> Numbers:
        """Estimated probability of each pair of given and true class, `[K, K]`, summing to 1."""
        return np.asarray(self.counts / self.counts.sum(), np.float64)

    @property
    def noise_rate(self) -> float:
        """Estimated share of wrong labels."""
        return 1.0 - float(np.trace(self.joint))


def confident_joint(
    probabilities: Probabilities, labels: Indices, summary: Summary, *, resolve: str = "probability"
) -> ConfidentJoint:
    """Count in one pass, with memory for the counts and a class a sample.

    Args:
        probabilities: `[N, K]`.
        labels: int `[N]` in 0..K-1.
        summary: of the same probabilities.
        resolve: which class counts where several are confident: the most probable of all (`probability`, as cleanlab
            counts, even where that class is below its own threshold); the most probable of the `confident` ones; or the
            one with the largest `excess` over its threshold.
    """
    thresholds = class_thresholds(summary.own, labels, probabilities.classes)
    confident = np.empty(len(labels), np.int64)
    for part, p in probabilities.blocks():
        confident[part] = confident_classes(p, thresholds, resolve)
    raw = np.zeros((probabilities.classes,) * 2, np.int64)
    sure = confident != NOWHERE
    np.add.at(raw, (labels[sure], confident[sure]), 1)
    np.fill_diagonal(raw, np.maximum(raw.diagonal(), 1))
    return ConfidentJoint(thresholds, confident, raw, calibrated(raw, np.bincount(labels, minlength=len(raw))))


def class_thresholds(own: Numbers, labels: Indices, classes: int) -> Numbers:
    """`t_k`, the mean probability of class k over the samples that bear its label, 2e-6 at least.

    Args:
        own: probability of the given label, `[N]`.
        labels: int `[N]`.
        classes: their number K.
    """
    order = np.argsort(labels, kind="stable")
    ends = np.cumsum(np.bincount(labels, minlength=classes))
    groups = np.split(own[order], ends[:-1])
    means = [group.mean() if len(group) else _UNREACHED for group in groups]
    return np.maximum(means, _LEAST)


def calibrated(counts: Counts, given: Counts) -> Counts:
    """Counts whose rows sum to the number of samples that bear each label.

    Args:
        counts: `[K, K]`, given label by confident class.
        given: samples that bear each label, `[K]`.
    """
    scaled = (counts.T / counts.sum(1) * given).T
    scaled = scaled / scaled.sum() * given.sum()
    return np.stack([round_to_sum(row) for row in scaled])


def round_to_sum(values: Numbers) -> Counts:
    """Whole numbers that sum to the rounded sum of the values: those next to a half give way first.

    >>> round_to_sum(np.array([1.6, 1.3, 0.1])).tolist()
    [2, 1, 0]
    """
    whole = values.round()
    while missing := int(values.sum().round() - whole.sum()):
        step = 1 if missing > 0 else -1
        order = np.argsort(values - whole)[::-step]
        whole[order[: min(abs(missing), len(whole))]] += step
    return np.asarray(whole, np.int64)


def confident_classes(p: Numbers, thresholds: Numbers, resolve: str) -> Indices:
    """The confident class of each row of a block, -1 for none: int `[n]`.

    Args:
        p: probabilities `[n, K]`.
        thresholds: `[K]`.
        resolve: see `confident_joint`.
    """
    reached = p >= thresholds - _EQUAL
    several = reached.sum(1) > 1
    found: Indices = reached.argmax(1)
    if several.any():
        among = p[several] - thresholds if resolve == "excess" else p[several]
        found[several] = (among if resolve == "probability" else np.where(reached[several], among, -np.inf)).argmax(1)
    found[~reached.any(1)] = NOWHERE
    return found


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
