"""An alarm over windows of a stream of which only counts are kept."""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import numbers, same_length


def window_alarm(rejected: ArrayLike, samples: ArrayLike, *, most: float, alpha: float = 0.01) -> int | None:
    """The first window in which more samples were rejected than the promise allows, whatever chance may do.

    Window t is tested at `alpha / (t (t + 1))`, t = 1, 2, ..., by the binomial tail of its count; these sum to alpha,
    so that a stream that keeps its promise rings with probability alpha at most, however long it is watched. Where
    each sample is kept, `unshaken.measure.detection.drift` finds smaller changes.

    Args:
        rejected: `[W]`, rejected samples of each window, in the order of time.
        samples: `[W]`, samples of each window.
        most: the promised share of rejected samples at most, in (0, 1).
        alpha: chance of a false alarm over the whole stream, in (0, 1).

    Returns:
        Its index; None for none.

    Raises:
        ParameterError: lengths differ, a count is above its samples, or a share is outside (0, 1).

    >>> window_alarm([5, 4, 30], [100, 100, 100], most=0.05)
    2
    """
    counts, sizes = numbers("rejected", rejected, low=0), numbers("samples", samples, low=0)
    same_length(rejected=counts, samples=sizes)
    if not (0 < most < 1 and 0 < alpha < 1):
        raise ParameterError(f"most={most} and alpha={alpha} must lie inside (0, 1)")
    if (counts > sizes).any():
        raise ParameterError("a window has more rejected samples than samples")
    t = np.arange(1, len(counts) + 1)
    rings = scipy.stats.binom.sf(counts - 1, sizes, most) <= alpha / (t * (t + 1))
    return int(rings.argmax()) if rings.any() else None
