"""Label sharpness with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.errors import ParameterError
from unshaken.explain.geometry.neighbours import CrossPairs, closest_pairs, count_pairs, rank
from unshaken.measure import Figure

_SPARE = 200


@dataclass(frozen=True, slots=True)
class Sharpness:
    """How fast labels change between near samples.

    Args:
        largest: `K_F`, 1 over the smallest distance of two samples with different labels; None where it is infinite.
        quantile: the same at a quantile of all pairs; None where it is infinite.
        pair: indices of the closest two samples with different labels.
        identical: pairs of samples that are equal and have different labels.
        total: all pairs with different labels.
    """

    largest: Figure | None
    quantile: Figure | None
    pair: tuple[int, int]
    identical: int
    total: int


def label_sharpness(
    points: Tensor, labels: Tensor, *, quantile: float = 0.999, draws: int = 100, seed: int = 0
) -> Sharpness:
    """`K_F = max |y - y'| / ||x - x'||` over all pairs, where labels count as 1 apart when they differ.

    Intervals are made by random halves of each class. More samples never lower the maximum: its lower end is the 2.5 %
    quantile over the halves, and its upper end is open. That of the quantile is 1.96 times its spread over the halves,
    which is about twice too wide where single close pairs decide it.

    Args:
        points: `[N, D]`.
        labels: int64 `[N]`.
        quantile: of the ratios over all pairs, in (0, 1].
        draws: halves.
        seed: of the halves.

    Raises:
        DataError: there are not two classes, or a value is not finite.
        ParameterError: the quantile is outside its range.

    Source: Konz & Mazurowski 2024, arXiv:2401.08865.

    >>> import torch
    >>> points = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0], [3.0, 4.5]])
    >>> label_sharpness(points, torch.tensor([0, 0, 1, 1])).largest.value
    2.0
    """
    if not 0 < quantile <= 1:
        raise ParameterError(f"quantile={quantile} must be above 0 and at most 1; 0.999 is usual")
    total = count_pairs(labels)
    keep = min(total, 2 * rank(total, quantile) + _SPARE)
    pairs = closest_pairs(points, labels, keep)
    chosen = [_half(labels.numpy(), np.random.default_rng([seed, i])) for i in range(draws)]
    first = pairs.sharpness()
    return Sharpness(
        largest=_largest(first, pairs, chosen, len(points)),
        quantile=_quantile(pairs, chosen, quantile, len(points)),
        pair=(int(pairs.first[0]), int(pairs.second[0])),
        identical=int((pairs.distances == 0).sum()),
        total=total,
    )


def class_matrix(points: Tensor, labels: Tensor, classes: int) -> NDArray[np.float64]:
    """`K_F` of each pair of classes, `[K, K]`; NaN on the diagonal and where a class has no sample."""
    found = np.full((classes, classes), np.nan)
    present = [c for c in range(classes) if bool((labels == c).any())]
    for place, a in enumerate(present):
        for b in present[place + 1 :]:
            rows = (labels == a) | (labels == b)
            found[a, b] = found[b, a] = closest_pairs(points[rows], labels[rows], 1).sharpness()
    return found


def _half(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """A random half of each class; of one that has a single sample, that one."""
    chosen = np.zeros(len(labels), bool)
    for c in np.unique(labels):
        own = np.flatnonzero(labels == c)
        chosen[rng.permutation(own)[: -(-len(own) // 2)]] = True
    return chosen


def _largest(value: float, pairs: CrossPairs, chosen: list[NDArray[np.bool_]], n: int) -> Figure | None:
    if math.isinf(value):
        return None
    halves = [pairs.among(c) for c in chosen]
    known = [h.sharpness() for h in halves if len(h.distances)]
    low = float(np.quantile(known, 0.025)) if len(known) == len(chosen) and known else 0.0
    return Figure(value, min(low, value), math.inf, n, f"halves of each class 97.5% ({len(chosen)}), open above")


def _quantile(pairs: CrossPairs, chosen: list[NDArray[np.bool_]], quantile: float, n: int) -> Figure | None:
    value = pairs.sharpness(quantile)
    if math.isinf(value):
        return None
    draws = []
    for c in chosen:
        half = pairs.among(c)
        total = round(pairs.total * float(c.mean()) ** 2)
        if rank(total, quantile) <= len(half.distances):
            draws.append(half.sharpness(quantile, total=total))
    if len(draws) < max(2, len(chosen)) or not np.isfinite(draws).all():
        return Figure(value, 0.0, math.inf, n, "none: too few pairs for halves")
    spread = 1.96 * float(np.std(draws, ddof=1))
    return Figure(value, max(0.0, value - spread), value + spread, n, f"halves of each class 95% ({len(draws)})")
