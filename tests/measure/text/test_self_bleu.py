"""Self-BLEU by hand; repetition is seen."""

import math

import pytest

from unshaken.measure.text.self_bleu import bleu, self_bleu


def words(*sentences):
    return [s.split() for s in sentences]


def test_values_by_hand():
    assert self_bleu(words("a b c", "a b d")) == pytest.approx(math.sqrt(2 / 3 * 1 / 2))  # .577350
    assert self_bleu(words("a b c")) is None
    assert self_bleu(words("a b c", "")) is None
    assert self_bleu([]) is None


def test_repetition_is_whole_and_difference_is_nothing():
    assert self_bleu(words("a b c", "a b c")) == pytest.approx(1)
    assert self_bleu(words("a b c", "d e f")) == 0
    assert self_bleu(words("a", "a")) == 0  # no pair of words at all


def test_counts_are_clipped_and_short_sentences_penalised():
    assert bleu(["the", "the", "the"], words("the cat"), order=1) == pytest.approx(1 / 3)
    assert bleu(["a", "b"], words("a b c d")) == pytest.approx(math.exp(1 - 2))
    assert bleu(["a", "b", "c"], words("a b", "a b c d"), order=1) == pytest.approx(1)  # of lengths as near the shorter
    assert bleu(["a", "b", "c"], words("a b", "b c")) == pytest.approx(1)  # each pair is in one of the references
