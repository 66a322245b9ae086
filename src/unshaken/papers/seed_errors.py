"""A mean over seeds between its standard errors, for rules that are stated by them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.measure import Figure


def standard_error(values: Sequence[float] | NDArray[Any], errors: float = 1.0) -> dict[str, Any]:
    """The mean, between so many standard errors below and above; of one seed without ends.

    Args:
        values: one a seed, such as differences of two arms.
        errors: number of standard errors on either side.

    >>> found = standard_error([1.0, 2.0, 3.0])
    >>> round(found["low"], 4), found["value"], found["n"]
    (1.4226, 2.0, 3)
    """
    column, n = np.asarray(values, np.float64), len(values)
    mean = float(column.mean())
    apart = errors * float(column.std(ddof=1)) / n**0.5 if n > 1 else math.inf
    return Figure(mean, mean - apart, mean + apart, n, f"{errors:g} standard errors over seeds").to_json()
