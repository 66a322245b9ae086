"""Relations between geometry and loss: constants that were put in come out."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.explain.geometry.scaling_relations import loss_exponent, radius_bound

N = np.array([250, 500, 1000, 2000, 4000])


def test_a_power_law_has_its_exponent():
    found = loss_exponent(N, 3 * N ** (-1 / 8))
    assert found.value == pytest.approx(-1 / 8)
    assert found.low == pytest.approx(found.high)
    noisy = loss_exponent(N, N**-0.25 * np.array([1, 1.1, 0.9, 1.1, 1]))
    assert noisy.low < -0.25 < noisy.high


def test_the_radius_bound_has_its_constant():
    sharpness = np.array([0.1, 0.2, 0.4, 0.5])
    found = radius_bound(0.3 / sharpness + np.array([0, 0.1, 0.2, 0]), sharpness)
    assert found.constant == pytest.approx(0.3)
    assert found.relation.figure.value > 0.99


def test_bad_input_is_one_clear_line():
    with pytest.raises(ParameterError, match="a slope needs three networks"):
        loss_exponent(N[:2], N[:2])
    with pytest.raises(ParameterError, match="losses must lie in"):
        loss_exponent(N, 0.0 * N)
    with pytest.raises(ParameterError, match="four pairs"):
        radius_bound([1, 2], [1, 2])
