"""The maximum-likelihood estimate of intrinsic dimension, from distances to nearest neighbours."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import DataError

Numbers = NDArray[np.float64]
Divisor = Literal["k-1", "k-2"]


def mle_dimension(distances: Numbers, divisor: Divisor = "k-1") -> float:
    """`d = [ (1/N) sum_x (1/(k-1)) sum_{j<k} log(T_k(x) / T_j(x)) ]^-1`: inverse estimates averaged over the points.

    Args:
        distances: `[N, k]`: T_1 to T_k of each point, rising. A point whose nearest neighbour is at distance 0, a
            duplicate, is left out.
        divisor: of the inner sum. `k-2` makes each point's inverse estimate unbiased, and d smaller by
            `(k-2) / (k-1)`.

    Raises:
        DataError: k is too small, no point is left, or all neighbours of a point are at one distance everywhere.

    Source: Levina & Bickel 2004; MacKay & Ghahramani 2005 for the average.

    >>> round(mle_dimension(np.array([[1.0, 3.0], [1.0, 2.0], [2.0, 3.0], [4.0, 6.0]])), 6)
    1.536872
    """
    k = int(distances.shape[1])
    least = 2 if divisor == "k-1" else 3
    if k < least:
        raise DataError(f"the estimate by {divisor} needs k of {least} or more, not {k}")
    known = without_duplicates(distances)
    inner = np.log(known[:, -1:] / known[:, :-1]).sum(1)
    terms = k - 1 if divisor == "k-1" else k - 2
    total = float(inner.mean()) / terms
    if total <= 0:
        raise DataError("all neighbours of every point are equally far: the data has no dimension that could be told")
    return 1.0 / total


def without_duplicates(distances: Numbers) -> Numbers:
    """The rows of points that have no neighbour at distance 0.

    Raises:
        DataError: none is left, as of constant data.
    """
    known = distances[distances[:, 0] > 0]
    if not len(known):
        raise DataError("every point has a duplicate: the data is constant, or each image is there twice or more")
    return known
