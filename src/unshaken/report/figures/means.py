"""The mean of figures, some of which may not be there."""

from __future__ import annotations

import math
from collections.abc import Sequence


def mean_there(values: Sequence[float]) -> float | None:
    """The mean of those that are numbers; None without any, as of a class that has left all the images."""
    there = [value for value in values if not math.isnan(value)]
    return sum(there) / len(there) if there else None
