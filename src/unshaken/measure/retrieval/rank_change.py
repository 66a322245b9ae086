"""Changes of a ranking: Kendall's tau and rank-biased overlap."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import scipy

from unshaken.core.errors import ParameterError


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
    seen_one: set[Hashable] = set()
    seen_other: set[Hashable] = set()
    total = agreement = 0.0
    for depth, (a, b) in enumerate(zip(one, other, strict=True), start=1):
        seen_one.add(a)
        seen_other.add(b)
        agreement = len(seen_one & seen_other) / depth
        total += agreement * p**depth
    return agreement * p**k + (1 - p) / p * total
