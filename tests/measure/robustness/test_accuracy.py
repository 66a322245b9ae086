from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unshaken.core.errors import ParameterError
from unshaken.measure import accuracy, accuracy_by_class, robust_accuracy, worst_case
from unshaken.measure.robustness.accuracy import attack_success_rate, predict_within

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


def test_the_best_class_of_the_set_by_its_original_number():
    mask = [True, False, True, True]
    assert predict_within([[3.0, 5, 1, 4]], mask).tolist() == [3]
    logits = np.random.default_rng(0).normal(size=(20, 4))
    assert np.array_equal(predict_within(logits, [True] * 4), logits.argmax(1))
    classes = np.flatnonzero(mask)
    assert np.array_equal(predict_within(logits, mask), classes[logits[:, classes].argmax(1)])


@pytest.mark.parametrize(
    ("logits", "mask", "message"),
    [
        ([[1.0, 2]], [False, False], "with 0 true ones does not fit"),
        ([[1.0, 2]], [True], r"a mask of 1 classes with 1 true ones does not fit logits of shape \(1, 2\)"),
        ([[1.0, np.nan]], [True, True], "missing values"),
    ],
)
def test_bad_input(logits, mask, message):
    with pytest.raises(ParameterError, match=message):
        predict_within(logits, mask)
