"""Figures of searches: changes of a ranking, detection of copies, and errors of places."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import scipy
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.fairness import mean_by_subject
from unshaken.measure.statistics.columns import Numbers, integers, numbers, same_length
from unshaken.measure.statistics.intervals import Figure, share


def kendall_tau(before: Sequence[Hashable], after: Sequence[Hashable]) -> float:
    """Kendall's tau of two orders of the same items: `(concordant - discordant) / (n (n - 1) / 2)`, in [-1, 1].

    The tau distance is `(1 - tau) / 2`, the share of pairs that changed places.

    Args:
        before: n items in order, each once.
        after: the same items in another order.

    Returns:
        1 for fewer than two items, which have one order.

    Raises:
        ParameterError: an item is repeated, or stands in one order alone.

    >>> round(kendall_tau("abc", "bac"), 4)
    0.3333
    """
    place = {item: rank for rank, item in enumerate(after)}
    if len(place) != len(after) or len(set(before)) != len(before) or place.keys() != set(before):
        raise ParameterError("Kendall's tau needs the same items in both orders, each once; cut both to shared items")
    if len(place) < 2:
        return 1.0
    ranks = np.array([place[item] for item in before])
    return float(scipy.stats.kendalltau(np.arange(len(ranks)), ranks).statistic)


def rank_biased_overlap(one: Sequence[Hashable], other: Sequence[Hashable], *, p: float = 0.9) -> float:
    """Extrapolated rank-biased overlap of two lists of one depth, in [0, 1].

    `RBO_ext = (X_k / k) p^k + ((1 - p) / p) sum over d <= k of (X_d / d) p^d`, with X_d the number of items that both
    lists have among their first d.

    Args:
        one: k items in order, each once.
        other: k items in order, each once.
        p: how far down a reader goes, in (0, 1); 0.7 counts little more than the first places.

    Raises:
        ParameterError: the lists are empty, of two lengths, or repeat an item, or p is outside (0, 1).

    Source: Webber et al. 2010, ACM TOIS 28(4), equation 30.

    >>> round(rank_biased_overlap("abc", "bac"), 4)
    0.9
    """
    k = len(one)
    if not k or k != len(other) or len(set(one)) != k or len(set(other)) != k:
        raise ParameterError("rank-biased overlap needs two lists of one length, without repeated items; cut both")
    if not 0 < p < 1:
        raise ParameterError(f"p must lie inside (0, 1), not {p}; 0.9 is usual")
    first: set[Hashable] = set()
    second: set[Hashable] = set()
    total = agreement = 0.0
    for depth, (a, b) in enumerate(zip(one, other, strict=True), start=1):
        first.add(a)
        second.add(b)
        agreement = len(first & second) / depth
        total += agreement * p**depth
    return agreement * p**k + (1 - p) / p * total


def copy_precision(similarities: ArrayLike, originals: ArrayLike) -> Numbers:
    """The average precision of each copy, `[Q]`: 1 over the rank of its original, which is the only relevant image.

    Of equally similar images the original counts as the last.

    Args:
        similarities: of copies with all images of the database, the larger the nearer, `[Q, G]`.
        originals: column of each copy's original, `[Q]`.

    Raises:
        ParameterError: shapes do not fit, a similarity is not a number, or an original is not among the columns.

    >>> copy_precision([[0.9, 0.5], [0.8, 0.7]], [0, 1]).tolist()
    [1.0, 0.5]
    """
    table, own = np.asarray(similarities, np.float64), integers("originals", originals)
    if table.ndim != 2 or len(table) != len(own):
        raise ParameterError(f"similarities must be [Q, G] for {len(own)} copies, not {table.shape}")
    if np.isnan(table).any():
        raise ParameterError(f"similarities have {int(np.isnan(table).sum())} missing values (NaN)")
    if own.min() < 0 or own.max() >= table.shape[1]:
        raise ParameterError(f"originals must be columns 0 to {table.shape[1] - 1}, not {own.min()} to {own.max()}")
    reached = table[np.arange(len(own)), own]
    return np.asarray(1 / (table >= reached[:, None]).sum(1), np.float64)


def copy_detection(similarities: ArrayLike, originals: ArrayLike, edits: Sequence[object]) -> dict[str, Figure]:
    """The mean average precision of each edit, and of `all`, with intervals over originals.

    Args:
        similarities: as in `copy_precision`.
        originals: as in `copy_precision`.
        edits: name of the edit of each copy, `[Q]`, such as `crop`.

    Raises:
        ParameterError: as in `copy_precision`, or there is not one edit for each copy.
    """
    values, own = copy_precision(similarities, originals), integers("originals", originals)
    names = np.array([str(e) for e in edits])
    if len(names) != len(values):
        raise ParameterError(f"{len(names)} edits for {len(values)} copies: give one for each")
    found = {"all": mean_by_subject(values, own.tolist())}
    for name in dict.fromkeys(names.tolist()):
        mine = names == name
        found[name] = mean_by_subject(values[mine], own[mine].tolist())
    return found


RADIUS = 6371.0
"""Radius of the earth in km."""
DISTANCES = (1.0, 25.0, 200.0, 750.0, 2500.0)
"""Street, city, region, country and continent, in km."""


def great_circle(
    latitude: ArrayLike, longitude: ArrayLike, other_latitude: ArrayLike, other_longitude: ArrayLike
) -> Numbers:
    """Distances of places on the sphere in km, `[N]`: `2 R asin sqrt(sin^2(dp/2) + cos p1 cos p2 sin^2(dl/2))`.

    Args:
        latitude: in degrees, from -90 to 90, `[N]`.
        longitude: in degrees, from -180 to 180.
        other_latitude: as `latitude`, of the other places.
        other_longitude: as `longitude`.

    Raises:
        ParameterError: a number is missing or out of range, or lengths differ.

    >>> [round(d, 2) for d in great_circle([48.8566], [2.3522], [51.5074], [-0.1278]).tolist()]
    [343.56]
    """
    north = [_degrees("latitude", v, 90) for v in (latitude, other_latitude)]
    east = [_degrees("longitude", v, 180) for v in (longitude, other_longitude)]
    same_length(latitude=north[0], longitude=east[0], other_latitude=north[1], other_longitude=east[1])
    (one, other), turn = north, east[1] - east[0]
    inner = np.sin((other - one) / 2) ** 2 + np.cos(one) * np.cos(other) * np.sin(turn / 2) ** 2
    return np.asarray(2 * RADIUS * np.arcsin(np.sqrt(np.minimum(inner, 1.0))), np.float64)


def within_distances(errors: ArrayLike, distances: Sequence[float] = DISTANCES) -> dict[float, Figure]:
    """The share of errors within each distance, with Clopper and Pearson's interval.

    Args:
        errors: in km, `[N]`.
        distances: in km, above 0.

    Raises:
        ParameterError: there is no error, one is negative or missing, or a distance is not above 0.
    """
    column = numbers("errors", errors, low=0)
    if bad := [d for d in distances if not d > 0]:
        raise ParameterError(f"distances must be above 0 km, not {bad[0]}")
    return {float(d): share(int((column <= d).sum()), len(column)) for d in distances}


def _degrees(name: str, values: ArrayLike, most: float) -> Numbers:
    return np.asarray(np.radians(numbers(name, values, low=-most, high=most)), np.float64)
