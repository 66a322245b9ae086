"""`stratified_folds`: parts of a set, each with its share of every class."""

from __future__ import annotations

import numpy as np

from unshaken.core.errors import DataError, ParameterError
from unshaken.measure.statistics.columns import Indices


def stratified_folds(labels: Indices, folds: int, seed: int = 0) -> Indices:
    """The fold of each sample, int `[N]` in 0..folds-1; of every class, sizes differ by one at most.

    Args:
        labels: int `[N]`.
        folds: at least 2.
        seed: of the order.

    Raises:
        ParameterError: fewer than two folds.
        DataError: a class has a single sample, so that a fold would train without it.
    """
    if folds < 2:
        raise ParameterError(f"folds={folds} must be 2 or more: a part is judged by a model trained on the others")
    counts = np.bincount(labels)
    if (alone := np.flatnonzero(counts == 1)).size:
        raise DataError(
            f"class {alone[0]} has a single sample: a model trained without it does not know the class; give more"
        )
    found = np.empty(len(labels), np.int64)
    rng, start = np.random.default_rng(seed), 0
    for members in (np.flatnonzero(labels == c) for c in np.flatnonzero(counts)):
        found[rng.permutation(members)] = (start + np.arange(len(members))) % folds
        start += len(members)
    return found
