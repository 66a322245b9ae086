"""Rates by group, with the gap, the ratio and the worst group; intervals by subject, small groups flagged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Indices, Numbers, numbers, same_length
from unshaken.measure.statistics.figure import Figure
from unshaken.measure.statistics.gaps import gap_figure
from unshaken.measure.statistics.intervals import bootstrap_figure, bootstrap_means, centred_figure, missed_share, share

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
