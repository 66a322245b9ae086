"""Features checked once."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.generation.features import as_features, as_pair


def test_features_become_float64():
    found = as_features("real", [[1, 2]])
    assert (found.dtype, found.tolist()) == (np.float64, [[1.0, 2.0]])
    one, other = as_pair([[1, 2]], np.ones((3, 2), np.float32))
    assert (one.shape, other.shape, other.dtype) == ((1, 2), (3, 2), np.float64)


@pytest.mark.parametrize("values", [[1.0, 2.0], np.ones((2, 2, 2)), np.ones((0, 2)), np.ones((2, 0))])
def test_other_shapes_are_refused(values):
    with pytest.raises(ParameterError, match=r"^real must be features \[N, D\], not of shape"):
        as_features("real", values)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_are_finite_and_of_one_network(value):
    with pytest.raises(ParameterError, match="made: features must be finite"):
        as_pair([[1.0, 2.0]], [[1.0, value]])
    with pytest.raises(ParameterError, match="features have 2 and 3 dimensions"):
        as_pair([[1.0, 2.0]], [[1.0, 2.0, 3.0]])
