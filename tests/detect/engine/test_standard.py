"""Scores of several kinds made comparable: means and deviations by hand, and columns without a scale."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import DataError
from unshaken.detect.engine.standard import spread


def test_spread_refuses_a_constant_column():
    mean, deviation = spread(torch.tensor([[1.0, 5.0], [3.0, 9.0]]).double(), ["a", "b"], "x")
    assert (mean.tolist(), deviation.tolist()) == ([2, 7], [1, 2])
    with pytest.raises(DataError, match="score of b is the same"):
        spread(torch.tensor([[1.0, 5.0], [3.0, 5.0]]).double(), ["a", "b"], "x")
