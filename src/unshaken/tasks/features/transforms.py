"""Unit length, signed power and whitening of features, in numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import DataError, ParameterError

Features = NDArray[np.floating[Any]]
FLOOR = 1e-6
"""Smallest variance, as a share of the largest one, by which whitening divides."""


def unit(features: Features) -> Features:
    """Each vector brought to length 1, `[..., D]`; one of zeros stays zero."""
    return np.asarray(features / np.maximum(np.linalg.norm(features, axis=-1, keepdims=True), 1e-12))


def signed_power(features: Features, exponent: float = 2.0) -> Features:
    """`sign(x) |x|^exponent` of each number; 1 changes nothing.

    >>> signed_power(np.array([-0.5, 0.2])).round(6).tolist()
    [-0.25, 0.04]

    Raises:
        ParameterError: the exponent is not above 0.
    """
    if not exponent > 0:
        raise ParameterError(f"exponent must be above 0, not {exponent}: 2 is published, 1 changes nothing")
    return np.asarray(np.sign(features) * np.abs(features) ** exponent)


@dataclass(frozen=True, slots=True)
class Whitening:
    """Principal components of unit variance: `(x - mean) @ components`.

    Args:
        mean: of the features that it was fitted on, `[D]`.
        components: `[D, d]`, the directions divided by their deviations.
    """

    mean: Features
    components: Features

    def __call__(self, features: Features) -> Features:
        """Features `[..., D]` to `[..., d]`."""
        return np.asarray((features - self.mean) @ self.components)

    def for_retrieval(self, features: Features, exponent: float = 2.0) -> Features:
        """The pipeline of retrieval: unit length, whitening, unit length again, signed power."""
        return signed_power(unit(self(unit(features))), exponent)


def fit_whitening(features: Features, dimensions: int = 500) -> Whitening:
    """Fit principal components; give reference features, never queries.

    Args:
        features: `[N, D]`, N at least 2; of length 1 for `Whitening.for_retrieval`.
        dimensions: number of components, fewer where N or D allows no more.

    Raises:
        DataError: there are too few features, one is not finite, or all are equal.
        ParameterError: dimensions is below 1.
    """
    if dimensions < 1:
        raise ParameterError(f"dimensions must be at least 1, not {dimensions}")
    if features.ndim != 2 or len(features) < 2:
        raise DataError(f"whitening needs features [N, D] with N at least 2, not {features.shape}")
    values = np.asarray(features, np.float64)
    if not np.isfinite(values).all():
        lost = int((~np.isfinite(values).all(1)).sum())
        raise DataError(f"{lost} of {len(values)} features are not finite: leave them out, or look at the model")
    mean = values.mean(0)
    _, lengths, directions = np.linalg.svd(values - mean, full_matrices=False)
    variances = lengths**2 / (len(values) - 1)
    count = min(dimensions, len(values) - 1, values.shape[1])
    if variances[0] <= 0:
        raise DataError("all features are equal: there is nothing to whiten")
    deviations = np.sqrt(np.maximum(variances[:count], FLOOR * variances[0]))
    return Whitening(mean, directions[:count].T / deviations)
