"""Fairness over groups: rates and their gaps, labels given by group, retrieved neighbours, and usual buckets."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Flags, Indices, Numbers, numbers, same_length
from unshaken.measure.statistics.intervals import (
    Figure,
    bootstrap_figure,
    bootstrap_means,
    centred_figure,
    gap_figure,
    missed_share,
    share,
)

SMALL_GROUP = 30
"""Subjects below which a group's rate says little, and makes the gap wide by chance."""


@dataclass(frozen=True, slots=True)
class GroupRates:
    """How a rate differs between groups.

    Args:
        rates: mean of each group, in order of their names; `n` counts images. Clopper and Pearson's interval where each
            image is a subject of its own and each value 0 or 1; else by resampling subjects.
        gap: largest rate less smallest, in [0, 1]. The extremes of several noisy rates are too far apart; the interval
            makes up for it, see `gap_figure`.
        ratio: smallest rate over largest; None where the largest is 0.
        worst: the group of the smallest rate; the first where several tie.
        best: the group of the largest.
        subjects: number in each group.
        small: groups of fewer subjects than were asked for: read their rates, and the gap, with care.
    """

    rates: dict[str, Figure]
    gap: Figure
    ratio: Figure | None
    worst: str
    best: str
    subjects: dict[str, int]
    small: tuple[str, ...]


def group_rates(
    values: ArrayLike, groups: Sequence[object] | NDArray[np.object_], *, subjects: Sequence[object] | None = None,
    least: int = SMALL_GROUP, level: float = 0.95, resamples: int = 2000, seed: int = 0,
) -> GroupRates:  # fmt: skip
    """The mean of an outcome in each group, and how far the groups are apart.

    Subjects are resampled, not images: many photos of one person are one person. Those that occur in the same groups
    are resampled together, so that groups made of the same subjects (the same images, darker) are compared in pairs.

    Args:
        values: of the images, in [0, 1], such as whether an image was recognised, `[N]`.
        groups: name of each image's group, `[N]`; two groups at least.
        subjects: who or what each image shows, `[N]`; None where each is another one.
        least: subjects below which a group is listed as small.
        level: coverage of each interval.
        resamples: bootstrap draws of subjects.
        seed: of the draws.

    Raises:
        ParameterError: a value is missing or outside [0, 1], a group has no name, lengths differ, or there is one
            group only.
    """
    column = numbers("values", values, low=0, high=1)
    names, places = coded("groups", groups)
    owners = np.arange(len(column)) if subjects is None else coded("subjects", subjects)[1]
    same_length(values=column, groups=places, subjects=owners)
    if len(names) < 2:
        raise ParameterError(f"a disparity needs two groups at least, but all images are of the group {names[0]!r}")
    if resamples < 1:
        raise ParameterError(f"resamples must be at least 1, not {resamples}; 2000 is usual")
    sums, sizes = _by_subject(column, owners, places), _by_subject(np.ones_like(column), owners, places)
    rates, counts = sums.sum(0) / sizes.sum(0), sizes.sum(0).astype(int).tolist()
    people = (sizes > 0).sum(0).tolist()
    draws = _resampled(sums, sizes, resamples, seed)
    plain = bool((sizes.sum(1) == 1).all() and np.isin(column, (0, 1)).all())
    figures = {
        name: share(round(sums[:, g].sum()), counts[g], level=level)
        if plain
        else bootstrap_figure(float(rates[g]), draws[:, g], counts[g], units=people[g], level=level)
        for g, name in enumerate(names)
    }
    n = len(column)
    low, high, even = draws.min(1), draws.max(1), np.ptp(draws - draws.mean(0), axis=1)
    value, gap = float(rates.max()), float(np.ptp(rates))
    missed = missed_share(min(people), level=level)  # where no resample differs, as between the same images twice
    ratio = None
    if value > 0 and (some := high > 0).any():
        worst = float(rates.min())
        ends = worst * (1 - missed) / (value * (1 - missed) + missed), 1.0
        ratio = centred_figure(worst / value, low[some] / high[some], n, level=level, low=0.0, ends=ends)
        if (even >= gap - 1e-12).mean() > 1 - level:
            ratio = replace(ratio, high=max(1.0, ratio.high))  # equal rates would often show as much
    return GroupRates(
        rates=figures,
        gap=gap_figure(gap, high - low, even, n, level=level, ends=(gap - missed, gap + missed)),
        ratio=ratio,
        worst=names[int(rates.argmin())],
        best=names[int(rates.argmax())],
        subjects=dict(zip(names, people, strict=True)),
        small=tuple(name for name, count in zip(names, people, strict=True) if count < least),
    )


def coded(what: str, values: Sequence[object] | NDArray[np.object_]) -> tuple[list[str], Indices]:
    """Names in their order, and the place of each value among them.

    Args:
        what: what to call the values in a message.
        values: of the images, `[N]`; each is read as text.

    Raises:
        ParameterError: there is none, or one is missing.
    """
    texts = ["" if v is None or v != v else str(v).strip() for v in values]
    if not texts:
        raise ParameterError(f"{what} is empty: there is no image to measure")
    if "" in texts:
        raise ParameterError(
            f"{what} has {texts.count('')} missing names in {len(texts)}: leave these images out, or give them a name"
        )
    names, places = np.unique(np.array(texts), return_inverse=True)
    return [str(name) for name in names], np.asarray(places, np.int64)


def mean_by_subject(
    values: ArrayLike, subjects: Sequence[object] | None = None, *, level: float = 0.95, resamples: int = 2000,
    seed: int = 0,
) -> Figure:  # fmt: skip
    """The mean over images, with its interval by resampling subjects.

    Args:
        values: in [0, 1], `[N]`.
        subjects: who or what each image shows, `[N]`; None where each is another one.
        level: coverage of the interval.
        resamples: bootstrap draws.
        seed: of the draws.

    Raises:
        ParameterError: a value is missing or outside [0, 1], or lengths differ.
    """
    column = numbers("values", values, low=0, high=1)
    owners = np.arange(len(column)) if subjects is None else coded("subjects", subjects)[1]
    same_length(values=column, subjects=owners)
    whole = np.zeros(len(column), np.int64)
    sums, sizes = _by_subject(column, owners, whole), _by_subject(np.ones_like(column), owners, whole)
    draws = _resampled(sums, sizes, resamples, seed)[:, 0]
    return bootstrap_figure(float(column.mean()), draws, len(column), units=len(sizes), level=level)


def _by_subject(values: Numbers, owners: Indices, places: Indices) -> Numbers:
    """Sums by subject and group, `[S, G]`."""
    found = np.zeros((int(owners.max()) + 1, int(places.max()) + 1))
    np.add.at(found, (owners, places), values)
    return found


def _resampled(sums: Numbers, sizes: Numbers, resamples: int, seed: int) -> Numbers:
    """Rates of resamples, `[B, G]`: subjects drawn among those that occur in the same groups."""
    _, strata = np.unique(sizes > 0, axis=0, return_inverse=True)
    totals = np.zeros((resamples, 2 * sums.shape[1]))
    for stratum in range(int(strata.max()) + 1):
        own = strata.ravel() == stratum
        columns = np.concatenate([sums[own], sizes[own]], 1)
        totals += own.sum() * bootstrap_means(columns, resamples=resamples, seed=seed + stratum)
    hits, counts = np.split(totals, 2, axis=1)
    return _spread_out(np.asarray(hits / counts, np.float64), sums, sizes, seed)


def _spread_out(draws: Numbers, sums: Numbers, sizes: Numbers, seed: int) -> Numbers:
    """The draws, where those of a group whose subjects are all alike come from Jeffreys' Beta: resamples do not differ.

    Four misses of four do not show that the rate is 0.
    """
    rng = np.random.default_rng(seed)
    for g in range(sums.shape[1]):
        own = sizes[:, g] > 0
        each = sums[own, g] / sizes[own, g]
        if np.ptp(each) == 0:
            n = int(own.sum())
            draws[:, g] = rng.beta(n * each[0] + 0.5, n * (1 - each[0]) + 0.5, len(draws))
    return draws


def label_hits(
    labels: Sequence[Sequence[str]], wanted: Sequence[Collection[str]], *,
    scores: Sequence[Sequence[float]] | None = None, threshold: float = 0.0,
) -> Flags:  # fmt: skip
    """The images that are given a label of their set, bool `[N]`.

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


DEPTHS = (1, 5, 10, 50)
"""Numbers of neighbours that are usual."""


def precision_at(queries: Sequence[object], neighbours: ArrayLike, k: int) -> Numbers:
    """The share of each query's first k neighbours that have its attribute, `[Q]`.

    Args:
        queries: attribute of each query, `[Q]`.
        neighbours: attributes of the nearest images, the nearest first, `[Q, D]`.
        k: from 1 to D.

    Raises:
        ParameterError: shapes do not fit, or k is outside 1 to D.

    >>> precision_at(["F"], [["F", "F", "M", "F", "M"]], 5).tolist()
    [0.6]
    """
    table, asked = np.asarray(neighbours), np.asarray(queries)
    if table.ndim != 2 or len(table) != len(asked) or not len(asked):
        raise ParameterError(f"neighbours must be [Q, D] for {len(asked)} queries, not {table.shape}")
    if not 1 <= k <= table.shape[1]:
        raise ParameterError(f"k must lie in 1 to {table.shape[1]}, the neighbours that there are, not {k}")
    return np.asarray((table[:, :k] == asked[:, None]).mean(1), np.float64)


def neighbour_agreement(
    queries: Sequence[object], neighbours: ArrayLike, groups: Sequence[object], *, depths: Sequence[int] = DEPTHS,
    subjects: Sequence[object] | None = None, **options: Any,
) -> dict[int, tuple[Figure, GroupRates]]:  # fmt: skip
    """Precision at each depth: that of all queries, and of each group.

    Args:
        queries: attribute of each query, `[Q]`.
        neighbours: attributes of the nearest images, the nearest first, `[Q, D]`.
        groups: name of each query's group, `[Q]`; may be the attribute itself.
        depths: numbers of neighbours; those beyond D are left out.
        subjects: of the queries; see `group_rates`.
        options: of `group_rates`.

    Raises:
        ParameterError: shapes do not fit, or no depth is within D.
    """
    deep = [k for k in depths if 1 <= k <= np.asarray(neighbours).shape[-1]]
    if not deep:
        raise ParameterError(f"no depth of {list(depths)} is within the {np.asarray(neighbours).shape[-1]} neighbours")
    found = {}
    for k in deep:
        values = precision_at(queries, neighbours, k)
        own = {name: options[name] for name in ("level", "resamples", "seed") if name in options}
        found[k] = mean_by_subject(values, subjects, **own), group_rates(values, groups, subjects=subjects, **options)
    return found


INCOMES = ("low", "medium", "high")
QUERY_AGES, DATABASE_AGES = (18, 30, 45, 70), (13, 30, 45)
"""First years of the next bucket, for people who ask and for those who are found."""


def income_bucket(income: float) -> str:
    """The bucket of a household's monthly income: `round(ln(income) / 3)` is 1, 2 or 3.

    Edges are `e^4.5 = 90.02` and `e^7.5 = 1808.04`; what lies below `e^1.5`, where the formula gives 0, is low, and
    what lies above `e^10.5` is high.

    Raises:
        ParameterError: the income is not a number above 0.

    >>> [income_bucket(income) for income in (4, 50, 500, 5000)]
    ['low', 'low', 'medium', 'high']
    """
    if not 0 < income < math.inf:
        raise ParameterError(f"income must be a number above 0, not {income}")
    return INCOMES[min(max(round(math.log(income) / 3), 1), 3) - 1]


def age_bucket(age: float, edges: Sequence[int] = QUERY_AGES) -> str:
    """The bucket of an age in years.

    Args:
        age: 0 or more.
        edges: the first year of each bucket but the first, rising.

    Raises:
        ParameterError: the age is not a number of 0 or more, or edges do not rise.

    >>> [age_bucket(age) for age in (17, 18, 44.5, 70)]
    ['<18', '18-29', '30-44', '70+']
    """
    if not 0 <= age < math.inf:
        raise ParameterError(f"age must be a number of years, 0 or more, not {age}")
    if list(edges) != sorted(set(edges)) or not edges:
        raise ParameterError(f"edges must rise, not {list(edges)}")
    place = sum(age >= edge for edge in edges)
    if place == 0:
        return f"<{edges[0]}"
    return f"{edges[-1]}+" if place == len(edges) else f"{edges[place - 1]}-{edges[place] - 1}"
