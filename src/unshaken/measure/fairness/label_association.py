"""Which labels a model gives to which groups: association with sets of labels, and rates of single labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from unshaken.core.errors import ParameterError
from unshaken.measure.fairness.group_rates import GroupRates, coded, group_rates
from unshaken.measure.statistics.columns import Flags


def label_hits(
    labels: Sequence[Sequence[str]], wanted: Sequence[Collection[str]], *,
    scores: Sequence[Sequence[float]] | None = None, threshold: float = 0.0,
) -> Flags:  # fmt: skip
    """Whether the labels of each image have one of its set, bool `[N]`.

    Args:
        labels: predicted for each image, such as its first five, `[N]` lists.
        wanted: the set of each image, such as all labels that stand for what it shows.
        scores: of the labels, in [0, 1], of the same form; None where all count.
        threshold: a label counts from this score on; 0 counts all.

    Raises:
        ParameterError: there is no image, lists do not fit, or the threshold is outside [0, 1].

    >>> label_hits([["cat", "slug"], ["face", "hat"]], [{"slug"}, {"slug"}]).tolist()
    [True, False]
    """
    if not len(labels) or len(wanted) != len(labels):
        raise ParameterError(f"{len(wanted)} sets of labels for {len(labels)} images: give one for each, and one image")
    if not 0 <= threshold <= 1:
        raise ParameterError(f"threshold must lie in [0, 1], not {threshold}: scores are probabilities")
    if scores is None:
        if threshold:
            raise ParameterError("a threshold needs scores of the labels: give them, or leave it out")
        return np.array([not set(w).isdisjoint(names) for names, w in zip(labels, wanted, strict=True)], bool)
    if [len(one) for one in scores] != [len(one) for one in labels]:
        raise ParameterError("scores must have one number for each label of each image")
    found = []
    for names, sure, own in zip(labels, scores, wanted, strict=True):
        found.append(any(name in own and score >= threshold for name, score in zip(names, sure, strict=True)))
    return np.array(found, bool)


def label_association(
    labels: Sequence[Sequence[str]], groups: Sequence[object], sets: Mapping[str, Collection[str]], *,
    scores: Sequence[Sequence[float]] | None = None, thresholds: Sequence[float] = (0.0,), **options: Any,
) -> dict[str, dict[float, GroupRates]]:  # fmt: skip
    """How often each group's images get a label of each set, such as names of animals, at each threshold.

    Here a high rate may be the harm: then the group to look at is `best`, that of the largest rate.

    Args:
        labels: predicted for each image, such as its first five, `[N]` lists.
        groups: name of each image's group, `[N]`.
        sets: name of a set to its labels.
        scores: of the labels, in [0, 1], of the same form.
        thresholds: scores from which a label counts. Threshold 0 counts every label: show a sweep.
        options: of `group_rates`, such as `subjects`.

    Returns:
        Set to threshold to rates by group.

    Raises:
        ParameterError: there is no set or no threshold, or arguments do not fit.
    """
    if not sets or not len(thresholds):
        raise ParameterError("give one set of labels and one threshold at least")

    def rates(wanted: Collection[str], threshold: float) -> GroupRates:
        own = [frozenset(wanted)] * len(labels)
        return group_rates(label_hits(labels, own, scores=scores, threshold=threshold), groups, **options)

    return {name: {float(t): rates(wanted, t) for t in thresholds} for name, wanted in sets.items()}


def label_rate_differences(labels: Sequence[Sequence[str]], groups: Sequence[object]) -> dict[str, dict[str, float]]:
    """The rate of each label in a group less the mean of its rates in the other groups.

    A rate is the label's share of all labels that were predicted in the group.

    Args:
        labels: predicted for each image, `[N]` lists.
        groups: name of each image's group, `[N]`.

    Returns:
        Group to label to difference, the largest first.

    Raises:
        ParameterError: lengths differ, there is one group only, or a group has no label.
    """
    names, places = coded("groups", groups)
    if len(labels) != len(places):
        raise ParameterError(f"{len(labels)} lists of labels for {len(places)} groups: give one for each image")
    if len(names) < 2:
        raise ParameterError(f"differences need two groups at least, but all images are of the group {names[0]!r}")
    own = [np.flatnonzero(places == g).tolist() for g in range(len(names))]
    counts = [Counter(label for i in rows for label in labels[i]) for rows in own]
    if empty := [name for name, count in zip(names, counts, strict=True) if not count]:
        raise ParameterError(f"the group {empty[0]!r} has no label at all")
    known = sorted(set().union(*counts))
    rates = np.array([[count[label] / count.total() for label in known] for count in counts])
    found = {}
    for g, name in enumerate(names):
        change = rates[g] - np.delete(rates, g, 0).mean(0)
        order = np.argsort(-change, kind="stable")
        found[name] = {known[i]: float(change[i]) for i in order}
    return found
