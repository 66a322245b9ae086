"""Copy detection: whether the original of an edited copy is found among distractors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.fairness.group_rates import mean_by_subject
from unshaken.measure.statistics.columns import Numbers, integers
from unshaken.measure.statistics.figure import Figure


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
        originals: likewise.
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
