import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unshaken.core.errors import ParameterError
from unshaken.measure import robust_accuracy, worst_case

#         clean pgd square
TABLE = {"a": (1, 1, 1), "b": (1, 0, 1), "c": (1, 1, 0), "d": (1, 0, 0), "e": (0, 0, 1)}
ORDER = ("clean", "pgd", "square")


def rows(table, conditions=ORDER):
    return {
        "ids": [i for i in table for _ in conditions],
        "condition": list(conditions) * len(table),
        "correct": [x for row in table.values() for x in row],
    }


def test_worst_case_by_hand():
    w = worst_case(**rows(TABLE), order=ORDER)
    assert w.ids == ("a", "b", "c", "d", "e")
    assert w.correct.tolist() == [True, False, False, False, False]
    assert (w.accuracy.value, w.accuracy.n) == (pytest.approx(1 / 5), 5)
    assert w.first_breaker == (None, "pgd", "square", "pgd", "clean")
    assert {c: f.value for c, f in w.alone.items()} == pytest.approx({"clean": 0.8, "pgd": 0.4, "square": 0.6})
    assert {c: f.value for c, f in w.after.items()} == pytest.approx({"clean": 0.8, "pgd": 0.4, "square": 0.2})
    assert w.only == {"clean": 0, "pgd": 1, "square": 1}


def test_another_order_changes_who_is_first_and_nothing_else():
    there, back = worst_case(**rows(TABLE), order=ORDER), worst_case(**rows(TABLE), order=ORDER[::-1])
    assert back.first_breaker == (None, "pgd", "square", "square", "pgd")
    assert back.accuracy == there.accuracy
    assert back.only == there.only
    assert {c: f.value for c, f in back.after.items()} == pytest.approx({"square": 0.6, "pgd": 0.2, "clean": 0.2})


def test_without_an_order_conditions_go_by_name():
    assert worst_case(**rows(TABLE, ("z", "x", "y"))).conditions == ("x", "y", "z")


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(*[st.booleans()] * 3), min_size=1, max_size=30), st.randoms())
def test_order_of_rows_does_not_matter_and_no_condition_is_worse_than_all(table, random):
    columns = rows({f"{i:02d}": row for i, row in enumerate(table)})
    w = worst_case(**columns, order=ORDER)
    assert w.accuracy.value <= min(f.value for f in w.alone.values())
    assert w.after["square"] == w.accuracy
    clean, broken = [r[0] for r in table], [not (r[1] and r[2]) for r in table]
    assert w.accuracy == robust_accuracy(clean, broken)
    order = random.sample(range(len(columns["ids"])), len(columns["ids"]))
    shuffled = worst_case(**{k: [v[i] for i in order] for k, v in columns.items()}, order=ORDER)
    assert shuffled.first_breaker == w.first_breaker


def test_incomplete_samples_are_refused_or_left_out_when_asked():
    columns = {k: v[:-1] for k, v in rows(TABLE).items()}
    with pytest.raises(ParameterError, match="1 of 5 samples lack a row in at least one of 3 conditions, such as 'e'"):
        worst_case(**columns)
    w = worst_case(**columns, complete_only=True)
    assert (w.dropped, w.accuracy.value) == (1, 0.25)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": ("clean", "pgd")}, "order lacks the condition 'square'"),
        ({"order": ("clean", "pgd", "square", "fab")}, "order has 'fab', but no row"),
        ({"order": ("clean", "pgd", "square", "pgd")}, "twice"),
        ({"correct": [1] * 14}, "correct 14"),
        ({"correct": [np.nan] * 15}, "15 missing"),
        ({"condition": ["pgd"] * 15}, "more than once"),
        ({"ids": [None] * 15}, "missing values"),
    ],
)
def test_bad_input_is_refused(change, message):
    with pytest.raises(ParameterError, match=message):
        worst_case(**{**rows(TABLE), **change})
