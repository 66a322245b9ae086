"""Calibration of small classes: their distributions borrow from those of near large ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unshaken.measure.statistics.columns import Flags, Indices, Numbers

Weighting = Literal["size", "inverse-distance", "uniform"]
Covariance = Literal["convex", "independent-sum"]


@dataclass(frozen=True, slots=True)
class Heads:
    """The large classes that a small one borrows from.

    Args:
        classes: their numbers, nearest first, int `[q]`.
        weights: of each, summing to 1, `[q]`.
    """

    classes: Indices
    weights: Numbers


def largest_classes(counts: Indices) -> Flags:
    """The larger half of the classes, of an odd number the smaller half of all; bool `[K]`. Ties by number.

    >>> largest_classes(np.array([5, 9, 9, 1])).tolist()
    [False, True, True, False]
    """
    found = np.zeros(len(counts), bool)
    found[np.argsort(-counts, kind="stable")[: max(1, len(counts) // 2)]] = True
    return found


def nearest_heads(means: Numbers, counts: Indices, heads: Indices, tail: int, q: int, weighting: Weighting) -> Heads:
    """The q large classes whose means are nearest (Euclidean).

    Args:
        means: `[K, m]`.
        counts: samples of each class `[K]`.
        heads: numbers of the large classes.
        tail: number of the small one.
        q: how many; all where there are fewer.
        weighting: in proportion to sizes, to inverse squared distances, or even.
    """
    distances = np.linalg.norm(means[heads] - means[tail], axis=1)
    near = np.argsort(distances, kind="stable")[:q]
    weights = _WEIGHTS[weighting](counts[heads[near]].astype(np.float64), distances[near])
    return Heads(heads[near], weights / weights.sum())


def calibrate(
    mean: Numbers,
    covariance: Numbers,
    head_means: Numbers,
    head_covariances: Numbers,
    weights: Numbers,
    *,
    beta: float,
    alpha: float = 0.0,
    mode: Covariance = "convex",
) -> tuple[Numbers, Numbers]:
    """A small class's mean and covariance after borrowing from large ones.

    `mu' = beta sum_j w_j mu_j + (1 - beta) mu`, and `Sigma' = beta sum_j w_j Sigma_j + (1 - beta) Sigma + alpha 1 1^T`
    (`convex`), or `beta^2 sum_j w_j^2 Sigma_j + (1 - beta)^2 Sigma + alpha 1 1^T` (`independent-sum`, which shrinks the
    spread).

    Args:
        mean: mu `[m]`.
        covariance: Sigma `[m, m]`.
        head_means: mu_j `[q, m]`.
        head_covariances: Sigma_j `[q, m, m]`.
        weights: w `[q]`, summing to 1.
        beta: confidence in the large classes, in [0, 1]; 0 leaves mean and covariance as they are.
        alpha: further dispersion, 0 or more.
        mode: of the covariance.

    Source: Zhang et al. 2023, arXiv:2211.10955; the weights of the heads are not published.
    """
    own, lent = (1 - beta, beta * weights) if mode == "convex" else ((1 - beta) ** 2, (beta * weights) ** 2)
    spread = np.tensordot(lent, head_covariances, 1) + own * covariance + alpha
    return beta * (weights @ head_means) + (1 - beta) * mean, spread


_WEIGHTS: Mapping[Weighting, Callable[[Numbers, Numbers], Numbers]] = {
    "size": lambda counts, distances: counts,
    "inverse-distance": lambda counts, distances: 1 / np.maximum(distances, 1e-12) ** 2,
    "uniform": lambda counts, distances: np.ones_like(distances),
}
