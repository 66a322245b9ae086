"""Whether the nearest images share an attribute with the query, overall and by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.fairness.group_rates import GroupRates, group_rates, mean_by_subject
from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.statistics.figure import Figure

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
