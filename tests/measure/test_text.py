"""The divergence of topics by hand."""

import math

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.text import bleu, self_bleu, topic_divergence


def words(*sentences):
    return [s.split() for s in sentences]


def test_self_bleu_by_hand():
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


def test_topic_divergence_by_hand():
    assert topic_divergence([0.9, 0.1], [0.5, 0.5]).item() == pytest.approx(0.531004, abs=1e-6)
    assert topic_divergence([0.5, 0.5], [0.9, 0.1]).item() == pytest.approx(0.736966, abs=1e-6)
    assert topic_divergence([0.3, 0.7], [0.3, 0.7]).item() == 0


def test_the_floor_makes_the_ceiling():
    one = np.eye(20)
    assert topic_divergence(one[0], one[1]).item() == pytest.approx(16.609474, abs=1e-6)
    assert topic_divergence(one[:3], one[1:4]).shape == (3,)
    assert topic_divergence(one[0], one[1], floor=0.5).item() == pytest.approx(math.log2(2) - 0.5)


@pytest.mark.parametrize(
    ("p", "q", "floor"),
    [([1.0], [0.5, 0.5], 1e-5), ([], [], 1e-5), ([-0.1, 1.1], [0.5, 0.5], 1e-5), ([math.nan, 1], [0.5, 0.5], 1e-5),
     ([0.5, 0.5], [0.5, 0.5], 0)],
)  # fmt: skip
def test_what_is_no_share_is_refused(p, q, floor):
    with pytest.raises(ParameterError):
        topic_divergence(p, q, floor=floor)
