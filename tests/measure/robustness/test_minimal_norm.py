import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unshaken.core.errors import ParameterError
from unshaken.measure import local_optimality, minimal_norm, success_curve

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


def test_optimality_by_hand():
    # right: five samples, of which the last withstands all; the sixth is wrong when clean and has no area
    clean = [1, 1, 1, 1, 1, 0]
    distances = [
        [1.0, 2.0, 3.0, 4.0, INF, 0.0],  # the best on each of the four: the envelope, eps0 = 4
        [1.0, 3.0, 3.0, INF, INF, 9.0],  # one farther by 1; unbroken at eps0 loses nothing more
        [4.0, 4.0, 5.0, INF, INF, 0.0],  # breaks nothing before eps0
    ]
    # what could be lost: 3 + 2 + 1 + 0 = 6
    found = local_optimality(distances, clean)
    assert [f.value for f in found] == pytest.approx([1, 1 - 1 / 6, 0])
    assert [f.n for f in found] == [4, 4, 4]
    assert found[1].low <= found[1].value <= found[1].high
    assert (found[0].low, found[0].high) == (0, 1), "no resample differs, which is no certainty"
    first = np.array(distances)
    area = [np.minimum(row, 4)[:4].mean() * 4 / 6 for row in first]  # with the clean-wrong one at 0, and one left out
    rho = 4 / 6
    best = first[0, :4].mean() * 4 / 6
    assert [f.value for f in found] == pytest.approx([1 - (a - best) / (rho * 4 - best) for a in area])


def test_optimality_of_two_that_share_the_envelope_and_of_nothing():
    one, other = local_optimality([[1.0, 3.0], [2.0, 2.0]], [1, 1])  # envelope 1, 2: eps0 = 2, at most 1 is lost
    assert (one.value, other.value) == (1.0, 0.0)  # the second's 3 is cut at eps0
    assert local_optimality([[INF, INF], [INF, INF]], [1, 1]) == [None, None]
    assert local_optimality([[2.0, 2.0], [2.0, INF]], [1, 1]) == [None, None], "all nearest examples lie at eps0"
    with pytest.raises(ParameterError, match="distance"):
        local_optimality([[1.0, -1.0]], [1, 1])
    rng = np.random.default_rng(0)
    far = rng.uniform(0, 1, (3, 50))
    found, mixed = local_optimality(far, np.ones(50)), local_optimality(far[:, rng.permutation(50)], np.ones(50))
    for f, g in zip(found, mixed, strict=True):
        assert (f.value, f.low, f.high) == pytest.approx((g.value, g.low, g.high))
