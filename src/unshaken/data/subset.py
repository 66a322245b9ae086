"""`subset`: a seeded, stratified choice of samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng
from unshaken.data.dataset import Dataset


def subset(dataset: Dataset, limit: int | None, seed: int = 0) -> NDArray[np.int64]:
    """Choose samples so that every label keeps its share.

    Label k gets `limit n_k / N` places, rounded by largest remainder (ties by a seeded draw). Inside a label the draw
    depends on (seed, id) alone, so the order of the files does not matter. Samples with a bad label are a group of
    their own: they stay visible. Where labels are masks, all samples are one group.

    Args:
        dataset: where to choose from.
        limit: how many; None or more than there are means all.
        seed: the run seed.

    Returns:
        Their indices, int64, rising.

    Raises:
        ParameterError: limit is below 1.
    """
    total = len(dataset)
    if limit is not None and limit < 1:
        raise ParameterError(f"limit={limit} must be 1 or more")
    if limit is None or limit >= total:
        return np.arange(total)
    draw = SampleRng.of(seed, "subset", dataset.ids).keys.numpy()
    groups = np.zeros(total, np.int64) if dataset.labels is None or dataset.labels.ndim > 1 else dataset.labels
    names, counts = np.unique(groups, return_counts=True)
    quota, remainder = np.divmod(counts * limit, total)
    ties = SampleRng.of(seed, "subset/label", [str(n) for n in names.tolist()]).keys.numpy()
    left = limit - int(quota.sum())
    quota[np.lexsort((ties, -remainder))[:left]] += 1
    order = np.lexsort((draw, groups))
    first = np.concatenate(([0], np.cumsum(counts)[:-1]))
    return np.sort(np.concatenate([order[a : a + q] for a, q in zip(first.tolist(), quota.tolist(), strict=True)]))
