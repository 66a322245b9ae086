"""Ranks of several models on the same samples, with bounds that hold together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from unshaken.measure.statistics.paired import Comparison

K = TypeVar("K")


def rank_bounds(names: Sequence[K], comparisons: Mapping[tuple[K, K], Comparison]) -> dict[K, tuple[int, int]]:
    """Bounds of the rank of each of several models, from simultaneous comparisons of all pairs.

    The rank of a model is 1 plus the number of models that are truly better, so equally good ones share a rank. It is
    at least 1 plus the number that are shown to be better, and at most the number of models without those shown to be
    worse. All bounds hold whenever all intervals of the differences do, so together at the level of these.

    Args:
        names: of the models.
        comparisons: of each pair (baseline, candidate), as `simultaneous` gives them; a pair that lacks shows nothing.

    Returns:
        Lowest and highest rank of each model, 1 for the best.

    Source: Al Mohamad, Goeman & van Zwet 2022, Biometrics 78(1), whose bounds need no other intervals than Tukey's.

    >>> from unshaken.measure import compare
    >>> rank_bounds("ab", {("a", "b"): compare([0] * 40, [1] * 40)})
    {'a': (2, 2), 'b': (1, 1)}
    """
    better, worse = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for (baseline, candidate), one in comparisons.items():
        if one.improved():
            better[baseline] += 1
            worse[candidate] += 1
        elif one.regressed():
            better[candidate] += 1
            worse[baseline] += 1
    return {name: (1 + better[name], len(names) - worse[name]) for name in names}
