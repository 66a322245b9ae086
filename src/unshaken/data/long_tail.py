"""Long-tailed classes made on purpose: `?longtail=100`, each class smaller than the one before it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import DataError
from unshaken.core.rng import SampleRng
from unshaken.data.dataset import Dataset
from unshaken.data.selection import Selection


def tail_counts(most: int, classes: int, ratio: float) -> list[int]:
    """Samples of each class: `most (1 / ratio)^(k / (K - 1))`, rounded down; one at least.

    Args:
        most: of the first class.
        classes: K, 2 or more.
        ratio: of the first class to the last.

    >>> tail_counts(5000, 10, 10)
    [5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500]
    """
    return [max(1, math.floor(most * (1 / ratio) ** (k / (classes - 1)) + 1e-9)) for k in range(classes)]


def long_tail_rows(
    labels: NDArray[np.int64], classes: int, ratio: float, ids: Sequence[str], *, seed: int = 0, most: int | None = None
) -> NDArray[np.int64]:
    """Which samples to keep, in their order; which of a class follows from seed and id alone.

    Args:
        labels: true, int64 `[N]`; samples of -1 are left out.
        classes: K.
        ratio: of the first class to the last, 1 or more.
        ids: of the samples.
        seed: of the draw.
        most: samples of the first class; None for all that there are. A class that has fewer than its number keeps all.
    """
    draw = SampleRng.of(seed, "long tail", ids).keys.numpy()
    first = int((labels == 0).sum())
    counts = tail_counts(first if most is None else min(most, first), classes, ratio)
    kept = [np.flatnonzero(labels == k) for k in range(classes)]
    return np.sort(np.concatenate([rows[np.argsort(draw[rows])[:n]] for rows, n in zip(kept, counts, strict=True)]))


def with_long_tail(dataset: Dataset, text: str) -> Dataset:
    """The data with fewer samples of each next class.

    Args:
        dataset: labelled, with names of its classes.
        text: `RATIO` or `RATIO:SEED`.

    Raises:
        DataError: the ratio is not a number of 1 or more, or the data has no labels of two classes.
    """
    spec = dataset.options.spec
    ratio_text, _, seed_text = text.partition(":")
    try:
        ratio, seed = float(ratio_text), int(seed_text or 0)
    except ValueError:
        ratio = seed = -1
    if not 1 <= ratio < math.inf or seed < 0:
        raise DataError(
            f"data {spec!r}: longtail={text} is not of the form RATIO[:SEED], such as 100, with a ratio >= 1"
        )
    if dataset.labels is None or len(dataset.classes) < 2 or not (dataset.labels == 0).any():
        raise DataError(f"data {spec!r}: longtail needs labels of two classes or more, their names, and a first class")
    return Selection(dataset, long_tail_rows(dataset.labels, len(dataset.classes), ratio, dataset.ids, seed=seed))
