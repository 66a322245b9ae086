"""The state of an item from its log, by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from unshaken.labels.review.protocol import agreement_of, independent_answers, is_revealed, reviewed_label, status_of
from unshaken.labels.review.verdict import Answer, AnswerKind, RecordedVerdict, ReviewContext, Verdict

KINDS = {"c": ("confirm", ()), "1": ("suggest", (1,)), "2": ("suggest", (2,)), "?": ("unclear", ()), "-": ("skip", ()),
         "x": ("not-in-classes", ()), "m": ("several", (0, 1))}  # fmt: skip


def log(*acts: str) -> list[RecordedVerdict]:
    """Rows from texts: `a1` is ann's suggestion of class 1, `S1` its settlement, `-3` the withdrawal of row 3."""
    rows = []
    for number, (who, what) in enumerate(acts, 1):
        kind, classes = KINDS.get(what, (None, ())) if who != "-" else (None, ())
        verdict = Verdict(kind=kind, classes=classes) if kind else None
        action = {"S": "settle", "-": "withdraw"}.get(who, "verdict")
        rows.append(
            RecordedVerdict(
                number=number, item=1, reader=who, time=datetime(2026, 1, 1, tzinfo=UTC), software="1", action=action,
                verdict=verdict, shown=ReviewContext(suggestion=False), token=str(number),
                withdraws=int(what) if who == "-" else None,
            )
        )  # fmt: skip
    return rows


@pytest.mark.parametrize(
    ("acts", "state", "answer"),
    [
        ([], "open", None),
        (["a-"], "open", None),
        (["ac"], "waiting", None),
        (["ac", "a1"], "waiting", None),
        (["ac", "bc"], "agreed", "0"),
        (["a1", "b1"], "agreed", "1"),
        (["am", "bm"], "agreed", "0 1"),
        (["a?", "b?"], "agreed", "unclear"),
        (["ax", "bx"], "agreed", "not-in-classes"),
        (["ac", "b1"], "disputed", None),
        (["ac", "bm"], "disputed", None),
        (["ac", "b1", "a1"], "agreed", "1"),
        (["ac", "b-"], "waiting", None),
        (["ac", "bc", "c1"], "disputed", None),
        (["ac", "bc", "a-"], "agreed", "0"),
        (["ac", "b1", "-2"], "waiting", None),
        (["ac", "b1", "b2", "-3"], "disputed", None),
        (["ac", "bc", "b1", "-3"], "agreed", "0"),
        (["ac", "b1", "S2"], "settled", "2"),
        (["ac", "b1", "S2", "-3"], "disputed", None),
        (["ac", "b1", "S2", "a1"], "settled", "2"),
        (["ac", "b1", "S2", "S1"], "settled", "1"),
    ],
)
def test_state_and_answer_follow_from_the_log(acts, state, answer):
    status = status_of(log(*acts), 0, 2)
    assert status.state.value == state
    assert (None if status.answer is None else str(status.answer)) == answer


def test_one_reader_is_enough_where_the_review_says_so():
    assert status_of(log("a1"), 0, 1).state.value == "agreed"
    assert status_of(log("a1", "b2"), 0, 1).state.value == "disputed"
    assert status_of(log("a1", "b1"), 0, 3).state.value == "waiting"


@pytest.mark.parametrize(
    ("acts", "revealed"), [([], False), (["bc"], False), (["a-"], False), (["ac"], True), (["ac", "-1"], True)]
)
def test_a_blind_reader_sees_the_suggestion_after_a_first_verdict(acts, revealed):
    assert is_revealed(log(*acts), "a", blind=True) is revealed
    assert is_revealed(log(*acts), "a", blind=False)


def test_agreement_uses_first_answers():
    assert {k: str(v) for k, v in independent_answers(log("a-", "ac", "b1", "a1", "b2"), 0).items()} == {
        "a": "0",
        "b": "1",
    }
    assert {k: str(v) for k, v in independent_answers(log("ac", "-1", "a1", "S2"), 0).items()} == {"a": "1"}


def test_an_answer_after_the_suggestion_was_seen_is_not_independent():
    """Ann answers blind, sees the suggestion, takes hers back and follows it; Bob's review is open from the start."""
    rows = log("ac", "-1", "a1", "b2")
    seen = [row.model_copy(update={"shown": ReviewContext(suggestion=row.number > 1)}) for row in rows]
    assert {k: str(v) for k, v in independent_answers(seen, 0).items()} == {"b": "2"}


@pytest.mark.parametrize(
    ("acts", "corrected", "wrong"),
    [
        (["ac", "bc"], 0, False),
        (["a1", "b1"], 1, True),
        (["am", "bm"], None, False),
        (["ax", "bx"], None, True),
        (["a?", "b?"], None, None),
        (["a1"], None, None),
    ],
)
def test_outcome_of_a_sample(acts, corrected, wrong):
    outcome = reviewed_label(log(*acts), "s", 0, 2)
    assert (outcome.corrected, outcome.is_wrong) == (corrected, wrong)


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
