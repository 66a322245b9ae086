"""Agreement of a review's readers."""

from __future__ import annotations

import pytest

from unshaken.labels.correct.outcome import parse_answer
from unshaken.labels.review.agreement import agreement
from unshaken.labels.review.protocol import ItemState, ReviewedLabel


def label(**answers):
    """Of readers whose answers that count differ from their first ones."""
    first = {reader: parse_answer(text, "") for reader, text in answers.items()}
    return ReviewedLabel("s", 0, ItemState.AGREED, None, dict.fromkeys(first, parse_answer("9", "")), first)


def test_first_answers_of_each_pair_and_of_all():
    labels = [label(ann="0", bob="0"), label(ann="1 2", bob="1 2"), label(ann="unclear", bob="1"),
              label(ann="0", bob="0"), label(cid="1")]  # fmt: skip
    found = agreement(labels)
    (pair,) = found.pairs
    assert (pair.readers, pair.same.value, pair.same.n, found.items) == (("ann", "bob"), 0.75, 4, 4)
    # by chance: 0 in 2/4 * 2/4, {1, 2} in 1/4 * 1/4
    assert pair.kappa.value == pytest.approx((0.75 - 5 / 16) / (1 - 5 / 16))
    assert found.to_json()["alpha"]["value"] == pytest.approx(found.alpha.value)
    assert set(found.accuracy) == {"ann", "bob", "cid"}


def test_two_readers_by_hand():
    """Cohen's 50 proposals: 20 yes, 15 no, 5 and 10 apart, kappa 0.4."""
    both = [("1", "1")] * 20 + [("1", "0 1")] * 5 + [("0 1", "1")] * 10 + [("0 1", "0 1")] * 15
    found = agreement([*(label(ann=a, bob=b) for a, b in both), label(ann="1"), label()])
    (pair,) = found.pairs
    assert (pair.same.value, pair.same.n, found.items) == (0.7, 50, 50)
    assert pair.kappa.value == pytest.approx(0.4)
    assert pair.kappa.low < 0.4 < pair.kappa.high
    assert found.alpha.value == pytest.approx(1 - 99 * 30 / (2 * 55 * 45))  # (n - 1) o_12 / (n_1 n_2)


def test_one_reader_agrees_with_none():
    found = agreement([label(ann="0"), label(bob="1")])
    assert (found.items, found.alpha, found.pairs, found.accuracy) == (0, None, (), {})
    assert agreement([]).to_json() == {"items": 0, "alpha": None, "pairs": [], "accuracy": {}}
