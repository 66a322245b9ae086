"""The card's arithmetic, undefined biases, and intervals that are paired."""

import math

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.explain.biases.cue_bias import CueBias, bias_by_class, bias_difference, cue_bias


def decisions(first, second, other):
    """Decisions about images of shape 0 and texture 1."""
    n = first + second + other
    return np.array([0] * first + [1] * second + [2] * other), np.zeros(n, int), np.ones(n, int)


def test_seventy_of_a_hundred_cue_decisions():
    bias = cue_bias(*decisions(70, 30, 100))
    assert (bias.value, bias.cue_share, bias.n) == (0.7, 0.5, 200)
    figure = bias.figure()
    assert figure.low < 0.7 < figure.high
    assert figure.n == 200


def test_without_a_decision_for_a_cue_there_is_no_bias():
    bias = cue_bias(*decisions(0, 0, 5))
    assert math.isnan(bias.value)
    assert bias.figure() is None
    assert bias.cue_figure().value == 0


def test_decisions_for_one_cue_alone_have_an_interval_nevertheless():
    figure = cue_bias(*decisions(0, 3, 9)).figure()
    assert (figure.value, figure.low) == (0, 0)
    assert figure.high == pytest.approx(1 - 0.025 ** (1 / 3))


def test_images_of_one_class_are_left_out():
    assert cue_bias(np.array([0, 0, 1]), np.array([0, 0, 0]), np.array([0, 1, 1])) == CueBias(1, 1, 0)


def test_by_class_of_the_shape():
    found = bias_by_class(np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1]), np.array([1, 1, 2, 2]))
    assert found == {0: CueBias(1, 1, 0), 1: CueBias(1, 1, 0)}


def test_a_model_compared_with_itself_does_not_differ():
    d, first, second = decisions(7, 3, 5)
    figure = bias_difference(d, d, first, second)
    assert figure.value == 0
    assert -0.31 < figure.low == -figure.high < -0.30  # 1 - 0.025 ** (1 / 10): none of ten decisions for a cue


def test_the_difference_is_the_candidate_s_bias_less_the_baseline_s():
    one, first, second = decisions(20, 80, 0)
    other = decisions(90, 10, 0)[0]
    figure = bias_difference(one, other, first, second)
    assert figure.value == pytest.approx(0.7)
    assert figure.low > 0.5
    assert bias_difference(one, decisions(0, 0, 100)[0], first, second) is None


def test_no_images_are_refused():
    with pytest.raises(ParameterError, match="no image with two cues"):
        cue_bias(np.array([], int), np.array([], int), np.array([], int))
