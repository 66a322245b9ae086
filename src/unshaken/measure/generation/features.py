"""Features of images, checked once at the edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Numbers


def as_features(name: str, values: ArrayLike) -> Numbers:
    """Features as float64 `[N, D]`.

    Args:
        name: what to call them in a message.
        values: finite numbers.

    Raises:
        ParameterError: they have another shape, or one is not finite.
    """
    features = np.asarray(values, np.float64)
    if features.ndim != 2 or not features.size:
        raise ParameterError(f"{name} must be features [N, D], not of shape {features.shape}")
    if not np.isfinite(features).all():
        raise ParameterError(f"{name}: features must be finite; leave out the samples whose features are not")
    return features


def as_pair(real: ArrayLike, made: ArrayLike) -> tuple[Numbers, Numbers]:
    """Features of real and of generated images, of one network.

    Raises:
        ParameterError: as `as_features`; or they have different dimensions.
    """
    x, y = as_features("real", real), as_features("made", made)
    if x.shape[1] != y.shape[1]:
        raise ParameterError(f"features have {x.shape[1]} and {y.shape[1]} dimensions: take both from one network")
    return x, y
