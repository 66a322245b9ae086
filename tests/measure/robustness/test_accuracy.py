import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unshaken.core.errors import ParameterError
from unshaken.measure import accuracy, accuracy_by_class, attack_success_rate, robust_accuracy

COLUMN = st.lists(st.booleans(), min_size=1, max_size=60)
PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def test_accuracy_by_hand():
    # 3 of 4; lower end: P[X >= 3 | p] = 4 p^3 - 3 p^4 = 0.025 at p = 0.194120; upper end: 1 - p^4 = 0.025
    figure = accuracy([1, 1, 0, 1])
    assert (figure.value, figure.n) == (0.75, 4)
    assert 4 * figure.low**3 - 3 * figure.low**4 == pytest.approx(0.025)
    assert figure.high == pytest.approx(0.975**0.25)


@settings(deadline=None, max_examples=40)
@given(COLUMN, st.randoms())
def test_the_interval_holds_the_value_and_order_does_not_matter(column, random):
    figure = accuracy(column)
    assert 0 <= figure.low <= figure.value <= figure.high <= 1
    random.shuffle(column)
    assert accuracy(column) == figure


def test_accuracy_by_class_leaves_absent_classes_out():
    figures = accuracy_by_class([1, 0, 1, 1, 0], [7, 2, 7, 2, 2])
    assert list(figures) == [2, 7]
    assert [(f.value, f.n) for f in figures.values()] == [(pytest.approx(1 / 3), 3), (1.0, 2)]
    assert figures[7].low == pytest.approx(0.025**0.5)  # 2 of 2: p^2 = 0.025


def test_robust_accuracy_counts_all_samples_and_success_only_the_clean_correct():
    # clean-correct 4 of 5, of which 1 broken; the clean-wrong one is "broken" too, which changes nothing
    clean, broken = [1, 1, 1, 1, 0], [0, 0, 0, 1, 1]
    assert robust_accuracy(clean, broken).value == pytest.approx(3 / 5)
    assert robust_accuracy(clean, broken).n == 5
    assert attack_success_rate(clean, broken).value == pytest.approx(1 / 4)
    assert attack_success_rate(clean, broken).n == 4


@settings(deadline=None, max_examples=40)
@given(PAIRS)
def test_robust_accuracy_is_clean_accuracy_times_what_the_attack_leaves(pairs):
    clean, broken = zip(*pairs, strict=True)
    success = attack_success_rate(clean, broken)
    robust = robust_accuracy(clean, broken).value
    if success is None:
        assert robust == accuracy(clean).value == 0
    else:
        assert robust == pytest.approx(accuracy(clean).value * (1 - success.value))


def test_nothing_to_break_has_no_success_rate():
    assert attack_success_rate([0, 0], [1, 0]) is None


@pytest.mark.parametrize(
    "call",
    [
        lambda: accuracy([]),
        lambda: accuracy([1, np.nan]),
        lambda: accuracy_by_class([1, 0], [0]),
        lambda: accuracy_by_class([1, 0], [0, 0.5]),
        lambda: robust_accuracy([1], [1, 0]),
        lambda: attack_success_rate([1, 0], [1, None]),
    ],
)
def test_bad_columns_are_refused(call):
    with pytest.raises(ParameterError):
        call()
