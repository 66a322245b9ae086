import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.retrieval.rank_change import kendall_tau, rank_biased_overlap


def test_values_by_hand():
    assert kendall_tau("abc", "bac") == pytest.approx(1 / 3)
    assert kendall_tau("abcd", "dcba") == -1
    assert kendall_tau("abc", "abc") == 1
    assert (kendall_tau("a", "a"), kendall_tau("", "")) == (1, 1)
    assert kendall_tau("ab", "ba") == -1
    assert rank_biased_overlap("abcd", "badc") == rank_biased_overlap("abcd", "badc", p=0.9) != 1
    assert rank_biased_overlap("abc", "bac", p=0.9) == pytest.approx(0.9)
    assert rank_biased_overlap("abc", "abc", p=0.7) == pytest.approx(1)
    assert rank_biased_overlap("abc", "def") == 0
    # X = 1, 1, 2: 2/3 p^3 + (1 - p)/p (p + p^2/2 + 2 p^3/3) at p = 1/2
    assert rank_biased_overlap("abc", "adb", p=0.5) == pytest.approx(2 / 24 + 0.5 + 0.125 + 2 / 24)


@pytest.mark.parametrize(("one", "other"), [("abc", "abd"), ("aab", "abb"), ("ab", "abc")])
def test_orders_of_other_items_are_refused(one, other):
    with pytest.raises(ParameterError, match="same items"):
        kendall_tau(one, other)


@pytest.mark.parametrize(("one", "other", "p"), [("", "", 0.9), ("ab", "abc", 0.9), ("aa", "ab", 0.9), ("a", "a", 1.0)])
def test_lists_that_cannot_be_compared_are_refused(one, other, p):
    with pytest.raises(ParameterError):
        rank_biased_overlap(one, other, p=p)
