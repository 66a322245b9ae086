"""Principal axes of vectors that come in pieces: their covariance is summed, so that they need not be held at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import ParameterError

MOST_NUMBERS = 4096
"""Numbers in a vector at most: the covariance then has 128 MiB."""
Vectors = NDArray[np.float64]


class RunningCovariance:
    """Mean and covariance of vectors, summed piece by piece.

    The sums of two sets are joined as Chan, Golub and LeVeque (1979) do, without the difference of large numbers that
    `E[x x'] - E[x] E[x]'` would have.

    Args:
        size: numbers D in a vector.

    Raises:
        ParameterError: there are more than `MOST_NUMBERS`.
    """

    def __init__(self, size: int) -> None:
        if not 1 <= size <= MOST_NUMBERS:
            raise ParameterError(f"vectors of {size:,} numbers: principal axes are of 1 to {MOST_NUMBERS:,} numbers")
        self.count = 0
        self.mean = np.zeros(size)
        self._scatter = np.zeros((size, size))

    def add(self, vectors: NDArray[np.floating]) -> None:
        """Add vectors `[n, D]`."""
        n = len(vectors)
        if not n:
            return
        own = vectors.astype(np.float64)
        mean = own.mean(0)
        own -= mean
        shift, whole = mean - self.mean, self.count + n
        self._scatter += own.T @ own + np.outer(shift, shift) * (self.count * n / whole)
        self.mean += shift * (n / whole)
        self.count = whole

    def covariance(self) -> Vectors:
        """The covariance `[D, D]`, divided by n - 1.

        Raises:
            ParameterError: there are fewer than two vectors.
        """
        if self.count < 2:
            raise ParameterError(f"{self.count} vectors have no covariance: give 2 or more")
        found: Vectors = self._scatter / (self.count - 1)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class PrincipalAxes:
    """The directions in which vectors vary most.

    Args:
        mean: of the vectors, `[D]`.
        axes: orthonormal, `[k, D]`, the one with the largest variance first; of each the number of largest size is
            positive.
        shares: of the whole variance, `[k]`; 0 where nothing varies.
    """

    mean: Vectors
    axes: Vectors
    shares: Vectors

    @classmethod
    def of(cls, sums: RunningCovariance, count: int) -> PrincipalAxes:
        """The first `count` axes, or as many as vectors have numbers.

        Raises:
            ParameterError: there are fewer than two vectors.
        """
        import scipy.linalg

        covariance = sums.covariance()
        size = len(covariance)
        values, vectors = scipy.linalg.eigh(covariance, subset_by_index=(max(0, size - count), size - 1))
        axes = vectors.T[::-1]
        largest = np.abs(axes).argmax(1)
        axes = axes * np.where(axes[np.arange(len(axes)), largest] < 0, -1.0, 1.0)[:, None]
        whole = float(np.trace(covariance))
        shares = np.clip(values[::-1], 0, None) / whole if whole > 0 else np.zeros(len(axes))
        return cls(sums.mean.copy(), axes, shares)

    def project(self, vectors: NDArray[np.floating]) -> Vectors:
        """Places of vectors `[n, D]` along the axes, `[n, k]`."""
        found: Vectors = (vectors.astype(np.float64) - self.mean) @ self.axes.T
        return found
