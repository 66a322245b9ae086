"""How far readers agree, from their answers."""

from __future__ import annotations

import pytest

from unshaken.labels.review.agreement import agreement_of
from unshaken.labels.review.verdict import Answer, AnswerKind


def labels(*classes):
    return Answer(kind=AnswerKind.LABELS, classes=classes)


def test_two_readers_by_hand():
    yes, no = labels(1), labels(0, 1)  # Cohen's 50 proposals: 20 yes, 15 no, 5 and 10 apart, kappa 0.4
    answers = [{"a": yes, "b": yes}] * 20 + [{"a": yes, "b": no}] * 5 + [{"a": no, "b": yes}] * 10
    answers += [{"a": no, "b": no}] * 15 + [{"a": yes}, {}]
    found = agreement_of(answers)
    (pair,) = found.pairs
    assert (pair.readers, pair.items, pair.same) == (("a", "b"), 50, 35)
    assert pair.kappa.value == pytest.approx(0.4)
    assert pair.kappa.low < 0.4 < pair.kappa.high
    assert found.items == 50
    assert found.alpha.value == pytest.approx(1 - 99 * 30 / (2 * 55 * 45))  # (n - 1) o_12 / (n_1 n_2)


def test_three_readers_have_three_pairs_and_one_alpha():
    a, b = labels(0), Answer(kind=AnswerKind.UNCLEAR)
    answers = [{"x": a, "y": a, "z": a}, {"x": b, "y": b}, {"x": a, "y": b}, {"z": b}]
    found = agreement_of(answers)
    assert [pair.readers for pair in found.pairs] == [("x", "y"), ("x", "z"), ("y", "z")]
    assert [pair.items for pair in found.pairs] == [3, 1, 1]
    assert found.items == 3
    assert found.alpha.n == 3
    assert set(found.accuracy) == {"x", "y", "z"}
    assert found.to_json()["alpha"]["value"] == found.alpha.value


@pytest.mark.parametrize("answers", [[], [{}], [{"a": labels(1)}], [{"a": labels(1)}, {"b": labels(2)}]])
def test_without_a_shared_item_there_is_no_agreement(answers):
    found = agreement_of(answers)
    assert found.to_json() == {"items": 0, "alpha": None, "pairs": [], "accuracy": {}}


def test_where_all_answers_are_the_same_it_is_undefined():
    found = agreement_of([{"a": labels(1), "b": labels(1)}] * 3)
    assert found.alpha is None
    assert found.pairs[0].kappa is None
    assert found.pairs[0].same == 3
    assert found.accuracy == pytest.approx({"a": 1, "b": 1})
