import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unshaken.core.errors import ParameterError
from unshaken.measure import minimal_norm, success_curve

SUBNORMAL = sys.float_info.min / 2 > 0
"""Whether this process has them: a processor may be set to flush them to 0."""
INF = np.inf
# four clean-correct samples, one of them never broken, and a clean-wrong one whose distance must not count
DISTANCE, CLEAN = [0.1, 0.3, 0.2, INF, 0.0], [1, 1, 1, 1, 0]


def test_the_curve_by_hand():
    curve = success_curve(DISTANCE, CLEAN, [0.0, 0.2, 0.25, 10])
    assert curve.eps == (0.0, 0.2, 0.25, 10.0)
    assert [f.value for f in curve.success] == pytest.approx([0, 2 / 4, 2 / 4, 3 / 4])
    assert [f.value for f in curve.robust_accuracy] == pytest.approx([4 / 5, 2 / 5, 2 / 5, 1 / 5])
    assert [f.n for f in curve.success + curve.robust_accuracy] == [4] * 4 + [5] * 4


def test_a_distance_that_rounds_to_just_above_eps_is_within_it():
    eps = 8 / 255
    far = float(np.float32(0.1) + np.float32(eps)) - float(np.float32(0.1))  # a float32 pixel moved by eps
    assert far > eps
    assert success_curve([far], [1], [eps]).success[0].value == 1
    assert success_curve([far], [1], [eps], slack=0).success[0].value == 0


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.floats(0, 5, allow_subnormal=SUBNORMAL) | st.just(INF), st.booleans()), min_size=1, max_size=40
    )
)
def test_more_eps_never_helps_the_model(samples):
    distance, clean = zip(*samples, strict=True)
    curve = success_curve(distance, clean, np.linspace(0, 6, 13))
    assert (np.diff([f.value for f in curve.robust_accuracy]) <= 0).all()
    if any(clean):
        assert (np.diff([f.value for f in curve.success]) >= 0).all()
    else:
        assert curve.success == (None,) * 13


def test_norms_by_hand():
    m = minimal_norm(DISTANCE, CLEAN)
    assert m.success.value == 0.75
    assert m.median.value == pytest.approx(0.25)  # of .1 .2 .3 inf
    assert m.median_of_broken.value == pytest.approx(0.2)
    assert m.mean_of_broken.value == pytest.approx(0.2)
    assert (m.median.n, m.median_of_broken.n, m.mean_of_broken.n) == (4, 3, 3)
    assert (m.median.low, m.median.high) == (0, INF)  # four samples bound nothing at 95%


def test_what_is_seldom_broken_has_no_median():
    m = minimal_norm([0.5, INF, INF], [1, 1, 1])
    assert m.median is None
    assert m.median_of_broken.value == 0.5


def test_nothing_broken_and_nothing_to_break():
    unbroken, wrong = minimal_norm([INF, INF], [1, 1]), minimal_norm([0.0, 0.0], [0, 0])
    assert unbroken.success.value == 0
    assert (unbroken.median, unbroken.median_of_broken, unbroken.mean_of_broken) == (None, None, None)
    assert (wrong.success, wrong.median, wrong.median_of_broken, wrong.mean_of_broken) == (None, None, None, None)


@pytest.mark.parametrize(
    ("distance", "clean", "eps", "message"),
    [
        ([np.nan], [1], [1], "missing"),
        ([-1.0], [1], [1], "must lie in"),
        ([1.0, 2.0], [1], [1], "lengths"),
        ([1.0], [1], [], "eps is empty"),
        ([1.0], [1], [-0.1], "eps must lie in"),
    ],
)
def test_bad_input_is_refused(distance, clean, eps, message):
    with pytest.raises(ParameterError, match=message):
        success_curve(distance, clean, eps)
