"""Scores of several kinds made comparable: the mean and the deviation that each has on held-out normal samples."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from unshaken.core.errors import DataError


def spread(scores: Tensor, names: Sequence[str], method: str) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (divided by N) of each column.

    Args:
        scores: `[N, L]` of normal samples.
        names: of the columns, for the message.
        method: whose they are, for the message.

    Returns:
        `[L]` and `[L]`, the deviations above 0.

    Raises:
        DataError: a column is constant, so that nothing says what a large value of it is.
    """
    mean, deviation = scores.mean(0), scores.std(0, correction=0)
    flat = [n for n, still in zip(names, (deviation <= 1e-12 * (1 + mean.abs())).tolist(), strict=True) if still]
    if flat:
        raise DataError(
            f"{method}: the score of {flat[0]} is the same for all {len(scores)} held-out samples, so it has no scale: "
            "leave it out, or give more data"
        )
    return mean, deviation
