"""The divergence of topics by hand."""

import math

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.text.topic_divergence import topic_divergence


def test_values_by_hand():
    assert topic_divergence([0.9, 0.1], [0.5, 0.5]).item() == pytest.approx(0.531004, abs=1e-6)
    assert topic_divergence([0.5, 0.5], [0.9, 0.1]).item() == pytest.approx(0.736966, abs=1e-6)
    assert topic_divergence([0.3, 0.7], [0.3, 0.7]).item() == 0


def test_the_floor_makes_the_ceiling():
    one = np.eye(20)
    assert topic_divergence(one[0], one[1]).item() == pytest.approx(16.609474, abs=1e-6)
    assert topic_divergence(one[:3], one[1:4]).shape == (3,)
    assert topic_divergence(one[0], one[1], floor=0.5).item() == pytest.approx(math.log2(2) - 0.5)


@pytest.mark.parametrize(
    ("p", "q", "floor"),
    [([1.0], [0.5, 0.5], 1e-5), ([], [], 1e-5), ([-0.1, 1.1], [0.5, 0.5], 1e-5), ([math.nan, 1], [0.5, 0.5], 1e-5),
     ([0.5, 0.5], [0.5, 0.5], 0)],
)  # fmt: skip
def test_what_is_no_share_is_refused(p, q, floor):
    with pytest.raises(ParameterError):
        topic_divergence(p, q, floor=floor)
