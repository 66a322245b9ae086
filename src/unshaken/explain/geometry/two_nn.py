"""The TwoNN estimate of intrinsic dimension, from the two nearest neighbours of each point."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import DataError
from unshaken.explain.geometry.mle import without_duplicates

Numbers = NDArray[np.float64]


def two_nn_dimension(distances: Numbers, form: Literal["fit", "closed"] = "fit") -> float:
    """The slope of `-log(1 - F)` against `log mu` through the origin, `mu = T_2 / T_1` sorted and `F_i = i / N`.

    Args:
        distances: `[N, 2 or more]`: T_1 and T_2 of each point. A point with a duplicate is left out.
        form: `fit` leaves out the largest mu, whose `log(1 - F)` does not exist; `closed` is the maximum of the
            likelihood, `N / sum log mu`.

    Raises:
        DataError: fewer than two points are left, or both neighbours are equally far everywhere.

    Source: Facco et al. 2017, doi:10.1038/s41598-017-11873-y.
    """
    known = without_duplicates(distances)
    n = len(known)
    if n < 2:
        raise DataError(f"TwoNN needs 2 points without duplicates at least, not {n}")
    log_mu = np.sort(np.log(known[:, 1] / known[:, 0]))
    if form == "closed":
        above, below = float(n), float(log_mu.sum())
    else:
        target = -np.log1p(-np.arange(1, n) / n)
        above, below = float(target @ log_mu[:-1]), float(log_mu[:-1] @ log_mu[:-1])
    if below <= 0:
        raise DataError("both nearest neighbours of every point are equally far: the dimension cannot be told")
    return above / below
