"""How the weight of a loss grows over a training."""

from __future__ import annotations

import math


def linear_ramp(done: float, start: float, length: float) -> float:
    """`clip((done - start) / length, 0, 1)`.

    Args:
        done: epochs done, fractions included.
        start: where it leaves 0.
        length: epochs in which it grows; above 0.

    >>> [linear_ramp(e, 10, 16) for e in (3, 14, 40)]
    [0.0, 0.25, 1.0]
    """
    return min(1.0, max(0.0, (done - start) / length))


def exponential_ramp(done: float, length: float) -> float:
    """`exp(-5 (1 - min(done, length) / length)^2)`; 1 where the length is 0.

    Args:
        done: steps done, or a share of the run.
        length: where it reaches 1, in the same unit.

    >>> [round(exponential_ramp(s, 40), 4) for s in (0, 20, 40, 80)]
    [0.0067, 0.2865, 1.0, 1.0]
    """
    return 1.0 if length == 0 else math.exp(-5 * (1 - min(done, length) / length) ** 2)
